//! What every device must do: each operation of the contract against a plain definition in f64, and each
//! refusal of shapes that do not fit.

use std::sync::MutexGuard;
#[cfg(feature = "tenstorrent")]
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use pi0_node::benchmark::{RandomWeights, demo_sized};
use pi0_node::device::{
    Activation, CpuDevice, Device, DeviceError, HeadLayout, HostTensor, KeysValues, PatchGrid, Precision,
    RopeTable,
};
#[cfg(feature = "tenstorrent")]
use pi0_node::device::{TenstorrentDevice, TenstorrentOptions};
use pi0_node::model::{ModelInput, Pi0};
#[cfg(feature = "tenstorrent")]
use tt_metal_sys::{Dtype, Kernel, Layout, MockCard, Program};

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
    /// A mock card does not.
    computes: bool,
    /// A card is for one test at a time.
    _alone: Option<MutexGuard<'static, ()>>,
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
        if !self.computes {
            return;
        }
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
        computes: true,
        _alone: None,
    };
    vec![
        cpu(Precision::F32, 1, 1e-5),
        cpu(Precision::F32, 3, 1e-5),
        cpu(Precision::Bf16, 2, 2e-2),
        // On some machines activations are rounded to 8 bits as well.
        cpu(Precision::Int8, 2, 1e-1),
    ]
}

/// The card, when this build knows of any and there is one; never without a word.
///
/// With `PI0_MOCK_CARD=n150` or `p150` a mock of one, on which only shapes are compared.
#[cfg(feature = "tenstorrent")]
fn card() -> Option<Tested<TenstorrentDevice>> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mock = std::env::var("PI0_MOCK_CARD");
    let opened = match &mock {
        Ok(card) => {
            println!("ON A MOCK CARD, SHAPES ONLY: {card}");
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
            TenstorrentDevice::open_mock(&MockCard {
                descriptor: folder.join(format!("tools/tenstorrent/mock/{card}.yaml")),
                cache: folder.join("target/mock-cache"),
            })
        }
        Err(_) => TenstorrentDevice::open(&TenstorrentOptions::default()),
    };
    match opened {
        Ok(device) => Some(Tested {
            device,
            tolerance: 5e-2,
            computes: mock.is_err(),
            _alone: Some(alone),
        }),
        Err(error) => {
            assert!(mock.is_err(), "{error}");
            println!("NOT TESTED ON A CARD: {error}");
            None
        }
    }
}

/// Runs a block on the CPU device in all its precisions and, with the feature `tenstorrent`, on a card.
macro_rules! on_every_device {
    (|$tested:ident| $block:block) => {
        for $tested in devices() $block
        #[cfg(feature = "tenstorrent")]
        if let Some($tested) = card() $block
    };
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
    let x_values = values(rows * inputs, 1);
    let weights = outputs.map(|outputs| values(outputs * inputs, 2 + outputs as u32));
    let biases = outputs.map(|outputs| values(outputs, 3 + outputs as u32));
    let expected = product(&x_values, &weights.concat(), &biases.concat(), inputs);
    on_every_device!(|tested| {
        let device = &tested.device;
        let part = |index: usize| HostTensor::from_f32(&weights[index], &[outputs[index], inputs]);
        let bias = |index: usize| HostTensor::from_f32(&biases[index], &[outputs[index]]);
        let layer = device
            .upload_linear(&[part(0), part(1)], &[bias(0), bias(1)])
            .unwrap();
        let x = tested.upload(&x_values, &[rows, inputs]);
        let silu = |x: f64| x / (1.0 + (-x).exp());
        for (activation, function) in [
            (Activation::None, (|x| x) as fn(f64) -> f64),
            (Activation::GeluTanh, gelu),
            (Activation::Silu, silu),
        ] {
            let activated: Vec<f64> = expected.iter().map(|&y| function(y)).collect();
            let y = device.linear(&x, &layer, activation);
            tested.expect(&format!("{activation:?}"), y, &[rows, 371], &activated);
        }
        let without_bias = device.upload_linear(&[part(1)], &[]).unwrap();
        let y = device.linear(&x, &without_bias, Activation::None);
        let unbiased = product(&x_values, &weights[1], &[], inputs);
        tested.expect("without bias", y, &[rows, 70], &unbiased);

        let residual = values(rows * 371, 7);
        let on_device = tested.upload(&residual, &[rows, 371]);
        let sums: Vec<f64> = expected.iter().zip(wide(&residual)).map(|(y, r)| y + r).collect();
        tested.expect(
            "residual",
            device.linear_add(&x, &layer, &on_device),
            &[rows, 371],
            &sums,
        );
        let other_bias = values(371, 8);
        let rebiased = device
            .with_bias(&layer, &tested.upload(&other_bias, &[1, 371]))
            .unwrap();
        let rebiased_sums = product(&x_values, &weights.concat(), &other_bias, inputs);
        let y = device.linear(&x, &rebiased, Activation::None);
        tested.expect("another bias", y, &[rows, 371], &rebiased_sums);
        tested.expect(
            "the first bias",
            device.linear(&x, &layer, Activation::None),
            &[rows, 371],
            &expected,
        );

        let narrow = tested.upload(&[0.0; 6], &[2, 3]);
        tested.refuse("residual", device.linear_add(&x, &layer, &narrow));
        tested.refuse("bias", device.with_bias(&layer, &narrow));
        tested.refuse("width", device.linear(&narrow, &layer, Activation::None));
        let other = HostTensor::from_f32(&[0.0; 6], &[2, 3]);
        tested.refuse("unequal inputs", device.upload_linear(&[part(0), other], &[]));
        tested.refuse("biases", device.upload_linear(&[part(0)], &[bias(1)]));
        tested.refuse("no weight", device.upload_linear(&[], &[]));
    });
}

