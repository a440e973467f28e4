//! Reading of OCDBT's integers and columns, which never goes beyond the bytes that exist.

/// Rest of the bytes of a structure.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Takes the next bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| {
            format!(
                "truncated: {count} bytes are expected, {} are left",
                self.bytes.len()
            )
        })?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub fn u8(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub fn u32_be(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64_le(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned integer of 7 bits a byte, the lowest first (LEB128).
    pub fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("an integer has more than 64 bits".to_owned())
    }

    /// A number of entries, of which each takes at least one byte.
    pub fn count(&mut self) -> Result<usize, String> {
        let count = self.varint()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.bytes.len())
            .ok_or_else(|| {
                format!(
                    "{count} entries are expected in the {} bytes that are left",
                    self.bytes.len()
                )
            })
    }

    /// A column of integers.
    pub fn varints(&mut self, count: usize) -> Result<Vec<u64>, String> {
        (0..count).map(|_| self.varint()).collect()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(*self
            .take(N)?
            .first_chunk()
            .expect("as many bytes as were asked for"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_seven_bits_a_byte() {
        let mut cursor = Cursor::new(&[0x05, 0xac, 0x02, 0x80]);
        assert_eq!(cursor.varint(), Ok(5));
        assert_eq!(cursor.varint(), Ok(300));
        assert!(cursor.varint().unwrap_err().contains("truncated"));
    }

    #[test]
    fn integers_of_more_than_64_bits_are_refused() {
        let mut largest = [0xff; 10];
        largest[9] = 0x01;
        assert_eq!(Cursor::new(&largest).varint(), Ok(u64::MAX));
        largest[9] = 0x02;
        assert!(Cursor::new(&largest).varint().is_err());
        assert!(Cursor::new(&[0xff; 11]).varint().is_err());
    }

    #[test]
    fn more_entries_than_bytes_are_refused() {
        assert_eq!(Cursor::new(&[2, 0, 0]).count(), Ok(2));
        assert!(Cursor::new(&[3, 0, 0]).count().is_err());
    }
}
