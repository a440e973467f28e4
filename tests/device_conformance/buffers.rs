//! Buffers of an operation: its program is kept, and what it reads and writes is elsewhere the next time.

use pi0_node::device::{Activation, Device, DeviceError, HeadLayout, HostTensor, KeysValues, RopeTable};

use crate::common::values::values;
use crate::tested::Tested;

/// Inputs of one shape, each uploaded twice.
struct Buffers<'a, D: Device> {
    tested: &'a Tested<D>,
    inputs: [Vec<f32>; 2],
    shape: [usize; 2],
}

impl<'a, D: Device> Buffers<'a, D> {
    fn new(tested: &'a Tested<D>, shape: [usize; 2]) -> Self {
        Self {
            tested,
            inputs: [31, 32].map(|seed| values(shape[0] * shape[1], seed)),
            shape,
        }
    }

    /// While all inputs and results are alive, results of equal inputs in different buffers are equal bit by bit, and those of other
    /// inputs are others.
    fn check(&self, what: &str, operation: impl Fn(&D::Tensor) -> Result<D::Tensor, DeviceError>) {
        let uploaded = [0, 1, 0, 1].map(|input: usize| self.tested.upload(&self.inputs[input], &self.shape));
        let results = uploaded
            .each_ref()
            .map(|x| operation(x).unwrap_or_else(|error| panic!("{what}: {error}")));
        let [first, other, again, other_again] = results.map(|result| {
            let values = self.tested.device.read_back(&result).unwrap();
            values.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        });
        if self.tested.computes {
            assert!(
                first == again,
                "{what}: the first input in another buffer has another result"
            );
            assert!(
                other == other_again,
                "{what}: the other input in another buffer has another result"
            );
            assert!(
                first != other,
                "{what}: the other input has the result of the first"
            );
        }
    }
}

fn parameter(seed: u32, shape: &[usize]) -> HostTensor<'static> {
    HostTensor::from_f32(&values(shape.iter().product(), seed), shape)
}

pub fn sums_and_moves_use_the_buffers_they_are_given<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let tile = device.tile_size();
    let shape @ [rows, width] = [2 * tile, 2 * tile];
    let buffers = Buffers::new(&tested, shape);
    let row = device.upload_parameter(&parameter(33, &[width])).unwrap();
    let fixed = tested.upload(&values(rows * width, 34), &shape);
    buffers.check("rms_norm", |x| device.rms_norm(x, &row, None, 1e-6));
    buffers.check("layer_norm", |x| device.layer_norm(x, &row, &row, 1e-6));
    buffers.check("add", |x| device.add(x, &fixed));
    buffers.check("euler_update", |x| device.euler_update(x, &fixed, 0.5));
    buffers.check("multiply", |x| device.multiply(x, &fixed));
    buffers.check("select", |x| device.select(&fixed, x, &fixed));
    buffers.check("concat_rows", |x| device.concat_rows(&[x, &fixed]));
    buffers.check("slice_rows", |x| device.slice_rows(x, tile..rows));
    buffers.check("copy", |x| {
        let mut target = device.zeros(&shape)?;
        device.copy(x, &mut target)?;
        Ok(target)
    });
}

pub fn products_use_the_buffers_they_are_given<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let tile = device.tile_size();
    let shape @ [rows, width] = [2 * tile, 2 * tile];
    let buffers = Buffers::new(&tested, shape);
    let weight = parameter(35, &[width, width]);
    let layer = device
        .upload_linear(std::slice::from_ref(&weight), &[parameter(36, &[width])])
        .unwrap();
    let gated = device
        .upload_gated_linear(&weight, &parameter(37, &[width, width]))
        .unwrap();
    let gate = device.upload_parameter(&parameter(38, &[width])).unwrap();
    let residual = tested.upload(&values(rows * width, 39), &shape);
    for activation in [Activation::None, Activation::GeluTanh, Activation::Silu] {
        buffers.check("linear", |x| device.linear(x, &layer, activation));
    }
    buffers.check("linear_add", |x| {
        device.linear_add(x, &layer, Some(&gate), &residual)
    });
    buffers.check("geglu", |x| device.geglu(x, &gated));
}

pub fn heads_use_the_buffers_they_are_given<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let tile = device.tile_size();
    let tokens = 2 * tile;
    let layout = HeadLayout {
        sequences: 1,
        num_heads: 2,
        num_kv_heads: 1,
        head_dim: tile,
    };
    let buffers = Buffers::new(&tested, [tokens, 4 * tile]);
    let table = RopeTable {
        cos: tested.upload(&values(tokens * tile, 43), &[tokens, tile]),
        sin: tested.upload(&values(tokens * tile, 44), &[tokens, tile]),
    };
    buffers.check("split_heads", |qkv| Ok(device.split_heads(qkv, layout)?.values));
    buffers.check("rope", |qkv| {
        device.rope(&device.split_heads(qkv, layout)?.queries, &table)
    });
    buffers.check("write_tokens", |qkv| {
        let heads = device.split_heads(qkv, layout)?;
        let [keys, of_values] = [(); 2].map(|()| device.zeros(&[1, 2 * tokens, tile]));
        let mut cache = KeysValues {
            keys: keys?,
            values: of_values?,
        };
        let written = KeysValues {
            keys: heads.keys,
            values: heads.values,
        };
        device.write_tokens(&mut cache, tokens, &written)?;
        Ok(cache.keys)
    });
}

pub fn attention_uses_the_buffers_it_is_given<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let tile = device.tile_size();
    let tokens = 2 * tile;
    let layout = HeadLayout {
        sequences: 1,
        num_heads: 1,
        num_kv_heads: 1,
        head_dim: tile,
    };
    let mask = tested.upload(&vec![0.0; tokens * tokens], &[tokens, tokens]);
    let buffers = Buffers::new(&tested, [tokens, 3 * tile]);
    buffers.check("attention", |qkv| {
        let heads = device.split_heads(qkv, layout)?;
        let attended = KeysValues {
            keys: heads.keys,
            values: heads.values,
        };
        device.attention(&heads.queries, &attended, 1, Some(&mask), 0.25)
    });
}
