//! Once it is warm, the CPU device asks the system for no memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use pi0_node::benchmark::{RandomWeights, demo_sized};
use pi0_node::device::{CpuDevice, Device, PatchGrid, Precision};
use pi0_node::model::denoise::sample_noise;
use pi0_node::model::{ModelInput, Pi0};

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

#[test]
fn denoising_steps_allocate_nothing() {
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let config = demo_sized();
        // On one thread all work is this thread's, and so are its allocations.
        let device = CpuDevice::new(precision, 1).unwrap();
        let model = Pi0::new(config.clone(), device, &RandomWeights::new(&config)).unwrap();
        let pixels = vec![0.5; 3 * config.vision.image_size.pow(2)];
        let state = vec![0.1; config.max_state_dim];
        let input = ModelInput {
            images: &[Some(pixels)],
            tokens: &[2, 5, 7],
            valid_tokens: 3,
            state: &state,
        };
        let prefix = model.embed_prefix(&input).unwrap();
        let mut cache = model.prefill(prefix, None).unwrap();
        let schedule = model.schedule(3).unwrap();
        let noise = sample_noise(0, 0, config.action_horizon * config.max_action_dim);
        let mask = model.upload_noise(&vec![1.0; noise.len()]).unwrap();
        let mut chunk = || {
            let state = model.embed_state(input.state).unwrap();
            let mut x_t = model.upload_noise(&noise).unwrap();
            for (step, time) in schedule.times.iter().enumerate() {
                let v_t = match step {
                    0 => model.first_denoise_step(&mut cache, &state, &x_t, time),
                    _ => model.denoise_step(&mut cache, &x_t, time),
                };
                let v_t = model.device.select(&mask, &x_t, &v_t.unwrap()).unwrap();
                x_t = model.device.euler_update(&x_t, &v_t, schedule.dt).unwrap();
            }
        };
        chunk();
        let before = ALLOCATIONS.get();
        chunk();
        assert_eq!(ALLOCATIONS.get() - before, 0, "{precision:?}");
    }
}

#[test]
fn a_new_frame_allocates_nothing() {
    let grid = PatchGrid {
        image_size: 224,
        patch_size: 14,
    };
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let pixels = vec![0.5; 3 * 224 * 224];
    let mut image = device.upload_image(&pixels, 224).unwrap();
    let mut frame = || {
        device.write(&mut image, &pixels).unwrap();
        device.patches(&image, grid).unwrap();
    };
    frame();
    let before = ALLOCATIONS.get();
    frame();
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
