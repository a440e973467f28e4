//! Once it is warm, the CPU device asks the system for no memory while it denoises, whatever the number of
//! steps.

mod common {
    pub mod prefix_input;
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::prefix_input::PrefixInput;
use pi0_node::benchmark::{RandomWeights, demo_sized};
use pi0_node::device::{CpuDevice, Device, PatchGrid, Pixels, Precision};
use pi0_node::model::denoise::sample_noise;
use pi0_node::model::{ActionPrefix, Conditioning, ModelType, Pi0, Pi0Config};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a call of `work` once every buffer has been free before.
fn allocations_once_warm(mut work: impl FnMut()) -> usize {
    work();
    work();
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn denoising_allocates_the_actions_that_it_returns_and_nothing_else() {
    for model_type in [ModelType::Pi0, ModelType::Pi05] {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let config = Pi0Config {
                model_type,
                rtc_training_max_delay: 3,
                ..demo_sized()
            };
            // On one thread all work is this thread's, and so are its allocations.
            let device = CpuDevice::new(precision, 1).unwrap();
            let model = Pi0::new(config.clone(), device, &RandomWeights::new(&config)).unwrap();
            check_denoising(&model, &format!("{model_type}, {precision:?}"));
        }
    }
}

fn check_denoising(model: &Pi0<CpuDevice>, what: &str) {
    let config = &model.config;
    let input = PrefixInput {
        images: &[Some(vec![0.5; 3 * config.vision.image_size.pow(2)])],
        tokens: &[2, 5, 7],
        valid_tokens: 3,
    };
    let mut session = input.prefill(model).unwrap();
    let state = vec![0.1; config.state_width()];
    let noise = sample_noise(0, 0, config.action_horizon * config.max_action_dim);
    let prefix_actions = vec![0.1; 3 * config.max_action_dim];
    let prefix = |conditioning| ActionPrefix {
        actions: &prefix_actions,
        conditioning,
    };
    let prefixes: Vec<ActionPrefix> = Conditioning::all(config).map(prefix).collect();
    let [inpainted, guided, trained] = &prefixes[..] else {
        panic!("{prefixes:?}")
    };
    // Two tables are written on the host, and what one of them is made of; for clean actions their rows, and the noise
    // with them in it.
    for (prefix, expected) in [
        (None, 1),
        (Some(inpainted), 1 + 3),
        (Some(guided), 1 + 3),
        (Some(trained), 1 + 4),
    ] {
        for steps in [1, 3] {
            let schedule = model.schedule(steps).unwrap();
            let allocations = allocations_once_warm(|| {
                model
                    .sample_actions(&mut session, &state, &noise, prefix, &schedule)
                    .unwrap();
            });
            assert_eq!(allocations, expected, "{what}, {steps} steps, {prefix:?}");
        }
    }
}

#[test]
fn a_new_frame_allocates_nothing() {
    let grid = PatchGrid {
        image_size: 224,
        patch_size: 14,
    };
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let count = 3 * 224 * 224;
    for pixels in [Pixels::Bytes(vec![7; count]), Pixels::Values(vec![0.5; count])] {
        let mut image = device.upload_image(&pixels, 224).unwrap();
        let allocations = allocations_once_warm(|| {
            device.write_image(&mut image, &pixels).unwrap();
            device.patches(&image, grid).unwrap();
        });
        assert_eq!(allocations, 0);
    }
}
