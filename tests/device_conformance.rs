//! What every device must do: each operation of the contract against a plain definition in f64, and each
//! refusal of shapes that do not fit.

use pi0_node::device::{
    Activation, CpuDevice, Device, DeviceError, HeadLayout, HostTensor, Precision, RopeTable,
};

/// Values between −1 and 1 that look random, the same on every machine.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

struct Tested<D: Device> {
    device: D,
    /// How far its values may be from the definition, as a share of one plus the value.
    tolerance: f64,
}

impl<D: Device> Tested<D> {
    fn upload(&self, values: &[f32], shape: &[usize]) -> D::Tensor {
        self.device.upload(values, shape).unwrap()
    }

    fn expect(&self, what: &str, tensor: Result<D::Tensor, DeviceError>, shape: &[usize], expected: &[f64]) {
        let tensor = tensor.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(self.device.shape(&tensor), shape, "{what}: shape");
        let ours = self.device.read_back(&tensor).unwrap();
        assert_eq!(ours.len(), expected.len(), "{what}: number of values");
        for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
            let error = (f64::from(*ours) - expected).abs();
            assert!(
                error <= self.tolerance * (1.0 + expected.abs()),
                "{what}: value {index} is {ours}, expected {expected}"
            );
        }
    }

    fn refuse<T>(&self, what: &str, result: Result<T, DeviceError>) {
        assert!(
            matches!(result, Err(DeviceError::Shape { .. })),
            "{what} was not refused"
        );
    }
}

