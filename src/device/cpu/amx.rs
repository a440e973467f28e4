//! Kernels of bf16 and int8 weights in Intel's matrix registers: one instruction multiplies 16 rows by 16
//! outputs.

use std::arch::asm;
use std::arch::x86_64::{
    __cpuid, __cpuid_count, __get_cpuid_max, _mm512_add_epi32, _mm512_cvtepi32_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_storeu_ps,
    _xgetbv,
};
use std::sync::LazyLock;

use super::kernel::{Kernel, MOST_PANELS_AT_ONCE, Operands, PANEL};
use super::kernel_level::KernelLevel;
use super::part::Part;
use super::row_order::RowOrder;

/// Rows of a register.
const TILE: usize = 16;
/// Bytes of a row.
const ROW: usize = 64;
/// Panels that a tile is multiplied by side by side: an instruction's sums are there when three others have begun.
const PANELS_AT_ONCE: usize = MOST_PANELS_AT_ONCE;
/// Rows from which on the next part is prefetched. With fewer rows asking takes longer than it hides: π0's denoising step (51 rows)
/// took 74 ms with it and 57 ms without, on two cores.
const ROWS_TO_PREFETCH: usize = 128;

/// A register holds 16 words of each of its rows.
const ORDER: RowOrder = RowOrder {
    tile_rows: TILE,
    run: ROW / 4,
};

const _: () = assert!(PANEL * 4 == ROW && INT8.sums_fit());

pub(super) static BF16: Kernel = Kernel {
    level: KernelLevel::Amx,
    operands: Operands::Bf16,
    quantisation_block: 256,
    // The weights of four panels take 32 KiB of the nearest cache; the rows, and their sums, 0.9 MB of the second one, which has
    // 2 MB where there are such registers.
    inner_block: 256,
    row_block: 544,
    column_block: 256,
    panels_at_once: PANELS_AT_ONCE,
    order: ORDER,
    row_unit: TILE,
    multiply: bf16,
    multiply_registers: Some(bf16_registers),
};

pub(super) static INT8: Kernel = Kernel {
    level: KernelLevel::Amx,
    operands: Operands::Int8,
    // With fewer values bringing the sums into f32 would take longer than the sums.
    quantisation_block: 256,
    inner_block: 256,
    row_block: 544,
    column_block: 256,
    panels_at_once: PANELS_AT_ONCE,
    order: ORDER,
    row_unit: TILE,
    multiply: int8,
    multiply_registers: Some(int8_registers),
};

/// Whether this machine has the registers for bf16 and int8, and the system lets the process use them.
pub(super) fn is_available() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_INT8: u32 = 1 << 25;
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        saved_by_system()
            && system_permits()
            && __cpuid_count(7, 0).edx & (AMX_BF16 | AMX_INT8) == AMX_BF16 | AMX_INT8
    });
    *AVAILABLE
}

/// Whether the machine has the registers, and the system keeps them for each thread.
fn saved_by_system() -> bool {
    const XSAVE: u32 = 1 << 27;
    const AMX_TILE: u32 = 1 << 24;
    const TILE_STATES: u64 = 0b11 << 17;
    let (leaves, _) = __get_cpuid_max(0);
    let has = leaves >= 7 && __cpuid(1).ecx & XSAVE != 0 && __cpuid_count(7, 0).edx & AMX_TILE != 0;
    // SAFETY: the system has enabled the instruction.
    has && unsafe { _xgetbv(0) } & TILE_STATES == TILE_STATES
}

/// Requests permission for the process, whose threads need more memory for their registers.
#[cfg(target_os = "linux")]
fn system_permits() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers, and a system that does not know it returns an error.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn system_permits() -> bool {
    false
}

/// Shapes of the registers, all of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    first_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// The registers, shaped, until they are dropped: a thread that holds some has more to save when it is
/// interrupted.
struct Registers;

impl Registers {
    const COUNT: usize = 8;

