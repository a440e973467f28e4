//! Compression of single messages (rosbag2's compression mode MESSAGE).

use std::borrow::Cow;
use std::io::{self, Read};

/// First bytes of a zstd frame. A message in CDR begins with a zero byte instead.
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Most bytes that come out of compression, whatever goes in: a black picture of 4096 × 4096 pixels.
const LARGEST: u64 = 48 << 20;
/// Further bytes for each that goes in.
const LARGEST_RATIO: u64 = 8;
/// Most bytes of anything in a bag.
const LARGEST_OF_ALL: u64 = 1 << 30;

/// Most bytes that a part of a bag may have once it is unpacked, by the bytes that are stored: more is damage, or made to
/// fill the memory.
pub(super) fn largest_unpacked(stored: u64) -> usize {
    let largest = LARGEST.saturating_add(LARGEST_RATIO.saturating_mul(stored));
    largest.min(LARGEST_OF_ALL) as usize
}

/// Unpacks a message if it is compressed.
///
/// # Errors
/// When the compressed message is damaged, or too large for what is stored of it.
pub(super) fn unpacked(data: &[u8]) -> io::Result<Cow<'_, [u8]>> {
    if data.starts_with(ZSTD_MAGIC) {
        let largest = largest_unpacked(data.len() as u64);
        let mut message = Vec::new();
        let decoder = zstd::Decoder::with_buffer(data)?;
        decoder.take(largest as u64 + 1).read_to_end(&mut message)?;
        match message.len() > largest {
            true => Err(io::Error::other(format!(
                "{} bytes become more than {largest}, the most that so many may",
                data.len()
            ))),
            false => Ok(Cow::Owned(message)),
        }
    } else {
        Ok(Cow::Borrowed(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_unpacked_only_if_it_is_compressed() {
        let compressed = zstd::encode_all(&b"a message"[..], 1).unwrap();
        assert_eq!(unpacked(&compressed).unwrap().as_ref(), b"a message");
        assert_eq!(unpacked(b"\0\x01").unwrap().as_ref(), b"\0\x01");
        assert!(unpacked(&compressed[..compressed.len() - 3]).is_err());
    }

    #[test]
    fn a_message_that_would_fill_the_memory_is_refused() {
        let compressed = zstd::encode_all(io::repeat(0).take(LARGEST + (1 << 20)), 1).unwrap();
        assert!(compressed.len() < 1 << 14);
        let refused = unpacked(&compressed).unwrap_err().to_string();
        assert!(refused.contains("become more than"), "{refused}");
    }
}
