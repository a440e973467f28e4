//! A tensor on the host, in the type in which it was stored.

use std::borrow::Cow;
use std::ops::Range;

use half::{bf16, f16};

use super::vectorised::vectorised;

/// Element types of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32 bits, IEEE 754.
    F32,
    /// 16 bits: the upper half of f32.
    Bf16,
    /// 16 bits, IEEE 754.
    F16,
}

impl Dtype {
    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::Bf16 | Dtype::F16 => 2,
        }
    }

    /// Name in PyTorch.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "float32",
            Dtype::Bf16 => "bfloat16",
            Dtype::F16 => "float16",
        }
    }
}

/// Row-major values as little-endian bytes, most often a view into a memory-mapped checkpoint.
#[derive(Clone, Debug)]
pub struct HostTensor<'a> {
    /// Type of one value.
    pub dtype: Dtype,
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Values, row-major and little-endian.
    pub bytes: Cow<'a, [u8]>,
}

impl HostTensor<'static> {
    /// Copies f32 values of a shape.
    ///
    /// # Panics
    /// When there are not as many values as the shape has.
    pub fn from_f32(values: &[f32], shape: &[usize]) -> Self {
        assert_eq!(
            values.len(),
            shape.iter().product::<usize>(),
            "values of shape {shape:?}"
        );
        Self {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        }
    }
}

