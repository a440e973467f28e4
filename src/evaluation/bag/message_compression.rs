//! Messages that were compressed one by one (rosbag2's compression mode MESSAGE).

use std::borrow::Cow;
use std::io;

/// The first bytes of zstd's frames. A message in CDR begins with a zero byte.
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The message, unpacked where it is compressed.
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
