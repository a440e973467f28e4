//! Arrays of numbers as NumPy has them: a type, a shape, and the bytes of all elements in C order.

use std::borrow::Cow;
use std::fmt;

use half::f16;

/// Most dimensions of an array, as NumPy's.
const MAX_DIMENSIONS: usize = 32;

/// Type of an array's elements: truth values, integers or floating-point numbers of either byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype {
    kind: Kind,
    is_big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
}

/// Why bytes are no array.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// An element type that is no number: Python objects, texts, records, complex numbers.
    #[error(
        "the array has elements of type {0:?}, expected truth values, integers or floating-point numbers"
    )]
    Dtype(String),
    /// Too many dimensions.
    #[error("the array has {0} dimensions, expected at most {MAX_DIMENSIONS}")]
    Dimensions(usize),
    /// Bytes that do not fit the shape.
    #[error("the array of {dtype} {shape:?} has {found} bytes, expected {}", expected_bytes(.shape, .dtype))]
    Bytes {
        /// Type of the elements.
        dtype: Dtype,
        /// Shape of the array.
        shape: Vec<usize>,
        /// Bytes that there are.
        found: usize,
    },
}

fn expected_bytes(shape: &[usize], dtype: &Dtype) -> String {
    let bytes = byte_count(shape, *dtype);
    bytes.map_or_else(|| "fewer dimensions".to_owned(), |bytes| bytes.to_string())
}

/// None where the product is larger than an address.
fn byte_count(shape: &[usize], dtype: Dtype) -> Option<usize> {
    let mut product = dtype.size();
    for &length in shape {
        product = product.checked_mul(length)?;
    }
    Some(product)
}

impl Dtype {
    /// Unsigned bytes.
    pub const U8: Self = Self::little_endian(Kind::U8);
    /// 32-bit floating-point numbers, the lowest byte first.
    pub const F32: Self = Self::little_endian(Kind::F32);

    const fn little_endian(kind: Kind) -> Self {
        Self {
            kind,
            is_big_endian: false,
        }
    }

    /// Reads NumPy's name of a type, such as `<f4`: byte order, kind, bytes of an element.
    ///
    /// # Errors
    /// When the elements are no numbers.
    pub fn from_numpy(name: &str) -> Result<Self, ArrayError> {
        let refused = || ArrayError::Dtype(name.to_owned());
        let (order, kind) = name.split_at_checked(1).ok_or_else(refused)?;
        let kind = match kind {
            "b1" => Kind::Bool,
            "i1" => Kind::I8,
            "i2" => Kind::I16,
            "i4" => Kind::I32,
            "i8" => Kind::I64,
            "u1" => Kind::U8,
            "u2" => Kind::U16,
            "u4" => Kind::U32,
            "u8" => Kind::U64,
            "f2" => Kind::F16,
            "f4" => Kind::F32,
            "f8" => Kind::F64,
            _ => return Err(refused()),
        };
        match order {
            // One byte has no order.
            "|" if Self::little_endian(kind).size() == 1 => Ok(Self::little_endian(kind)),
            "<" => Ok(Self::little_endian(kind)),
            ">" => Ok(Self {
                kind,
                is_big_endian: true,
            }),
            _ => Err(refused()),
        }
    }

    /// Whether the elements have fractions.
    pub fn is_float(self) -> bool {
        matches!(self.kind, Kind::F16 | Kind::F32 | Kind::F64)
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self.kind {
            Kind::Bool | Kind::I8 | Kind::U8 => 1,
            Kind::I16 | Kind::U16 | Kind::F16 => 2,
            Kind::I32 | Kind::U32 | Kind::F32 => 4,
            Kind::I64 | Kind::U64 | Kind::F64 => 8,
        }
    }

    /// The element that begins with these bytes.
    fn element(self, bytes: &[u8]) -> f64 {
        macro_rules! read {
            ($type:ty) => {{
                let bytes = bytes.try_into().expect("as many bytes as an element has");
                match self.is_big_endian {
                    true => <$type>::from_be_bytes(bytes),
                    false => <$type>::from_le_bytes(bytes),
                }
            }};
        }
        match self.kind {
            Kind::Bool => f64::from(u8::from(bytes[0] != 0)),
            Kind::I8 => read!(i8).into(),
            Kind::I16 => read!(i16).into(),
            Kind::I32 => read!(i32).into(),
            Kind::I64 => read!(i64) as f64,
            Kind::U8 => bytes[0].into(),
            Kind::U16 => read!(u16).into(),
            Kind::U32 => read!(u32).into(),
            Kind::U64 => read!(u64) as f64,
            Kind::F16 => read!(f16).into(),
            Kind::F32 => read!(f32).into(),
            Kind::F64 => read!(f64),
        }
    }
}