#[test]
fn products_are_right_for_every_number_of_rows() {
    let (inputs, outputs) = (64, 130);
    let weight = values(inputs * outputs, 5);
    on_every_device!(|tested| {
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
    });
}

#[test]
fn embedding_looks_rows_up_and_scales_them() {
    let table = values(7 * 4, 7);
    on_every_device!(|tested| {
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
    });
}

#[test]
fn images_are_cut_into_patches() {
    let grid = PatchGrid {
        image_size: 23,
        patch_size: 5,
    };
    let (size, patch) = (grid.image_size, grid.patch_size);
    let pixels = 3 * size * size;
    let of_bytes = |image: u32| -> Vec<f32> {
        let bytes = values(pixels, image)
            .into_iter()
            .map(|x| (x * 127.0 + 128.0) as u8);
        bytes.map(|byte| f32::from(byte) / 255.0 * 2.0 - 1.0).collect()
    };
    // One after the other in the same place.
    let images = [
        ("bytes", of_bytes(17)),
        ("other bytes", of_bytes(18)),
        ("no bytes", values(pixels, 19)),
        ("bytes again", of_bytes(20)),
    ];
    on_every_device!(|tested| {
        let device = &tested.device;
        let tokens = 16_usize.next_multiple_of(device.tile());
        for (_, first) in [&images[0], &images[2]] {
            let mut place = device.upload_image(first, size).unwrap();
            for (what, image) in &images {
                let mut expected = vec![0.0; tokens * 75];
                for (pixel, &value) in image.iter().enumerate() {
                    let (channel, y, x) = (pixel / (size * size), pixel / size % size, pixel % size);
                    if y < 20 && x < 20 {
                        let row = y / patch * 4 + x / patch;
                        let column = (channel * patch + y % patch) * patch + x % patch;
                        expected[row * 75 + column] = f64::from(value);
                    }
                }
                device.write(&mut place, image).unwrap();
                tested.expect(what, device.patches(&place, grid), &[tokens, 75], &expected);
            }
        }
        let mut place = device.upload_image(&images[0].1, size).unwrap();
        tested.refuse("a short image", device.upload_image(&[0.0; 7], size));
        tested.refuse("a short frame", device.write(&mut place, &[0.0; 7]));
        let matrix = tested.upload(&[0.0; 4], &[2, 2]);
        tested.refuse("no image", device.patches(&matrix, grid));
        for (image_size, patch_size) in [(size, 0), (size, 24), (22, patch)] {
            let other = PatchGrid {
                image_size,
                patch_size,
            };
            tested.refuse("other sizes", device.patches(&place, other));
        }
    });
}

