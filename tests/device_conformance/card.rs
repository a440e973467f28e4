//! The Tenstorrent device: what every device must do, and what a card alone does.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Completion, Failed, Trial};
use pi0_node::device::{
    CardTuning, Device, DeviceError, PatchGrid, Pixels, RopeTable, TenstorrentDevice, TenstorrentOptions,
};
use tt_metal_sys::{
    ComputeKernel, Dtype, Fidelity, Kernel, Layout, Memory, MockCard, Norm, NormBlocks, NormWeights, Program,
    Sums,
};

use crate::common::values::values;
use crate::tested::{Source, Tested};
use crate::{Behaviour, behaviours};

/// Names a card that is described and not there (n150 or p150), on which only shapes are compared.
const MOCK_VARIABLE: &str = "PI0_MOCK_CARD";

/// Ways of computing on the card, as `pi0_bench --tuning` has them; without it, all of them.
const TUNING_VARIABLE: &str = "PI0_CARD_TUNING";

const SMALL_GRID: PatchGrid = PatchGrid {
    image_size: 32,
    patch_size: 8,
};

/// A trial of every behaviour; ignored, with the reason, where there is no card.
pub fn trials() -> Vec<Trial> {
    let mock = std::env::var(MOCK_VARIABLE).ok();
    let card = match &mock {
        Some(mock) => format!("mock card {mock}, shapes only"),
        None => "card".to_owned(),
    };
    let of_cards: [Behaviour<TenstorrentDevice>; 5] = [
        (
            "bytes are uploaded as bytes and values as bfloat16",
            Source::ElementWise,
            bytes_are_uploaded_as_bytes_and_values_as_bfloat16,
        ),
        (
            "pixels of another type end a trace and others do not",
            Source::ElementWise,
            pixels_of_another_type_end_a_trace_and_others_do_not,
        ),
        (
            "an image is refused where a matrix or heads are expected",
            Source::ElementWise,
            an_image_is_refused_where_a_matrix_or_heads_are_expected,
        ),
        (
            "a kernel that does not compile without a warning is refused",
            Source::ElementWise,
            a_kernel_that_does_not_compile_without_a_warning_is_refused,
        ),
        (
            "sums and norms in blocks are those of whole rows",
            Source::ElementWise,
            sums_and_norms_in_blocks_are_those_of_whole_rows,
        ),
    ];
    behaviours()
        .into_iter()
        .chain(of_cards)
        .map(|(behaviour, source, test)| {
            let mock = mock.clone();
            Trial::ignorable_test(format!("{card}: {behaviour}"), move || {
                on_card(mock.as_deref(), source, test)
            })
        })
        .collect()
}

/// Tests the card, which is for one test at a time.
fn on_card(
    mock: Option<&str>,
    source: Source,
    test: fn(Tested<TenstorrentDevice>),
) -> Result<Completion, Failed> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let tuning = match std::env::var(TUNING_VARIABLE) {
        Ok(text) => text.parse()?,
        Err(_) => CardTuning::default(),
    };
    let options = TenstorrentOptions {
        tuning,
        ..TenstorrentOptions::DEFAULT
    };
    let opened = match mock {
        Some(card) => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
            let card = MockCard {
                descriptor: folder.join(format!("tools/tenstorrent/mock/{card}.yaml")),
                cache: folder.join("target/mock-cache"),
            };
            TenstorrentDevice::open_mock(&card, &options)
        }
        None => TenstorrentDevice::open(&options),
    };
    let device = match opened {
        Err(DeviceError::Absent(why)) if mock.is_none() => return Ok(Completion::ignored_with(why)),
        opened => opened?,
    };
    test(Tested {
        device,
        tolerance: match source {
            Source::Policy => 1e-2,
            // Sums are of f32 and the exponential is exact; results are bfloat16.
            Source::Attention => 5e-3,
            _ => 5e-2,
        },
        computes: mock.is_none(),
    });
    Ok(Completion::Completed)
}