impl HostTensor<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Converts all values to f32.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => self.elements(f32::from_le_bytes),
            Dtype::Bf16 => self.elements(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F16 => self.elements(|bytes| f16::from_le_bytes(bytes).to_f32()),
        }
    }

    /// Converts the values from index `start` on to f32, until `values` is full.
    ///
    /// # Panics
    /// When the tensor has fewer.
    pub fn read_f32(&self, start: usize, values: &mut [f32]) {
        fn read<const N: usize>(
            bytes: &[u8],
            start: usize,
            values: &mut [f32],
            convert: impl Fn([u8; N]) -> f32,
        ) {
            let elements = &bytes.as_chunks::<N>().0[start..][..values.len()];
            vectorised!({
                for (value, bytes) in values.iter_mut().zip(elements) {
                    *value = convert(*bytes);
                }
            });
        }
        match self.dtype {
            Dtype::F32 => read(&self.bytes, start, values, f32::from_le_bytes),
            Dtype::Bf16 => read(&self.bytes, start, values, |bytes| {
                f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
            }),
            Dtype::F16 => read(&self.bytes, start, values, |bytes| {
                f16::from_le_bytes(bytes).to_f32()
            }),
        }
    }

    /// Multiplies on the host, in f32, for what is computed once and not on a device: `x · weightᵀ`, `x` of
    /// rows `[inputs]`, the tensor a weight `[outputs, inputs]`; rows `[outputs]`.
    ///
    /// # Panics
    /// When the tensor is no matrix, or the rows of `x` are not as wide as its rows.
    pub fn project(&self, x: &[f32]) -> Vec<f32> {
        const LANES: usize = 16;
        let [outputs, inputs] = self.shape[..] else {
            panic!("a product with {:?}", self.shape);
        };
        assert!(
            inputs > 0 && x.len().is_multiple_of(inputs),
            "{} values in rows of {inputs}",
            x.len()
        );
        let mut y = vec![0.0; x.len() / inputs * outputs];
        let mut weights = vec![0.0; inputs];
        for output in 0..outputs {
            self.read_f32(output * inputs, &mut weights);
            vectorised!({
                for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
                    let mut lanes = [0.0; LANES];
                    for (x, weights) in x.chunks(LANES).zip(weights.chunks(LANES)) {
                        for ((lane, x), weight) in lanes.iter_mut().zip(x).zip(weights) {
                            *lane += x * weight;
                        }
                    }
                    y[output] = lanes.iter().sum();
                }
            });
        }
        y
    }

    /// Copies the values, so that no file has to stay open for them.
    pub fn into_owned(self) -> HostTensor<'static> {
        HostTensor {
            dtype: self.dtype,
            shape: self.shape,
            bytes: Cow::Owned(self.bytes.into_owned()),
        }
    }

    /// Changes the shape to another one of as many values.
    ///
    /// # Panics
    /// When the shape has another number of values.
    pub fn reshape(mut self, shape: &[usize]) -> Self {
        assert_eq!(
            self.len(),
            shape.iter().product::<usize>(),
            "{:?} to {shape:?}",
            self.shape
        );
        self.shape = shape.to_vec();
        self
    }

    /// Copies a range of columns of `[rows, columns]`.
    ///
    /// # Panics
    /// When the tensor is no matrix or has fewer.
    pub fn columns(&self, columns: Range<usize>) -> HostTensor<'static> {
        let [rows, width] = self.shape[..] else {
            panic!("columns of {:?}", self.shape);
        };
        let size = self.dtype.size();
        let bytes = self
            .bytes
            .chunks_exact((width * size).max(1))
            .flat_map(|row| &row[columns.start * size..columns.end * size]);
        HostTensor {
            dtype: self.dtype,
            shape: vec![rows, columns.len()],
            bytes: bytes.copied().collect(),
        }
    }

    /// Zeros behind every `group` values, so that each group takes `padded`; the result has this shape.
    ///
    /// # Panics
    /// When the groups do not fill the shape.
    pub fn pad_groups(&self, group: usize, padded: usize, shape: &[usize]) -> HostTensor<'static> {
        let size = self.dtype.size();
        let mut bytes = Vec::with_capacity(self.bytes.len() / group * padded);
        for values in self.bytes.chunks_exact(group * size) {
            bytes.extend_from_slice(values);
            bytes.resize(bytes.len() + (padded - group) * size, 0);
        }
        assert_eq!(
            bytes.len(),
            shape.iter().product::<usize>() * size,
            "groups of {group} in {:?} padded to {padded} for {shape:?}",
            self.shape
        );
        HostTensor {
            dtype: self.dtype,
            shape: shape.to_vec(),
            bytes: Cow::Owned(bytes),
        }
    }

    fn elements<T, const N: usize>(&self, convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (elements, rest) = self.bytes.as_chunks::<N>();
        debug_assert!(rest.is_empty());
        elements.iter().map(|&bytes| convert(bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_type_reads_as_f32() {
        let values = [1.5, -2.0, 0.0078125];
        let stored = |dtype| HostTensor {
            dtype,
            shape: vec![3],
            bytes: Cow::Owned(match dtype {
                Dtype::F32 => values.iter().flat_map(|v: &f32| v.to_le_bytes()).collect(),
                Dtype::Bf16 => values
                    .iter()
                    .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                    .collect(),
                Dtype::F16 => values
                    .iter()
                    .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                    .collect(),
            }),
        };
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
            assert_eq!(stored(dtype).to_f32(), values, "{dtype:?}");
        }
    }

    #[test]
    fn a_product_on_the_host_goes_over_all_inputs() {
        let (inputs, outputs) = (21, 2);
        let weight: Vec<f32> = (0..outputs * inputs)
            .map(|index| (index % 5) as f32 - 2.0)
            .collect();
        let x: Vec<f32> = (0..3 * inputs).map(|index| (index % 7) as f32).collect();
        let expected: Vec<f32> = x
            .chunks(inputs)
            .flat_map(|x| {
                let dot = |weight: &[f32]| x.iter().zip(weight).map(|(x, weight)| x * weight).sum::<f32>();
                weight.chunks(inputs).map(dot).collect::<Vec<_>>()
            })
            .collect();
        let weight = HostTensor::from_f32(&weight, &[outputs, inputs]);
        assert_eq!(weight.project(&x), expected);
    }

    #[test]
    fn columns_are_cut_and_groups_padded_in_every_type() {
        let tensor = HostTensor::from_f32(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
        let cut = tensor.columns(1..3);
        assert_eq!(
            (cut.shape.as_slice(), cut.to_f32()),
            (&[2, 2][..], vec![2.0, 3.0, 5.0, 6.0])
        );
        let half = HostTensor {
            dtype: Dtype::Bf16,
            shape: vec![2],
            bytes: Cow::Owned(
                [bf16::ONE, bf16::NEG_ONE]
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect(),
            ),
        };
        assert_eq!(half.pad_groups(1, 2, &[4]).to_f32(), [1.0, 0.0, -1.0, 0.0]);
    }
}