#[cfg(feature = "tenstorrent")]
const SMALL_GRID: PatchGrid = PatchGrid {
    image_size: 32,
    patch_size: 8,
};

#[cfg(feature = "tenstorrent")]
#[test]
fn a_camera_s_images_travel_as_bytes_until_one_is_resampled() {
    let Some(tested) = card() else { return };
    let device = &tested.device;
    let pixels = 3 * 32 * 32;
    let (black, resampled) = (vec![-1.0; pixels], values(pixels, 3));
    let [mut camera, mut other] = [(); 2].map(|()| device.upload_image(&black, 32).unwrap());
    let mut uploaded = |image: &[f32]| {
        let graph = device.capture(|| device.write(&mut camera, image));
        graph.unwrap().uploaded_bytes
    };
    let bytes = [&black, &resampled, &black].map(|image| uploaded(image));
    assert_eq!(
        bytes,
        [1, 2, 2].map(|bytes_a_pixel| bytes_a_pixel * pixels as u64)
    );
    let of_other = device.capture(|| device.write(&mut other, &black)).unwrap();
    assert_eq!(of_other.uploaded_bytes, pixels as u64, "another camera's");
}

#[cfg(feature = "tenstorrent")]
#[test]
fn the_first_resampled_frame_ends_a_recording_and_no_other_frame_does() {
    let Some(tested) = card() else { return };
    let device = &tested.device;
    let pixels = 3 * 32 * 32;
    let (black, resampled) = (vec![-1.0; pixels], values(pixels, 3));
    let mut image = device.upload_image(&black, 32).unwrap();
    let mut patches = device.zeros(&[32, 192]).unwrap();
    let mut recording = Default::default();
    let mut operations = |frame: &[f32]| {
        let graph = device.capture(|| {
            device.write(&mut image, frame)?;
            device.replay(&mut recording, &[&image], || {
                device.copy(&device.patches(&image, SMALL_GRID)?, &mut patches)
            })
        });
        graph.unwrap().operations.len()
    };
    let asked: Vec<bool> = [
        &black, &black, &black, &resampled, &black, &resampled, &black, &black,
    ]
    .map(|frame| operations(frame) > 0)
    .into();
    // Run and recorded once as bytes, and once as bfloat16.
    assert_eq!(asked, [true, true, false, true, true, false, false, false]);
}

/// An image is no activation: its values lie otherwise.
#[cfg(feature = "tenstorrent")]
#[test]
fn an_image_is_refused_where_a_matrix_or_heads_are_expected() {
    let Some(tested) = card() else { return };
    let device = &tested.device;
    let mut image = device.upload_image(&[0.0; 3 * 32 * 32], 32).unwrap();
    let mut tensor = tested.upload(&[0.0; 3 * 32 * 32], &[3, 32, 32]);
    tested.refuse("a read-back", device.read_back(&image));
    tested.refuse("a copy", device.copy(&image, &mut tensor));
    tested.refuse("a copy's place", device.copy(&tensor, &mut image));
    tested.refuse("patches of no image", device.patches(&tensor, SMALL_GRID));
    let table = RopeTable {
        cos: tested.upload(&[0.0; 32 * 32], &[32, 32]),
        sin: tested.upload(&[0.0; 32 * 32], &[32, 32]),
    };
    tested.refuse("heads", device.rope(&image, &table));
}

