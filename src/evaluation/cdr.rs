//! Reader of CDR, the encoding of ROS 2 messages: the plain encoding of DDS (XCDR version 1), in either byte order.
//!
//! Messages are read field by field in the order of their definition. Every length is checked against the bytes that are there.

/// Reason why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CdrError {
    /// Message that is cut off.
    #[error("the message ends at byte {length}, in the middle of {what} at byte {at}")]
    Short {
        /// Field that is cut off.
        what: &'static str,
        /// Offset of the field.
        at: usize,
        /// Bytes of the message.
        length: usize,
    },
    /// Other encoding.
    #[error(
        "the encapsulation is {found:#06x}, expected plain CDR: 0x0000 (big endian) or 0x0001 (little endian)"
    )]
    Encapsulation {
        /// First two bytes of the message.
        found: u16,
    },
    /// Text in another encoding.
    #[error("the text at byte {at} is no UTF-8")]
    Text {
        /// Offset of the text.
        at: usize,
    },
}

/// Reader of one field after the other. Every function fails when the message ends before the field does.
#[derive(Clone, Debug)]
pub struct CdrReader<'a> {
    /// Bytes after the encapsulation's four, from which alignment counts.
    body: &'a [u8],
    position: usize,
    little_endian: bool,
}

macro_rules! number {
    ($name:ident, $type:ty) => {
        #[doc = concat!("Reads an aligned `", stringify!($type), "`.")]
        pub fn $name(&mut self) -> Result<$type, CdrError> {
            const SIZE: usize = size_of::<$type>();
            self.align(SIZE);
            let bytes = self.take(SIZE, stringify!($type))?;
            let mut array = [0; SIZE];
            array.copy_from_slice(bytes);
            Ok(if self.little_endian {
                <$type>::from_le_bytes(array)
            } else {
                <$type>::from_be_bytes(array)
            })
        }
    };
}

impl<'a> CdrReader<'a> {
    /// Creates a reader of a message's first field.
    ///
    /// # Errors
    /// When the first four bytes name another encoding.
    pub fn new(message: &'a [u8]) -> Result<Self, CdrError> {
        let Some((&[high, low, _, _], body)) = message.split_first_chunk::<4>() else {
            return Err(CdrError::Short {
                what: "the encapsulation",
                at: 0,
                length: message.len(),
            });
        };
        match u16::from_be_bytes([high, low]) {
            encapsulation @ (0 | 1) => Ok(Self {
                body,
                position: 0,
                little_endian: encapsulation == 1,
            }),
            found => Err(CdrError::Encapsulation { found }),
        }
    }

    number!(u8, u8);
    number!(u32, u32);
    number!(i32, i32);
    number!(f64, f64);

    /// Reads a text, without the zero byte at its end.
    pub fn text(&mut self) -> Result<&'a str, CdrError> {
        let at = self.position;
        let bytes = self.bytes("a text")?;
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        std::str::from_utf8(bytes).map_err(|_| CdrError::Text { at })
    }

    /// Reads a sequence of bytes, which is named `what` in errors.
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], CdrError> {
        let length = self.u32()? as usize;
        self.take(length, what)
    }

    /// Reads a sequence of numbers.
    pub fn f64s(&mut self) -> Result<Vec<f64>, CdrError> {
        let count = self.u32()?;
        self.sequence(count, 8, Self::f64)
    }

    /// Reads a sequence of texts.
    pub fn texts(&mut self) -> Result<Vec<String>, CdrError> {
        let count = self.u32()?;
        self.sequence(count, 4, |reader| reader.text().map(str::to_owned))
    }

    /// Reads `count` elements of at least `smallest` bytes each.
    pub fn sequence<T>(
        &mut self,
        count: u32,
        smallest: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, CdrError>,
    ) -> Result<Vec<T>, CdrError> {
        // A damaged length must not reserve more memory than the message can fill.
        let possible = (self.body.len() - self.position.min(self.body.len())) / smallest.max(1);
        let mut elements = Vec::with_capacity((count as usize).min(possible));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn align(&mut self, size: usize) {
        self.position = self.position.next_multiple_of(size);
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], CdrError> {
        let bytes = self
            .position
            .checked_add(length)
            .and_then(|end| self.body.get(self.position..end));
        let Some(bytes) = bytes else {
            return Err(CdrError::Short {
                what,
                at: self.position + 4,
                length: self.body.len() + 4,
            });
        };
        self.position += length;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_are_read_and_numbers_are_aligned() {
        let little = [0, 1, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, b'a', 0];
        let big = [0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 2, b'a', 0];
        for message in [little, big] {
            let mut reader = CdrReader::new(&message).unwrap();
            assert_eq!(reader.u8(), Ok(7));
            assert_eq!(reader.text(), Ok("a"));
        }
    }

    #[test]
    fn eight_byte_numbers_are_aligned_after_the_encapsulation() {
        let mut message = vec![0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        message.extend(1.5f64.to_le_bytes());
        let mut reader = CdrReader::new(&message).unwrap();
        assert_eq!((reader.u32(), reader.f64()), (Ok(1), Ok(1.5)));
    }

    #[test]
    fn a_length_beyond_the_message_is_refused_without_reserving_memory() {
        let message = [0, 1, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0];
        for read in [
            |reader: &mut CdrReader| reader.f64s().map(drop),
            |reader: &mut CdrReader| reader.texts().map(drop),
            |reader: &mut CdrReader| reader.bytes("data").map(drop),
        ] {
            let refused = read(&mut CdrReader::new(&message).unwrap());
            assert!(matches!(refused, Err(CdrError::Short { .. })), "{refused:?}");
        }
    }

    #[test]
    fn other_encapsulations_are_named() {
        let refused = CdrReader::new(&[0, 3, 0, 0]).unwrap_err();
        assert!(refused.to_string().contains("0x0003"), "{refused}");
        assert!(matches!(CdrReader::new(&[0, 1]), Err(CdrError::Short { .. })));
    }
}