/// Values of an image of 32 pixels a side.
const SMALL_IMAGE: usize = 3 * 32 * 32;

fn small_images() -> [Pixels; 2] {
    [
        Pixels::Bytes(vec![0; SMALL_IMAGE]),
        Pixels::Values(values(SMALL_IMAGE, 3)),
    ]
}

fn bytes_are_uploaded_as_bytes_and_values_as_bfloat16(tested: Tested<TenstorrentDevice>) {
    let device = &tested.device;
    let [bytes, resampled] = small_images();
    let mut image = device.upload_image(&bytes, 32).unwrap();
    let uploaded_bytes = |pixels: &Pixels| {
        let graph = device.capture_graph(|| device.write_image(&mut image, pixels));
        graph.unwrap().uploaded_bytes
    };
    let uploaded = [&bytes, &resampled, &bytes].map(uploaded_bytes);
    assert_eq!(
        uploaded,
        [1, 2, 1].map(|bytes_a_value| bytes_a_value * SMALL_IMAGE as u64)
    );
}

fn pixels_of_another_type_end_a_trace_and_others_do_not(tested: Tested<TenstorrentDevice>) {
    let device = &tested.device;
    let [bytes, resampled] = small_images();
    let mut image = device.upload_image(&bytes, 32).unwrap();
    let mut patches = device.zeros(&[32, 192]).unwrap();
    let mut trace = Default::default();
    let mut operations = |pixels: &Pixels| {
        let graph = device.capture_graph(|| {
            device.write_image(&mut image, pixels)?;
            device.run_captured(&mut trace, [&image], || {
                device.copy(&device.patches(&image, SMALL_GRID)?, &mut patches)
            })
        });
        graph.unwrap().operations.len()
    };
    let dispatched: Vec<bool> = [&bytes, &bytes, &bytes, &resampled, &resampled, &resampled, &bytes]
        .map(|pixels| operations(pixels) > 0)
        .into();
    // Run and captured once for each type.
    assert_eq!(dispatched, [true, true, false, true, true, false, true]);
}

/// An image is no activation: its values have another layout.
fn an_image_is_refused_where_a_matrix_or_heads_are_expected(tested: Tested<TenstorrentDevice>) {
    let device = &tested.device;
    let [pixels, _] = small_images();
    let mut image = device.upload_image(&pixels, 32).unwrap();
    let mut tensor = tested.upload(&[0.0; SMALL_IMAGE], &[3, 32, 32]);
    tested.refuse("a read-back", device.read_back(&image));
    tested.refuse("values", device.write(&mut image, &[0.0; SMALL_IMAGE]));
    tested.refuse("pixels", device.write_image(&mut tensor, &pixels));
    tested.refuse("a copy", device.copy(&image, &mut tensor));
    tested.refuse("a copy's target", device.copy(&tensor, &mut image));
    tested.refuse("patches of no image", device.patches(&tensor, SMALL_GRID));
    let table = RopeTable {
        cos: tested.upload(&[0.0; 32 * 32], &[32, 32]),
        sin: tested.upload(&[0.0; 32 * 32], &[32, 32]),
    };
    tested.refuse("heads", device.rope(&image, &table));
}

/// Which also shows that the mock card's stand-in for the kernel compiler does compile our kernels.
fn a_kernel_that_does_not_compile_without_a_warning_is_refused(tested: Tested<TenstorrentDevice>) {
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
    let signs_differ = "#include \"api/dataflow/dataflow_api.h\"\n\
        void kernel_main() { int a = get_arg_val<uint32_t>(0); uint32_t b = 7; if (a < b) { get_arg_val<uint32_t>(0); } }";
    for writer in [
        "void kernel_main() { there_is_no_such_function(); }",
        signs_differ,
    ] {
        let refused = run(writer);
        assert!(
            matches!(
                &refused,
                Err(tt_metal_sys::Error::Operation {
                    operation: "nothing",
                    ..
                })
            ),
            "{writer}: {refused:?}"
        );
    }
}