/// Which also shows that the mock card's stand-in for the kernel compiler does compile our kernels.
#[cfg(feature = "tenstorrent")]
#[test]
fn a_kernel_that_does_not_compile_is_refused() {
    let Some(tested) = card() else { return };
    let card = tested.device.card();
    let tensor = card.zeros(&[1, 1, 32, 32], Dtype::Bf16, Layout::Tile).unwrap();
    let kernel = |source| Kernel {
        source,
        compile_time_args: Vec::new(),
        tensors: vec![0],
        core_args: vec![vec![7]],
    };
    let run = |writer| {
        let program = Program {
            columns: 1,
            rows: 1,
            reader: kernel("void kernel_main() {}"),
            writer: kernel(writer),
            circular_buffers: Vec::new(),
        };
        card.run_program("nothing", &program, &[&tensor, &tensor])
    };
    run("#include \"api/dataflow/dataflow_api.h\"\nvoid kernel_main() { get_arg_val<uint32_t>(0); }")
        .unwrap();
    let refused = run("void kernel_main() { there_is_no_such_function(); }");
    assert!(
        matches!(
            &refused,
            Err(tt_metal_sys::Error::Operation {
                operation: "nothing",
                ..
            })
        ),
        "{refused:?}"
    );
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
            .map(|(x, weight)| x / scale * f64::from(*weight))
            .collect::<Vec<_>>()
    });
    let (layer_norm, rms_norm): (Vec<f64>, Vec<f64>) = (layer_norm.collect(), rms_norm.collect());
    on_every_device!(|tested| {
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
    });
}

#[test]
fn heads_are_split_queries_keys_values() {
    on_every_device!(|tested| {
        let device = &tested.device;
        let (tokens, head_dim) = (2 * device.tile(), 3 * device.tile());
        let layout = HeadLayout {
            sequences: 2,
            num_heads: 2,
            num_kv_heads: 1,
            head_dim,
        };
        let width = 4 * head_dim;
        let qkv = values(2 * tokens * width, 9);
        let on_device = tested.upload(&qkv, &[2 * tokens, width]);
        let heads = device.split_heads(&on_device, layout).unwrap();
        let expected = |of_sequence: std::ops::Range<usize>| -> Vec<f64> {
            let mut split = Vec::new();
            for sequence in 0..2 {
                for head in of_sequence.clone() {
                    for token in 0..tokens {
                        let start = (sequence * tokens + token) * width + head * head_dim;
                        split.extend(wide(&qkv[start..][..head_dim]));
                    }
                }
            }
            split
        };
        tested.expect(
            "queries",
            Ok(heads.queries),
            &[4, tokens, head_dim],
            &expected(0..2),
        );
        tested.expect("keys", Ok(heads.keys), &[2, tokens, head_dim], &expected(2..3));
        tested.expect(
            "values",
            Ok(heads.values),
            &[2, tokens, head_dim],
            &expected(3..4),
        );
        let wide_head = HeadLayout {
            head_dim: 2 * head_dim,
            ..layout
        };
        tested.refuse("width", device.split_heads(&on_device, wide_head));
        let none = HeadLayout {
            sequences: 0,
            ..layout
        };
        tested.refuse("no sequence", device.split_heads(&on_device, none));
    });
}

#[test]
fn rope_rotates_the_first_half_of_a_head_against_the_second() {
    on_every_device!(|tested| {
        let device = &tested.device;
        let (tokens, half) = (device.tile(), 2 * device.tile());
        let angles = values(tokens * half, 15);
        let both_halves = |f: fn(f32) -> f32| -> Vec<f32> {
            angles.chunks(half).flat_map(|row| row.repeat(2)).map(f).collect()
        };
        let shape = [tokens, 2 * half];
        let table = RopeTable {
            cos: tested.upload(&both_halves(f32::cos), &shape),
            sin: tested.upload(&both_halves(f32::sin), &shape),
        };
        let x = values(3 * tokens * 2 * half, 16);
        let rotated: Vec<f64> = x
            .chunks(2 * half)
            .enumerate()
            .flat_map(|(row, x)| {
                let angles = wide(&angles[row % tokens * half..][..half]);
                let (first, second) = (wide(&x[..half]), wide(&x[half..]));
                let turn = |sign: f64, own: &[f64], other: &[f64]| -> Vec<f64> {
                    let pairs = own.iter().zip(other).zip(&angles);
                    pairs
                        .map(|((own, other), angle)| own * angle.cos() + sign * other * angle.sin())
                        .collect()
                };
                [turn(-1.0, &first, &second), turn(1.0, &second, &first)].concat()
            })
            .collect();
        let on_device = tested.upload(&x, &[3, tokens, 2 * half]);
        tested.expect(
            "rotation",
            device.rope(&on_device, &table),
            &[3, tokens, 2 * half],
            &rotated,
        );
        let longer = tested.upload(&x[..4 * tokens * half], &[1, 2 * tokens, 2 * half]);
        tested.refuse("tokens", device.rope(&longer, &table));
        let matrix = tested.upload(&x[..2 * tokens * half], &shape);
        tested.refuse("a matrix", device.rope(&matrix, &table));
    });
}

