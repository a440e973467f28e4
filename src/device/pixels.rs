//! Pixels of an image on its way to a device.

use std::borrow::Cow;

/// Pixels of a square RGB image: three planes, red, green and blue, each row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// A camera's own bytes, which were not resampled. Byte `b` is the value `b / 255 · 2 − 1`.
    Bytes(Vec<u8>),
    /// Values in [−1, 1]; bars beside an image may be lower.
    Values(Vec<f32>),
}

/// Value of each byte, in the arithmetic in which preprocessing maps resampled pixels.
pub(super) static BYTE_VALUES: [f32; 256] = {
    let mut values = [0.0; 256];
    let mut byte = 0;
    while byte < values.len() {
        values[byte] = byte as f32 / 255.0 * 2.0 - 1.0;
        byte += 1;
    }
    values
};

impl Pixels {
    /// Number of values: three a pixel.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there is no pixel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values in [−1, 1].
    pub fn values(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Bytes(bytes) => bytes.iter().map(|&byte| value_of(byte)).collect(),
            Self::Values(values) => values.into(),
        }
    }

    /// Copies the values, in [−1, 1], to a slice of the same length.
    pub(super) fn write_values(&self, to: &mut [f32]) {
        match self {
            Self::Bytes(bytes) => {
                for (value, &byte) in to.iter_mut().zip(bytes) {
                    *value = value_of(byte);
                }
            }
            Self::Values(values) => to.copy_from_slice(values),
        }
    }
}

fn value_of(byte: u8) -> f32 {
    BYTE_VALUES[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_values_of_one_image_are_the_same_numbers() {
        let bytes = Pixels::Bytes(vec![0, 128, 255]);
        let expected = [-1.0, 128.0_f32 / 255.0 * 2.0 - 1.0, 1.0];
        assert_eq!(*bytes.values(), expected);
        let mut written = [0.0; 3];
        bytes.write_values(&mut written);
        assert_eq!(written, expected);
        Pixels::Values(expected.to_vec()).write_values(&mut written);
        assert_eq!(written, expected);
    }
}