/// The tuning `wide_norms` has them only in captured work, which a simulated card does not do.
fn sums_and_norms_in_blocks_are_those_of_whole_rows(tested: Tested<TenstorrentDevice>) {
    const ROWS: usize = 64;
    const WIDTH: usize = 128;
    let card = tested.device.card();
    let upload = |values: &[f32], rows| {
        let shape = [1, 1, rows, values.len() / rows];
        card.upload(values, &shape, Dtype::Bf16, Layout::Tile).unwrap()
    };
    // Bfloat16 has them all, so that only results are rounded.
    let sixteenths = |count, seed| -> Vec<f32> {
        let values = values(count, seed).into_iter();
        values.map(|value| (16.0 * value).round() / 16.0).collect()
    };
    let (x, y) = (sixteenths(ROWS * WIDTH, 1), sixteenths(ROWS * WIDTH, 2));
    let [gate, weight, bias] = [3, 4, 5].map(|seed| sixteenths(WIDTH, seed));
    let [on_x, on_y] = [&x, &y].map(|values| upload(values, ROWS));
    let [on_gate, on_weight, on_bias] = [&gate, &weight, &bias].map(|values| upload(values, 1));
    let compute = ComputeKernel {
        fidelity: Fidelity::HiFi4,
        sums: Sums::F32,
    };
    for (transposed, gated) in [(false, false), (false, true), (true, false), (true, true)] {
        let blocks = NormBlocks {
            rows: 1,
            columns: 2,
            grid: (2, 2),
            transposed,
        };
        let add = |x, gate| card.add_in_blocks(x, gate, &on_y, &blocks).unwrap();
        // The second sum goes on from the blocks of the first.
        let on_sum = add(&add(&on_x, gated.then_some(&on_gate)), None);
        let sum: Vec<f64> = (0..ROWS * WIDTH)
            .map(|index| {
                let factor = if gated { gate[index % WIDTH] } else { 1.0 };
                f64::from(x[index] + (factor + 1.0) * y[index])
            })
            .collect();
        for (norm, bias) in [(Norm::RootMeanSquare, None), (Norm::Layer, Some(&bias))] {
            let weights = NormWeights {
                weight: &on_weight,
                bias: bias.map(|_| &on_bias),
                eps: EPS,
            };
            let on_normed = card.norm_in_blocks(norm, &on_sum, weights, &blocks, compute, Memory::Dram);
            let on_normed = on_normed.unwrap();
            if !tested.computes {
                continue;
            }
            let ours = card.read_back(&on_normed).unwrap();
            let expected = sum.chunks(WIDTH).flat_map(|row| normed(norm, row, &weight, bias));
            for (index, (ours, expected)) in ours.into_iter().zip(expected).enumerate() {
                assert!(
                    (f64::from(ours) - expected).abs() <= tested.tolerance * (1.0 + expected.abs()),
                    "{norm:?}, transposed: {transposed}, gated: {gated}, value {index}: {ours}, expected {expected}"
                );
            }
        }
    }
}

const EPS: f32 = 1e-6;

/// A norm of one row by its definition.
fn normed(norm: Norm, row: &[f64], weight: &[f32], bias: Option<&Vec<f32>>) -> Vec<f64> {
    let of_row = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / row.len() as f64;
    let mean = match norm {
        Norm::Layer => of_row(&mut row.iter().copied()),
        Norm::RootMeanSquare => 0.0,
    };
    let variance = of_row(&mut row.iter().map(|value| (value - mean).powi(2)));
    let deviation = (variance + f64::from(EPS)).sqrt();
    let value = |(column, value): (usize, &f64)| {
        let shift = bias.map_or(0.0, |bias| f64::from(bias[column]));
        (value - mean) / deviation * f64::from(weight[column]) + shift
    };
    row.iter().enumerate().map(value).collect()
}