/// The definition of attention with grouped key heads, in f64.
#[derive(Clone, Copy)]
struct Attention {
    sequences: usize,
    /// Of a sequence, as the next.
    num_heads: usize,
    num_kv_heads: usize,
    queries: usize,
    keys: usize,
    head_dim: usize,
}

impl Attention {
    fn define(&self, q: &[f32], k: &[f32], v: &[f32], mask: Option<&[f32]>, scale: f64) -> Vec<f64> {
        let Self {
            sequences,
            num_heads,
            num_kv_heads,
            queries,
            keys,
            head_dim,
        } = *self;
        let mut merged = vec![0.0; sequences * queries * num_heads * head_dim];
        for head in 0..sequences * num_heads {
            let (sequence, column) = (head / num_heads, head % num_heads);
            let kv_head = head * num_kv_heads / num_heads;
            let row = |values: &[f32], index: usize| wide(&values[index * head_dim..][..head_dim]);
            for query in 0..queries {
                let q = row(q, head * queries + query);
                let scores: Vec<f64> = (0..keys)
                    .map(|key| {
                        let k = row(k, kv_head * keys + key);
                        let score: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
                        scale * score + mask.map_or(0.0, |mask| f64::from(mask[query * keys + key]))
                    })
                    .map(f64::exp)
                    .collect();
                let sum: f64 = scores.iter().sum();
                for (key, score) in scores.iter().enumerate() {
                    let v = row(v, kv_head * keys + key);
                    for (dim, v) in v.iter().enumerate() {
                        let row = sequence * queries + query;
                        merged[(row * num_heads + column) * head_dim + dim] += score / sum * v;
                    }
                }
            }
        }
        merged
    }
}

#[test]
fn attention_weighs_keys_by_masked_softmax_within_each_sequence() {
    for (sequences, num_heads, num_kv_heads, queries, keys, head_dim) in [
        (1, 4, 1, 70, 83, 16),
        (1, 6, 2, 1, 1, 18),
        (1, 3, 3, 130, 130, 8),
        (3, 2, 2, 40, 40, 24),
        (2, 4, 1, 9, 30, 16),
    ] {
        on_every_device!(|tested| {
            let device = &tested.device;
            let tiled = |size: usize| size.next_multiple_of(device.tile());
            let shape = Attention {
                sequences,
                num_heads,
                num_kv_heads,
                queries: tiled(queries),
                keys: tiled(keys),
                head_dim: tiled(head_dim),
            };
            let Attention {
                queries,
                keys,
                head_dim,
                ..
            } = shape;
            let q_shape = [sequences * num_heads, queries, head_dim];
            let kv_shape = [sequences * num_kv_heads, keys, head_dim];
            let q = values(q_shape.iter().product(), 11);
            let k = values(kv_shape.iter().product(), 12);
            let v = values(kv_shape.iter().product(), 13);
            let hidden = |index: usize| index % keys % 3 == 1;
            let mask: Vec<f32> = (0..queries * keys)
                .map(|index| if hidden(index) { f32::NEG_INFINITY } else { 0.0 })
                .collect();
            let queries_tensor = tested.upload(&q, &q_shape);
            let attended = KeysValues {
                keys: tested.upload(&k, &kv_shape),
                values: tested.upload(&v, &kv_shape),
            };
            let uploaded_mask = tested.upload(&mask, &[queries, keys]);
            let merged_shape = [sequences * queries, num_heads * head_dim];
            for (mask, on_device) in [(None, None), (Some(&mask[..]), Some(&uploaded_mask))] {
                let merged = device.attention(&queries_tensor, &attended, sequences, on_device, 0.25);
                let expected = shape.define(&q, &k, &v, mask, 0.25);
                tested.expect("attention", merged, &merged_shape, &expected);
            }
            let attend = |attended, sequences, mask| {
                device.attention(&queries_tensor, attended, sequences, mask, 0.25)
            };
            tested.refuse("no sequence", attend(&attended, 0, None));
            let flat = KeysValues {
                keys: attended.keys.clone(),
                values: tested.upload(&v, &[v.len() / head_dim, head_dim]),
            };
            tested.refuse("values", attend(&flat, sequences, None));
            let short = tested.upload(&mask[..keys], &[1, keys]);
            if queries > 1 {
                tested.refuse("mask", attend(&attended, sequences, Some(&short)));
            }
        });
    }
}