fn devices() -> Vec<Tested<CpuDevice>> {
    let cpu = |precision, threads, tolerance| Tested {
        device: CpuDevice::new(precision, threads).unwrap(),
        tolerance,
    };
    vec![
        cpu(Precision::F32, 1, 1e-5),
        cpu(Precision::F32, 3, 1e-5),
        cpu(Precision::Bf16, 2, 2e-2),
        cpu(Precision::Int8, 2, 5e-2),
    ]
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

/// `x · weightᵀ + bias`
fn product(x: &[f32], weight: &[f32], bias: &[f32], inputs: usize) -> Vec<f64> {
    x.chunks(inputs)
        .flat_map(|x| {
            weight.chunks(inputs).enumerate().map(move |(output, weight)| {
                let sum: f64 = x
                    .iter()
                    .zip(weight)
                    .map(|(x, w)| f64::from(*x) * f64::from(*w))
                    .sum();
                sum + bias.get(output).map_or(0.0, |&bias| f64::from(bias))
            })
        })
        .collect()
}

#[test]
fn linear_layers_stack_add_their_bias_and_activate() {
    // More outputs than one task computes, and a number of them that no block divides.
    let (rows, inputs, outputs) = (5, 40, [301, 70]);
    let x = values(rows * inputs, 1);
    let weights = outputs.map(|outputs| values(outputs * inputs, 2 + outputs as u32));
    let biases = outputs.map(|outputs| values(outputs, 3 + outputs as u32));
    let expected = product(&x, &weights.concat(), &biases.concat(), inputs);
    for tested in devices() {
        let device = &tested.device;
        let part = |index: usize| HostTensor::from_f32(&weights[index], &[outputs[index], inputs]);
        let bias = |index: usize| HostTensor::from_f32(&biases[index], &[outputs[index]]);
        let layer = device
            .upload_linear(&[part(0), part(1)], &[bias(0), bias(1)])
            .unwrap();
        let x = tested.upload(&x, &[rows, inputs]);
        let silu = |x: f64| x / (1.0 + (-x).exp());
        for (activation, function) in [
            (Activation::None, (|x| x) as fn(f64) -> f64),
            (Activation::GeluTanh, gelu),
            (Activation::Silu, silu),
        ] {
            let expected: Vec<f64> = expected.iter().map(|&y| function(y)).collect();
            let y = device.linear(&x, &layer, activation);
            tested.expect(&format!("{activation:?}"), y, &[rows, 371], &expected);
        }
        let without_bias = device.upload_linear(&[part(1)], &[]).unwrap();
        let y = device.linear(&x, &without_bias, Activation::None);
        let expected = product(&device.read_back(&x).unwrap(), &weights[1], &[], inputs);
        tested.expect("without bias", y, &[rows, 70], &expected);

        let narrow = tested.upload(&[0.0; 6], &[2, 3]);
        tested.refuse("width", device.linear(&narrow, &layer, Activation::None));
        let other = HostTensor::from_f32(&[0.0; 6], &[2, 3]);
        tested.refuse("unequal inputs", device.upload_linear(&[part(0), other], &[]));
        tested.refuse("biases", device.upload_linear(&[part(0)], &[bias(1)]));
        tested.refuse("no weight", device.upload_linear(&[], &[]));
    }
}

#[test]
fn products_are_right_for_every_number_of_rows() {
    let (inputs, outputs) = (64, 130);
    let weight = values(inputs * outputs, 5);
    for tested in devices() {
        let host = HostTensor::from_f32(&weight, &[outputs, inputs]);
        let layer = tested.device.upload_linear(&[host], &[]).unwrap();
        for rows in [0, 1, 2, 7, 51, 129] {
            let x = values(rows * inputs, 6);
            let y = tested
                .device
                .linear(&tested.upload(&x, &[rows, inputs]), &layer, Activation::None);
            let expected = product(&x, &weight, &[], inputs);
            tested.expect(&format!("{rows} rows"), y, &[rows, outputs], &expected);
        }
    }
}

#[test]
fn embedding_looks_rows_up_and_scales_them() {
    let table = values(7 * 4, 7);
    for tested in devices() {
        let device = &tested.device;
        let on_device = device
            .upload_table(&HostTensor::from_f32(&table, &[7, 4]))
            .unwrap();
        let expected: Vec<f64> = [6, 0, 6]
            .iter()
            .flat_map(|row| wide(&table[row * 4..][..4]))
            .map(|value| 3.0 * value)
            .collect();
        tested.expect(
            "rows",
            device.embedding(&on_device, &[6, 0, 6], 3.0),
            &[3, 4],
            &expected,
        );
        let beyond = device.embedding(&on_device, &[0, 7], 1.0);
        assert!(matches!(
            beyond,
            Err(DeviceError::Token {
                token: 7,
                vocab_size: 7
            })
        ));
        tested.refuse(
            "a vector",
            device.upload_table(&HostTensor::from_f32(&table, &[28])),
        );
    }
}

#[test]
fn norms_take_mean_and_scale_out_of_every_row() {
    let (rows, width, eps) = (9, 50, 1e-6);
    let x: Vec<f32> = values(rows * width, 8).iter().map(|x| 3.0 * x + 1.0).collect();
    let (weight, bias) = (values(width, 9), values(width, 10));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let square = |values: &[f64]| values.iter().map(|x| x * x).collect::<Vec<_>>();
    let layer_norm = x.chunks(width).flat_map(|row| {
        let row = wide(row);
        let centred: Vec<f64> = row.iter().map(|x| x - mean(&row)).collect();
        let scale = (mean(&square(&centred)) + eps).sqrt();
        let parameters = weight.iter().zip(&bias);
        let normed = centred.iter().zip(parameters);
        normed
            .map(|(x, (weight, bias))| x / scale * f64::from(*weight) + f64::from(*bias))
            .collect::<Vec<_>>()
    });
    let rms_norm = x.chunks(width).flat_map(|row| {
        let row = wide(row);
        let scale = (mean(&square(&row)) + eps).sqrt();
        let normed = row.iter().zip(&weight);
        normed
            .map(|(x, weight)| x / scale * (1.0 + f64::from(*weight)))
            .collect::<Vec<_>>()
    });
    let (layer_norm, rms_norm): (Vec<f64>, Vec<f64>) = (layer_norm.collect(), rms_norm.collect());
    for tested in devices() {
        let device = &tested.device;
        let x = tested.upload(&x, &[rows, width]);
        let parameter = |values: &[f32]| {
            let host = HostTensor::from_f32(values, &[values.len()]);
            device.upload_parameter(&host).unwrap()
        };
        let (weight, bias) = (parameter(&weight), parameter(&bias));
        let y = device.layer_norm(&x, &weight, &bias, eps as f32);
        tested.expect("layer_norm", y, &[rows, width], &layer_norm);
        let y = device.rms_norm(&x, &weight, eps as f32);
        tested.expect("rms_norm", y, &[rows, width], &rms_norm);
        let short = parameter(&[1.0, 2.0]);
        tested.refuse("weight", device.rms_norm(&x, &short, 1e-6));
        tested.refuse("bias", device.layer_norm(&x, &weight, &short, 1e-6));
    }
}

#[test]
fn heads_are_split_queries_keys_values() {
    let layout = HeadLayout {
        num_heads: 2,
        num_kv_heads: 1,
        head_dim: 3,
    };
    let qkv: Vec<f32> = (0..24).map(|value| value as f32).collect();
    for tested in devices() {
        let device = &tested.device;
        let heads = device
            .split_heads(&tested.upload(&qkv, &[2, 12]), layout)
            .unwrap();
        let queries = [0, 1, 2, 12, 13, 14, 3, 4, 5, 15, 16, 17].map(f64::from);
        tested.expect("queries", Ok(heads.queries), &[2, 2, 3], &queries);
        tested.expect(
            "keys",
            Ok(heads.keys),
            &[1, 2, 3],
            &[6, 7, 8, 18, 19, 20].map(f64::from),
        );
        tested.expect(
            "values",
            Ok(heads.values),
            &[1, 2, 3],
            &[9, 10, 11, 21, 22, 23].map(f64::from),
        );
        tested.refuse("width", device.split_heads(&tested.upload(&qkv, &[3, 8]), layout));
    }
}

#[test]
fn rope_rotates_the_first_half_of_a_head_against_the_second() {
    let (cos, sin) = (vec![0.6, 1.0], vec![0.8, 0.0]);
    for tested in devices() {
        let device = &tested.device;
        let table = RopeTable {
            cos: tested.upload(&cos, &[1, 2]),
            sin: tested.upload(&sin, &[1, 2]),
        };
        let x = tested.upload(&[1.0, 2.0, 3.0, 4.0], &[1, 1, 4]);
        let rotated = [0.6 - 0.8 * 3.0, 2.0, 0.6 * 3.0 + 0.8, 4.0];
        tested.expect("rotation", device.rope(&x, &table), &[1, 1, 4], &rotated);
        let longer = tested.upload(&[0.0; 8], &[1, 2, 4]);
        tested.refuse("tokens", device.rope(&longer, &table));
        tested.refuse(
            "a matrix",
            device.rope(&tested.upload(&[0.0; 4], &[1, 4]), &table),
        );
    }
}

/// The definition of attention with grouped key heads, in f64.
struct Attention {
    num_heads: usize,
    num_kv_heads: usize,
    queries: usize,
    capacity: usize,
    valid_keys: usize,
    head_dim: usize,
}

impl Attention {
    fn define(&self, q: &[f32], k: &[f32], v: &[f32], mask: Option<&[f32]>, scale: f64) -> Vec<f64> {
        let Self {
            num_heads,
            num_kv_heads,
            queries,
            capacity,
            valid_keys,
            head_dim,
        } = *self;
        let mut merged = vec![0.0; queries * num_heads * head_dim];
        for head in 0..num_heads {
            let kv_head = head * num_kv_heads / num_heads;
            let row = |values: &[f32], index: usize| wide(&values[index * head_dim..][..head_dim]);
            for query in 0..queries {
                let q = row(q, head * queries + query);
                let scores: Vec<f64> = (0..valid_keys)
                    .map(|key| {
                        let k = row(k, kv_head * capacity + key);
                        let score: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
                        scale * score + mask.map_or(0.0, |mask| f64::from(mask[query * valid_keys + key]))
                    })
                    .map(f64::exp)
                    .collect();
                let sum: f64 = scores.iter().sum();
                for (key, score) in scores.iter().enumerate() {
                    let v = row(v, kv_head * capacity + key);
                    for (dim, v) in v.iter().enumerate() {
                        merged[(query * num_heads + head) * head_dim + dim] += score / sum * v;
                    }
                }
            }
        }
        merged
    }
}

#[test]
fn attention_weighs_valid_keys_by_masked_softmax() {
    for (num_heads, num_kv_heads, queries, capacity, valid_keys, head_dim) in [
        (4, 1, 70, 90, 83, 16),
        (6, 2, 1, 4, 1, 18),
        (3, 3, 130, 130, 130, 8),
    ] {
        let shape = Attention {
            num_heads,
            num_kv_heads,
            queries,
            capacity,
            valid_keys,
            head_dim,
        };
        let q = values(num_heads * queries * head_dim, 11);
        let k = values(num_kv_heads * capacity * head_dim, 12);
        let v = values(num_kv_heads * capacity * head_dim, 13);
        let mask: Vec<f32> = (0..queries * valid_keys)
            .map(|index| {
                if index % valid_keys % 3 == 1 {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
            .collect();
        for tested in devices() {
            let device = &tested.device;
            let queries_tensor = tested.upload(&q, &[num_heads, queries, head_dim]);
            let keys = tested.upload(&k, &[num_kv_heads, capacity, head_dim]);
            let values = tested.upload(&v, &[num_kv_heads, capacity, head_dim]);
            let uploaded_mask = tested.upload(&mask, &[queries, valid_keys]);
            let width = num_heads * head_dim;
            for (mask, on_device) in [(None, None), (Some(&mask[..]), Some(&uploaded_mask))] {
                let merged = device.attention(&queries_tensor, &keys, &values, valid_keys, on_device, 0.25);
                let expected = shape.define(&q, &k, &v, mask, 0.25);
                tested.expect("attention", merged, &[queries, width], &expected);
            }
            let attend = |keys, values, valid_keys, mask| {
                device.attention(&queries_tensor, keys, values, valid_keys, mask, 0.25)
            };
            tested.refuse(
                "more keys than there are",
                attend(&keys, &values, capacity + 1, None),
            );
            let flat = tested.upload(&v, &[v.len() / head_dim, head_dim]);
            tested.refuse("values", attend(&keys, &flat, valid_keys, None));
            if valid_keys > 1 {
                tested.refuse(
                    "mask",
                    attend(&keys, &values, valid_keys - 1, Some(&uploaded_mask)),
                );
            }
        }
    }
}

#[test]
fn geglu_gates_the_second_half_with_the_first() {
    let gate_up = values(3 * 8, 14);
    let expected: Vec<f64> = gate_up
        .chunks(8)
        .flat_map(|row| (0..4).map(|i| gelu(f64::from(row[i])) * f64::from(row[4 + i])))
        .collect();
    for tested in devices() {
        let y = tested.device.geglu(&tested.upload(&gate_up, &[3, 8]));
        tested.expect("geglu", y, &[3, 4], &expected);
        let odd = tested.upload(&[0.0; 3], &[1, 3]);
        tested.refuse("odd width", tested.device.geglu(&odd));
    }
}

#[test]
fn tensors_join_by_rows_and_by_columns() {
    for tested in devices() {
        let device = &tested.device;
        let a = tested.upload(&[1.0, 2.0, 3.0, 4.0], &[2, 2]);
        let b = tested.upload(&[5.0, 6.0], &[1, 2]);
        let c = tested.upload(&[7.0, 8.0], &[2, 1]);
        let rows = device.concat_rows(&[&a, &b]);
        tested.expect("rows", rows, &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let columns = device.concat_columns(&[&c, &a]);
        tested.expect("columns", columns, &[2, 3], &[7.0, 1.0, 2.0, 8.0, 3.0, 4.0]);
        tested.refuse("widths", device.concat_rows(&[&a, &c]));
        tested.refuse("heights", device.concat_columns(&[&a, &b]));
        tested.refuse("nothing", device.concat_rows(&[]));
    }
}

#[test]
fn sums_and_euler_updates_go_value_by_value() {
    for tested in devices() {
        let device = &tested.device;
        let x = tested.upload(&[1.0, 2.0], &[1, 2]);
        let y = tested.upload(&[10.0, -20.0], &[1, 2]);
        tested.expect("add", device.add(&x, &y), &[1, 2], &[11.0, -18.0]);
        tested.expect(
            "euler_update",
            device.euler_update(&x, &y, -0.1),
            &[1, 2],
            &[0.0, 4.0],
        );
        let column = tested.upload(&[0.0, 0.0], &[2, 1]);
        tested.refuse("add", device.add(&x, &column));
        tested.refuse("euler_update", device.euler_update(&x, &column, 0.1));
    }
}

#[test]
fn a_cache_keeps_what_is_written_where_it_is_written() {
    for tested in devices() {
        let device = &tested.device;
        let mut cache = device.zeros(&[2, 3, 1]).unwrap();
        let before = cache.clone();
        let tokens = tested.upload(&[1.0, 2.0, 3.0, 4.0], &[2, 2, 1]);
        device.write_tokens(&mut cache, 1, &tokens).unwrap();
        tested.expect(
            "written",
            Ok(cache.clone()),
            &[2, 3, 1],
            &[0.0, 1.0, 2.0, 0.0, 3.0, 4.0],
        );
        tested.expect("a clone made before", Ok(before), &[2, 3, 1], &[0.0; 6]);
        tested.refuse("beyond the end", device.write_tokens(&mut cache, 2, &tokens));
        let one_head = tested.upload(&[1.0], &[1, 1, 1]);
        tested.refuse("heads", device.write_tokens(&mut cache, 0, &one_head));
    }
}

#[test]
fn uploads_are_checked_and_read_backs_are_counted() {
    for tested in devices() {
        let device = &tested.device;
        tested.refuse("values", device.upload(&[1.0; 3], &[2, 2]));
        let x = tested.upload(&[1.0, 2.0], &[1, 2]);
        let before = device.read_backs();
        assert_eq!(device.read_back(&x).unwrap(), [1.0, 2.0]);
        assert_eq!(device.read_backs(), before + 1);
    }
}