    /// # Safety
    /// The machine has them, and the system permits their use.
    unsafe fn new() -> Self {
        static SHAPES: Shapes = {
            let mut shapes = Shapes {
                palette: 1,
                first_row: 0,
                reserved: [0; 14],
                row_bytes: [0; 16],
                rows: [0; 16],
            };
            let mut register = 0;
            while register < Registers::COUNT {
                shapes.row_bytes[register] = ROW as u16;
                shapes.rows[register] = TILE as u8;
                register += 1;
            }
            shapes
        };
        // SAFETY: as promised; the instruction reads the 64 bytes of SHAPES.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(readonly, nostack, preserves_flags))
        };
        Self
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: whoever has made them could use them.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// Accumulators of the products of a tile and some panels, 32 bits each.
#[repr(align(64))]
struct Sums<T>([[[T; PANEL]; TILE]; PANELS_AT_ONCE]);

/// What a tile is multiplied by and into: weights and accumulators of each panel.
struct Group<T> {
    weights: [*const u8; PANELS_AT_ONCE],
    sums: [*mut T; PANELS_AT_ONCE],
}

/// Loops over the registers of a tile and of some panels. `begin` sets the accumulators.
///
/// The panels' weights stay in the nearest cache, and a step needs one register of activations from the second one for four
/// products.
macro_rules! sum_tile {
    (
        $product:literal, $begin:tt, $words:expr, $group:expr, $steps:expr,
        $($panel:literal $w:ident $y:ident $register:literal),+
    ) => {
        asm!(
            $(begin_sum!($begin, $panel, $y),)+
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            "tileloadd tmm4, [{words} + {row}]",
            "add {words}, 1024",
            $(
                concat!("tileloadd tmm", $register, ", [{", stringify!($w), "} + {row}]"),
                concat!("add {", stringify!($w), "}, 1024"),
                concat!($product, " tmm", $panel, ", tmm4, tmm", $register),
            )+
            "dec {steps}",
            "jnz 2b",
            "3:",
            $(concat!("tilestored [{", stringify!($y), "} + {row}], tmm", $panel),)+
            steps = inout(reg) $steps => _,
            words = inout(reg) $words => _,
            row = in(reg) ROW,
            $($w = inout(reg) $group.weights[$panel] => _, $y = in(reg) $group.sums[$panel],)+
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// The instruction that an accumulator begins with: zeros, or what is in memory.
macro_rules! begin_sum {
    (zero, $panel:literal, $y:ident) => {
        concat!("tilezero tmm", $panel)
    };
    (load, $panel:literal, $y:ident) => {
        concat!("tileloadd tmm", $panel, ", [{", stringify!($y), "} + {row}]")
    };
}

/// Calls [`sum_tile`] for as many panels as there are.
macro_rules! sum_tile_of {
    ($panels:expr, $product:literal, $begin:tt, $words:expr, $group:expr, $steps:expr) => {
        match $panels {
            1 => sum_tile!($product, $begin, $words, $group, $steps, 0 v y 5),
            2 => sum_tile!($product, $begin, $words, $group, $steps, 0 v y 5, 1 w z 6),
            3 => sum_tile!($product, $begin, $words, $group, $steps, 0 v y 5, 1 w z 6, 2 m a 7),
            _ => sum_tile!($product, $begin, $words, $group, $steps, 0 v y 5, 1 w z 6, 2 m a 7, 3 n b 5),
        }
    };
}

/// Beginning of the words of a tile from one on, of which there are enough for the steps.
fn words_from(words: &[u32], first: usize, steps: usize) -> *const u32 {
    words[first..][..steps * TILE * ORDER.run].as_ptr()
}

/// Beginnings of the weights of each panel.
fn weights_of(panels: &[&[u8]]) -> [*const u8; PANELS_AT_ONCE] {
    std::array::from_fn(|panel| {
        panels
            .get(panel)
            .map_or(std::ptr::null(), |weights| weights.as_ptr())
    })
}

/// Loops over four accumulators, which are multiplied `steps` times from registers alone.
macro_rules! multiply_registers {
    ($name:ident, $product:literal, $group:literal) => {
        /// # Safety
        /// The conditions of [`Kernel::multiply_registers`].
        unsafe fn $name(steps: usize) -> f64 {
            // SAFETY: the machine has the instructions, as promised.
            unsafe {
                let _registers = Registers::new();
                asm!(
                    "tilezero tmm4",
                    "tilezero tmm5",
                    "test {steps}, {steps}",
                    "jz 3f",
                    "2:",
                    concat!($product, " tmm0, tmm4, tmm5"),
                    concat!($product, " tmm1, tmm4, tmm5"),
                    concat!($product, " tmm2, tmm4, tmm5"),
                    concat!($product, " tmm3, tmm4, tmm5"),
                    "dec {steps}",
                    "jnz 2b",
                    "3:",
                    steps = inout(reg) steps => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _,
                    options(nomem, nostack),
                );
            }
            2.0 * (steps * 4 * TILE * PANEL * (ROW / 4) * $group) as f64
        }
    };
}

multiply_registers!(bf16_registers, "tdpbf16ps", 2);
multiply_registers!(int8_registers, "tdpbsud", 4);

/// # Safety
/// The conditions of [`Kernel::multiply`].
#[target_feature(enable = "avx512f")]
unsafe fn bf16(mut part: Part) {
    let mut beyond = Sums([[[0.0f32; PANEL]; TILE]; PANELS_AT_ONCE]);
    let steps = BF16.part_bytes(part.inner.len()) / (TILE * ROW);
    let first_word = part.inner.start / BF16.operands.group() * TILE;
    let (rows, panels) = (part.rows.len(), part.weights.len());
    let weights = weights_of(part.weights);
    // SAFETY: the machine has the instructions, as promised.
    let _registers = unsafe { Registers::new() };
    for first_row in (0..rows).step_by(TILE) {
        if rows >= ROWS_TO_PREFETCH {
            part.prefetch.next_share();
        }
        let own_rows = TILE.min(rows - first_row);
        let own =
            |panel: usize| (panel * rows + first_row) * PANEL..(panel * rows + first_row + own_rows) * PANEL;
        // Rows of a register beyond the last one have no place among the sums.
        let is_whole = own_rows == TILE;
        let mut sums = [std::ptr::null_mut(); PANELS_AT_ONCE];
        for (panel, (start, beyond)) in sums.iter_mut().zip(&mut beyond.0).take(panels).enumerate() {
            let own = &mut part.sums[own(panel)];
            *start = match is_whole {
                true => own.as_mut_ptr(),
                false => {
                    let beyond = beyond.as_flattened_mut();
                    beyond[..own.len()].copy_from_slice(own);
                    beyond.as_mut_ptr()
                }
            };
        }
        let group = Group { weights, sums };
        let tile = part.x.tile((part.rows.start + first_row) / TILE);
        let words = words_from(tile.words, first_word, steps);
        // SAFETY: the registers are shaped; weights and words are read to their last step, and there is room
        // for the sums of every panel.
        unsafe {
            match part.inner.start {
                0 => sum_tile_of!(panels, "tdpbf16ps", zero, words, group, steps),
                _ => sum_tile_of!(panels, "tdpbf16ps", load, words, group, steps),
            }
        };
        if !is_whole {
            for (panel, beyond) in beyond.0.iter().take(panels).enumerate() {
                part.sums[own(panel)].copy_from_slice(&beyond.as_flattened()[..own_rows * PANEL]);
            }
        }
    }
}

/// Brings the integer sums of a row to f32 and adds them to `y`, or sets it. Of a value that is not finite the sum is anything, and
/// its step is NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_sums(y: &mut [f32; PANEL], sums: &[i32; PANEL], step: f32, first_sum: i32, goes_on: bool) {
    let step = _mm512_set1_ps(step);
    // SAFETY: both arrays are as long as a register.
    unsafe {
        let sums = _mm512_add_epi32(
            _mm512_loadu_si512(sums.as_ptr().cast()),
            _mm512_set1_epi32(first_sum),
        );
        let sums = _mm512_cvtepi32_ps(sums);
        let result = match goes_on {
            true => _mm512_fmadd_ps(sums, step, _mm512_loadu_ps(y.as_ptr())),
            false => _mm512_mul_ps(sums, step),
        };
        _mm512_storeu_ps(y.as_mut_ptr(), result);
    }
}

/// # Safety
/// The conditions of [`Kernel::multiply`].
#[target_feature(enable = "avx512f")]
unsafe fn int8(mut part: Part) {
    let mut sums = Sums([[[0i32; PANEL]; TILE]; PANELS_AT_ONCE]);
    let steps = INT8.part_bytes(part.inner.len()) / (TILE * ROW);
    let first_word = part.inner.start / INT8.operands.group() * TILE;
    let block = part.inner.start / INT8.quantisation_block;
    let (rows, panels) = (part.rows.len(), part.weights.len());
    let group = Group {
        weights: weights_of(part.weights),
        sums: sums.0.each_mut().map(|sums| sums.as_flattened_mut().as_mut_ptr()),
    };
    // SAFETY: the machine has the instructions, as promised.
    let _registers = unsafe { Registers::new() };
    for first_row in (0..rows).step_by(TILE) {
        if rows >= ROWS_TO_PREFETCH {
            part.prefetch.next_share();
        }
        let tile = part.x.tile((part.rows.start + first_row) / TILE);
        let words = words_from(tile.words, first_word, steps);
        // SAFETY: the registers are shaped; weights and words are read to their last step, and there is room
        // for the sums.
        unsafe { sum_tile_of!(panels, "tdpbsud", zero, words, group, steps) };
        let (steps, first_sums) = tile.quantisation(block, TILE);
        for (panel, sums) in sums.0.iter().take(panels).enumerate() {
            let (own, _) = part.sums[(panel * rows + first_row) * PANEL..].as_chunks_mut::<PANEL>();
            let own = own.iter_mut().take(rows - first_row);
            for (((y, sums), step), first_sum) in own.zip(sums).zip(steps).zip(first_sums) {
                add_sums(y, sums, *step, *first_sum, part.inner.start > 0);
            }
        }
    }
}