#[test]
fn geglu_gates_one_half_of_a_product_with_the_other() {
    on_every_device!(|tested| {
        let device = &tested.device;
        let (rows, inputs, width) = (5, 40, 33_usize.next_multiple_of(device.tile()));
        let x = values(rows * inputs, 14);
        let (gate, up) = (values(width * inputs, 15), values(width * inputs, 16));
        let gates = product(&x, &gate, &[], inputs);
        let ups = product(&x, &up, &[], inputs);
        let expected: Vec<f64> = gates
            .iter()
            .zip(&ups)
            .map(|(gate, up)| gelu(*gate) * up)
            .collect();
        let shape = [width, inputs];
        let gate_up = [
            HostTensor::from_f32(&gate, &shape),
            HostTensor::from_f32(&up, &shape),
        ];
        let layer = device.upload_linear(&gate_up, &[]).unwrap();
        let x = tested.upload(&x, &[rows, inputs]);
        tested.expect("geglu", device.geglu(&x, &layer), &[rows, width], &expected);
        let odd = HostTensor::from_f32(&gate[..33 * inputs], &[33, inputs]);
        let odd = device.upload_linear(&[odd], &[]).unwrap();
        tested.refuse("odd width", device.geglu(&x, &odd));
    });
}

#[test]
fn rows_are_joined_and_cut_apart() {
    on_every_device!(|tested| {
        let device = &tested.device;
        let tile = device.tile();
        let (top, bottom) = (values(2 * tile * 3, 17), values(tile * 3, 18));
        let a = tested.upload(&top, &[2 * tile, 3]);
        let b = tested.upload(&bottom, &[tile, 3]);
        let joined = device.concat_rows(&[&a, &b]);
        tested.expect(
            "joined",
            joined,
            &[3 * tile, 3],
            &wide(&[&top[..], &bottom].concat()),
        );
        let cut = device.slice_rows(&a, tile..2 * tile);
        tested.expect("cut", cut, &[tile, 3], &wide(&top[tile * 3..]));
        let narrow = tested.upload(&bottom[..tile], &[tile, 1]);
        tested.refuse("widths", device.concat_rows(&[&a, &narrow]));
        tested.refuse("nothing", device.concat_rows(&[]));
        tested.refuse("beyond the end", device.slice_rows(&a, tile..3 * tile));
    });
}

#[test]
fn sums_and_euler_updates_go_value_by_value() {
    on_every_device!(|tested| {
        let device = &tested.device;
        let tile = device.tile();
        let x = tested.upload(&[1.0, 2.0], &[1, 2]);
        let y = tested.upload(&[10.0, -20.0], &[1, 2]);
        tested.expect("add", device.add(&x, &y), &[1, 2], &[11.0, -18.0]);
        tested.expect(
            "euler_update",
            device.euler_update(&x, &y, -0.1),
            &[1, 2],
            &[0.0, 4.0],
        );
        let tall = values(3 * tile * 2, 19);
        let row = values(tile * 2, 20);
        let sums: Vec<f64> = tall
            .chunks(row.len())
            .flat_map(|rows| rows.iter().zip(&row).map(|(x, y)| f64::from(*x) + f64::from(*y)))
            .collect();
        let repeated = device.add(
            &tested.upload(&tall, &[3 * tile, 2]),
            &tested.upload(&row, &[tile, 2]),
        );
        tested.expect("repeated", repeated, &[3 * tile, 2], &sums);
        let column = tested.upload(&[0.0, 0.0], &[2, 1]);
        tested.refuse("add", device.add(&x, &column));
        tested.refuse("euler_update", device.euler_update(&x, &column, 0.1));
    });
}

