//! Kernels of 64-bit Arm.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::kernel::{Kernel, Operands, PANEL};
use super::super::kernel_level::KernelLevel;
use super::super::part::Part;
use super::super::row_order::RowOrder;
use super::{Arithmetic, RUN, in_tiles, registers, vector_kernel};

vector_kernel!(
    NEON_F32 = Neon, Neon, features "neon", rows [2, 4, 6], panels 1, block 256, inner 256, row_block 144
);

struct Neon;

// SAFETY of all: the caller's promises.
impl Arithmetic for Neon {
    type Sums = float32x4_t;
    type Operand = float32x4_t;
    const LANES: usize = 4;
    const OPERANDS: Operands = Operands::F32;

    #[inline(always)]
    unsafe fn zero() -> float32x4_t {
        unsafe { vdupq_n_f32(0.0) }
    }

    #[inline(always)]
    unsafe fn broadcast(word: u32) -> float32x4_t {
        unsafe { vdupq_n_f32(f32::from_bits(word)) }
    }

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> float32x4_t {
        unsafe { vld1q_f32(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: float32x4_t, x: float32x4_t, w: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(sums, x, w) }
    }

    #[inline(always)]
    unsafe fn store(sums: float32x4_t, _: f32, y: *mut f32, overwrite: bool) {
        unsafe {
            let sums = match overwrite {
                true => sums,
                false => vaddq_f32(vld1q_f32(y), sums),
            };
            vst1q_f32(y, sums);
        }
    }

    #[inline(always)]
    unsafe fn hide(mut operand: float32x4_t) -> float32x4_t {
        unsafe { asm!("/* {0:v} */", inout(vreg) operand, options(pure, nomem, nostack, preserves_flags)) };
        operand
    }
}
