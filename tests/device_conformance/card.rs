//! The Tenstorrent device: what every device must do, and what a card alone does.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Completion, Failed, Trial};
use pi0_node::device::{Device, DeviceError, PatchGrid, RopeTable, TenstorrentDevice, TenstorrentOptions};
use tt_metal_sys::{Dtype, Kernel, Layout, MockCard, Program};

use crate::common::values::values;
use crate::tested::{Source, Tested};
use crate::{Behaviour, behaviours};

/// Names a card that is described and not there (n150 or p150), on which only shapes are compared.
const MOCK_VARIABLE: &str = "PI0_MOCK_CARD";

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
    let of_cards: [Behaviour<TenstorrentDevice>; 4] = [
        (
            "a camera's images travel as bytes until one is resampled",
            Source::ElementWise,
            a_camera_s_images_travel_as_bytes_until_one_is_resampled,
        ),
        (
            "the first resampled frame ends a recording and no other frame does",
            Source::ElementWise,
            the_first_resampled_frame_ends_a_recording_and_no_other_frame_does,
        ),
        (
            "an image is refused where a matrix or heads are expected",
            Source::ElementWise,
            an_image_is_refused_where_a_matrix_or_heads_are_expected,
        ),
        (
            "a kernel that does not compile is refused",
            Source::ElementWise,
            a_kernel_that_does_not_compile_is_refused,
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
    let opened = match mock {
        Some(card) => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
            TenstorrentDevice::open_mock(&MockCard {
                descriptor: folder.join(format!("tools/tenstorrent/mock/{card}.yaml")),
                cache: folder.join("target/mock-cache"),
            })
        }
        None => TenstorrentDevice::open(&TenstorrentOptions::default()),
    };
    let device = match opened {
        Err(DeviceError::Absent(why)) if mock.is_none() => return Ok(Completion::ignored_with(why)),
        opened => opened?,
    };
    test(Tested {
        device,
        tolerance: match source {
            Source::Policy => 1e-2,
            _ => 5e-2,
        },
        computes: mock.is_none(),
    });
    Ok(Completion::Completed)
}

fn a_camera_s_images_travel_as_bytes_until_one_is_resampled(tested: Tested<TenstorrentDevice>) {
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

fn the_first_resampled_frame_ends_a_recording_and_no_other_frame_does(tested: Tested<TenstorrentDevice>) {
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
fn an_image_is_refused_where_a_matrix_or_heads_are_expected(tested: Tested<TenstorrentDevice>) {
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
fn a_kernel_that_does_not_compile_is_refused(tested: Tested<TenstorrentDevice>) {
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