#[test]
fn steps_too_small_for_bfloat16_add_up() {
    on_every_device!(|tested| {
        let device = &tested.device;
        let mut point = device.zeros_for_sums(&[1, 2]).unwrap();
        tested.expect("zeros", Ok(point.clone()), &[1, 2], &[0.0, 0.0]);
        device.write(&mut point, &[1.0, -1.0]).unwrap();
        let velocity = tested.upload(&[1.0, -1.0], &[1, 2]);
        let mut moved = point.clone();
        for _ in 0..256 {
            moved = device.euler_update(&moved, &velocity, 1.0 / 1024.0).unwrap();
        }
        device.copy(&moved, &mut point).unwrap();
        tested.expect("sums", Ok(point.clone()), &[1, 2], &[1.25, -1.25]);
        let weight = HostTensor::from_f32(&[1.0, 1.0, 1.0, -1.0], &[2, 2]);
        let layer = device.upload_linear(&[weight], &[]).unwrap();
        let product = device.linear(&point, &layer, Activation::None);
        tested.expect("product", product, &[1, 2], &[0.0, 2.5]);
        let wide = tested.upload(&[0.0; 3], &[1, 3]);
        tested.refuse("shapes", device.copy(&wide, &mut point));
        tested.refuse("shapes", device.euler_update(&point, &wide, 1.0));
    });
}

#[test]
fn values_are_selected_by_a_mask_and_stay_as_they_are() {
    on_every_device!(|tested| {
        let device = &tested.device;
        let for_sums = |values: &[f32]| {
            let mut place = device.zeros_for_sums(&[values.len() / 3, 3]).unwrap();
            device.write(&mut place, values).unwrap();
            place
        };
        // None of the first is a bfloat16.
        let x: Vec<f32> = values(33 * 3, 21).iter().map(|x| x + 1.0 / 1024.0).collect();
        let y: Vec<f32> = (0..x.len()).map(|index| index as f32 - 50.0).collect();
        let mut masked = vec![0.0; x.len()];
        masked[..7 * 3].fill(1.0);
        let expected: Vec<f32> = [&x[..7 * 3], &y[7 * 3..]].concat();
        let mask = for_sums(&masked);
        let selected = device
            .select(&mask, &for_sums(&x), &tested.upload(&y, &[33, 3]))
            .unwrap();
        assert_eq!(device.shape(&selected), [33, 3]);
        let ours = device.read_back(&selected).unwrap();
        assert!(ours == expected || !tested.computes, "{ours:?}");
        let moved = device.euler_update(&for_sums(&vec![0.0; x.len()]), &selected, 1.0);
        tested.expect("moved", moved, &[33, 3], &wide(&expected));
        let other = tested.upload(&[0.0; 3], &[1, 3]);
        tested.refuse("x", device.select(&mask, &other, &mask));
        tested.refuse("y", device.select(&mask, &mask, &other));
        tested.refuse("mask", device.select(&other, &mask, &mask));
    });
}

#[test]
fn a_cache_keeps_what_is_written_where_it_is_written() {
    on_every_device!(|tested| {
        let device = &tested.device;
        let tile = device.tile();
        let zeros = || device.zeros(&[2, 3 * tile, tile]).unwrap();
        let mut cache = KeysValues {
            keys: zeros(),
            values: zeros(),
        };
        let count = 2 * 2 * tile * tile;
        let (keys, of_values) = (values(count, 21), values(count, 22));
        let shape = [2, 2 * tile, tile];
        let tokens = KeysValues {
            keys: tested.upload(&keys, &shape),
            values: tested.upload(&of_values, &shape),
        };
        device.write_tokens(&mut cache, tile, &tokens).unwrap();
        for (what, cache, written) in [
            ("keys", &cache.keys, &keys),
            ("values", &cache.values, &of_values),
        ] {
            let expected: Vec<f64> = written
                .chunks(count / 2)
                .flat_map(|head| [vec![0.0; tile * tile], wide(head)].concat())
                .collect();
            tested.expect(what, Ok(cache.clone()), &[2, 3 * tile, tile], &expected);
        }
        tested.refuse(
            "beyond the end",
            device.write_tokens(&mut cache, 2 * tile, &tokens),
        );
        let one_head = tested.upload(&keys[..tile * tile], &[1, tile, tile]);
        let one_head = KeysValues {
            keys: one_head.clone(),
            values: one_head,
        };
        tested.refuse("heads", device.write_tokens(&mut cache, 0, &one_head));
    });
}