/// NumPy's name of the type.
impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Bool => 'b',
            Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => 'i',
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => 'u',
            Kind::F16 | Kind::F32 | Kind::F64 => 'f',
        };
        let order = match (self.size(), self.is_big_endian) {
            (1, _) => '|',
            (_, false) => '<',
            (_, true) => '>',
        };
        write!(formatter, "{order}{kind}{}", self.size())
    }
}

/// An array of numbers, in C order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Array<'a> {
    /// An array of these elements.
    ///
    /// # Errors
    /// When there are not as many bytes as the shape asks for.
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self, ArrayError> {
        let bytes = bytes.into();
        if shape.len() > MAX_DIMENSIONS {
            return Err(ArrayError::Dimensions(shape.len()));
        }
        match byte_count(&shape, dtype) {
            Some(expected) if expected == bytes.len() => Ok(Self { dtype, shape, bytes }),
            _ => Err(ArrayError::Bytes {
                dtype,
                shape,
                found: bytes.len(),
            }),
        }
    }

    /// An array of f32 values.
    ///
    /// # Panics
    /// When there are not as many values as the shape asks for.
    pub fn of_f32(values: &[f32], shape: Vec<usize>) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(Dtype::F32, shape, bytes).expect("as many values as the shape has")
    }

    /// Type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Lengths of the dimensions; none for a single element.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements, rounded where 64 bits are too few for them.
    pub fn to_f64(&self) -> Vec<f64> {
        let elements = self.bytes.chunks_exact(self.dtype.size());
        elements.map(|bytes| self.dtype.element(bytes)).collect()
    }

    /// The elements, rounded to f32.
    pub fn to_f32(&self) -> Vec<f32> {
        let elements = self.bytes.chunks_exact(self.dtype.size());
        elements.map(|bytes| self.dtype.element(bytes) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_type_of_numbers_is_read_and_written_as_it_is() {
        for name in [
            "|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", ">i2", ">u8",
            ">f2", ">f4", ">f8",
        ] {
            assert_eq!(Dtype::from_numpy(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn objects_texts_records_and_complex_numbers_are_refused() {
        for name in [
            "|O", "O", "|O8", "<U5", "|S3", "|V8", "<c8", "<c16", "<M8[ns]", "|f4", "=f4", "", "<", "€4",
        ] {
            assert_eq!(Dtype::from_numpy(name), Err(ArrayError::Dtype(name.to_owned())));
        }
    }

    #[test]
    fn both_byte_orders_give_the_same_numbers() {
        let array = |name: &str, bytes: Vec<u8>| {
            Array::new(Dtype::from_numpy(name).unwrap(), vec![2], bytes).unwrap()
        };
        let big = [-2.5f32, 1e9]
            .iter()
            .flat_map(|value| value.to_be_bytes())
            .collect();
        assert_eq!(array(">f4", big).to_f32(), [-2.5, 1e9]);
        assert_eq!(Array::of_f32(&[-2.5, 1e9], vec![2]).to_f32(), [-2.5, 1e9]);
        let halves = [f16::from_f32(0.5), f16::from_f32(-3.0)];
        let little = halves.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(array("<f2", little).to_f64(), [0.5, -3.0]);
        assert_eq!(array(">i2", vec![0xff, 0xfe, 1, 0]).to_f64(), [-2.0, 256.0]);
        assert_eq!(array("|b1", vec![0, 1]).to_f64(), [0.0, 1.0]);
    }

    #[test]
    fn bytes_that_do_not_fit_the_shape_are_refused_however_large_it_is() {
        for shape in [
            vec![3, 2],
            vec![],
            vec![5],
            vec![usize::MAX, 2],
            vec![usize::MAX, usize::MAX, 0],
        ] {
            let refused = Array::new(Dtype::F32, shape.clone(), vec![0; 16]);
            assert!(
                matches!(refused, Err(ArrayError::Bytes { found: 16, .. })),
                "{shape:?}: {refused:?}"
            );
        }
        assert!(Array::new(Dtype::F32, vec![2, 2], vec![0; 16]).is_ok());
        assert!(Array::new(Dtype::U8, vec![1; 33], vec![0]).is_err());
    }
}
