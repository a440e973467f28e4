//! Compression of single messages (rosbag2's compression mode MESSAGE).

use std::borrow::Cow;
use std::io;

/// First bytes of a zstd frame. A message in CDR begins with a zero byte instead.
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Unpacks a message if it is compressed.
///
/// # Errors
/// When the compressed message is damaged.
pub(super) fn unpacked(data: &[u8]) -> io::Result<Cow<'_, [u8]>> {
    if data.starts_with(ZSTD_MAGIC) {
        zstd::stream::decode_all(data).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(data))
    }
}