#[test]
fn work_that_is_done_again_sees_what_was_written_since() {
    fn check<D: Device>(tested: &Tested<D>) {
        let device = &tested.device;
        let [mut x, mut y] = [(); 2].map(|()| tested.upload(&[0.0; 2], &[1, 2]));
        let step = tested.upload(&[1.0, -1.0], &[1, 2]);
        let mut recording = D::Recording::default();
        for turn in 1..5 {
            let values = [turn as f32, 10.0];
            device.write(&mut x, &values).unwrap();
            device
                .replay(&mut recording, &[&x], || {
                    device.copy(&device.add(&x, &step)?, &mut y)
                })
                .unwrap();
            let expected = [f64::from(turn) + 1.0, 9.0];
            tested.expect(&format!("turn {turn}"), Ok(y.clone()), &[1, 2], &expected);
        }
        tested.refuse("values", device.write(&mut x, &[1.0; 3]));
        tested.refuse("shapes", device.copy(&tested.upload(&[0.0; 2], &[2, 1]), &mut y));
    }
    on_every_device!(|tested| { check(&tested) });
}

#[test]
fn uploads_are_checked_and_read_backs_are_counted() {
    on_every_device!(|tested| {
        let device = &tested.device;
        tested.refuse("values", device.upload(&[1.0; 3], &[2, 2]));
        let x = tested.upload(&[1.0, 2.0], &[1, 2]);
        let before = device.read_backs();
        tested.expect("read back", Ok(x), &[1, 2], &[1.0, 2.0]);
        assert_eq!(device.read_backs(), before + 1);
    });
}

/// Actions of the policy of the shipped size, with two cameras, one of them absent, and a padded prompt.
fn small_policy_s_actions<D: Device>(device: D) -> Vec<f32> {
    let config = demo_sized();
    let noise = values(config.action_horizon * config.max_action_dim, 23);
    let image = values(3 * config.vision.image_size.pow(2), 24);
    let state = values(config.max_state_dim, 25);
    let pi0 = Pi0::new(config.clone(), device, &RandomWeights::new(&config)).unwrap();
    let input = ModelInput {
        images: &[Some(image.clone()), None, Some(image)],
        tokens: &[2, 5, 7, 0, 0],
        valid_tokens: 3,
        state: &state,
    };
    let schedule = pi0.schedule(4).unwrap();
    pi0.sample_actions(&input, &noise, &schedule).unwrap()
}

fn pearson_correlation(ours: &[f32], reference: &[f32]) -> f64 {
    let (ours, reference) = (wide(ours), wide(reference));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (our_mean, reference_mean) = (mean(&ours), mean(&reference));
    let covariance = |x: &[f64], x_mean: f64, y: &[f64], y_mean: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - x_mean) * (y - y_mean)).sum()
    };
    let together = covariance(&ours, our_mean, &reference, reference_mean);
    let alone = covariance(&ours, our_mean, &ours, our_mean)
        * covariance(&reference, reference_mean, &reference, reference_mean);
    together / alone.sqrt()
}

#[test]
fn a_small_policy_s_actions_are_those_of_f32() {
    let reference = small_policy_s_actions(CpuDevice::new(Precision::F32, 2).unwrap());
    on_every_device!(|tested| {
        let name = tested.device.description();
        let actions = small_policy_s_actions(tested.device);
        assert_eq!(actions.len(), reference.len(), "{name}");
        if tested.computes {
            let correlation = pearson_correlation(&actions, &reference);
            assert!(correlation >= 0.99, "{name}: {correlation}");
        }
    });
}
