//! Kernels of bf16 and int8 weights in Intel's matrix registers: one instruction multiplies 16 rows by 16
//! outputs.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, __get_cpuid_max, _xgetbv};
use std::ops::Range;
use std::sync::LazyLock;

use super::kernel::{Kernel, Operands, PANEL};
use super::kernel_level::KernelLevel;
use super::part::Part;
use super::row_order::RowOrder;

/// Rows of a register.
const TILE: usize = 16;
/// Bytes of a row.
const ROW: usize = 64;
/// Tiles of rows that are multiplied side by side: an instruction's sums are there when three others have
/// begun.
const TILES_AT_ONCE: usize = 4;

/// A register holds 16 words of each of its rows.
const ORDER: RowOrder = RowOrder {
    tile_rows: TILE,
    run: ROW / 4,
};

const _: () = assert!(PANEL * 4 == ROW && INT8.sums_fit());

pub(super) static BF16: Kernel = Kernel {
    level: KernelLevel::Amx,
    operands: Operands::Bf16,
    quantisation_block: 512,
    inner_block: 512,
    row_block: 144,
    panels_at_once: 1,
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
    row_block: 144,
    panels_at_once: 1,
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

/// Accumulators of some tiles, 32 bits each.
#[repr(align(64))]
struct Sums<T>([[[T; PANEL]; TILE]; TILES_AT_ONCE]);

/// Loops over the registers of some tiles and of the weights, and sets the tiles' accumulators.
macro_rules! sum_tiles {
    ($product:literal, $x:ident, $weights:expr, $steps:expr, $sums:expr, $($tile:literal $operand:ident $register:literal),+) => {
        asm!(
            $(concat!("tilezero tmm", $tile),)+
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            "tileloadd tmm7, [{weights} + {row}]",
            $(
                concat!("tileloadd tmm", $register, ", [{", stringify!($operand), "} + {row}]"),
                concat!($product, " tmm", $tile, ", tmm", $register, ", tmm7"),
                concat!("add {", stringify!($operand), "}, 1024"),
            )+
            "add {weights}, 1024",
            "dec {steps}",
            "jnz 2b",
            "3:",
            $(concat!("tilestored [{sums} + {row} + 1024 * ", $tile, "], tmm", $tile),)+
            weights = inout(reg) $weights => _,
            steps = inout(reg) $steps => _,
            row = in(reg) ROW,
            sums = in(reg) $sums,
            $($operand = inout(reg) $x[$tile] => _,)+
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// Calls [`sum_tiles`] for as many tiles as there are.
macro_rules! sum_any_tiles {
    ($product:literal, $x:ident, $weights:expr, $steps:expr, $sums:expr) => {
        match $x.len() {
            1 => sum_tiles!($product, $x, $weights, $steps, $sums, 0 a 4),
            2 => sum_tiles!($product, $x, $weights, $steps, $sums, 0 a 4, 1 b 5),
            3 => sum_tiles!($product, $x, $weights, $steps, $sums, 0 a 4, 1 b 5, 2 c 6),
            _ => sum_tiles!($product, $x, $weights, $steps, $sums, 0 a 4, 1 b 5, 2 c 6, 3 d 4),
        }
    };
}

/// Tiles of rows in equal groups, which are multiplied at once.
fn groups(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let tiles = rows.div_ceil(TILE);
    let groups = tiles.div_ceil(TILES_AT_ONCE);
    let size = tiles.div_ceil(groups.max(1)).max(1);
    (0..tiles)
        .step_by(size)
        .map(move |first| first..tiles.min(first + size))
}

/// Beginnings of the words of tiles, each of which has enough words for the steps.
fn words_of<'x>(
    tiles: &Range<usize>,
    steps: usize,
    words: impl Fn(usize) -> &'x [u32],
) -> [*const u32; TILES_AT_ONCE] {
    let mut starts = [std::ptr::null(); TILES_AT_ONCE];
    for (start, tile) in starts.iter_mut().zip(tiles.clone()) {
        let words = words(tile);
        assert!(words.len() >= steps * TILE * ORDER.run, "words of a tile");
        *start = words.as_ptr();
    }
    starts
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
    let mut sums = Sums([[[0.0f32; PANEL]; TILE]; TILES_AT_ONCE]);
    let steps = BF16.part_bytes(part.inner.len()) / (TILE * ROW);
    let first_tile = part.rows.start / TILE;
    let first_word = part.inner.start / BF16.operands.group() * TILE;
    // SAFETY: the machine has the instructions, as promised.
    let _registers = unsafe { Registers::new() };
    for tiles in groups(part.rows.len()) {
        tiles.clone().for_each(|_| part.prefetch.next_share());
        let x = words_of(&tiles, steps, |tile| {
            &part.x.tile(first_tile + tile).words[first_word..]
        });
        let x = &x[..tiles.len()];
        let (weights, sums_of_tiles) = (part.weights[0].as_ptr(), sums.0.as_mut_ptr());
        // SAFETY: the registers are shaped; weights and words are read to their last step, and there is room
        // for the sums.
        unsafe { sum_any_tiles!("tdpbf16ps", x, weights, steps, sums_of_tiles) };
        let (rows, _) = part.sums[tiles.start * TILE * PANEL..].as_chunks_mut::<PANEL>();
        let left = part.rows.len() - tiles.start * TILE;
        for (y, sums) in rows
            .iter_mut()
            .take(left)
            .zip(&sums.0.as_flattened()[..tiles.len() * TILE])
        {
            for (y, sum) in y.iter_mut().zip(sums) {
                *y = if part.inner.start == 0 { *sum } else { *y + sum };
            }
        }
    }
}

/// # Safety
/// The conditions of [`Kernel::multiply`].
#[target_feature(enable = "avx512f")]
unsafe fn int8(mut part: Part) {
    let mut sums = Sums([[[0i32; PANEL]; TILE]; TILES_AT_ONCE]);
    let steps = INT8.part_bytes(part.inner.len()) / (TILE * ROW);
    let first_tile = part.rows.start / TILE;
    let first_word = part.inner.start / INT8.operands.group() * TILE;
    let block = part.inner.start / INT8.quantisation_block;
    // SAFETY: the machine has the instructions, as promised.
    let _registers = unsafe { Registers::new() };
    for tiles in groups(part.rows.len()) {
        tiles.clone().for_each(|_| part.prefetch.next_share());
        let x = words_of(&tiles, steps, |tile| {
            &part.x.tile(first_tile + tile).words[first_word..]
        });
        let x = &x[..tiles.len()];
        let (weights, sums_of_tiles) = (part.weights[0].as_ptr(), sums.0.as_mut_ptr());
        // SAFETY: the registers are shaped; weights and words are read to their last step, and there is room
        // for the sums.
        unsafe { sum_any_tiles!("tdpbsud", x, weights, steps, sums_of_tiles) };
        for (tile, sums) in tiles.zip(&sums.0) {
            let (steps, first_sums) = part.x.tile(first_tile + tile).quantisation(block, TILE);
            let (rows, _) = part.sums[tile * TILE * PANEL..].as_chunks_mut::<PANEL>();
            let rows = rows.iter_mut().take(part.rows.len() - tile * TILE);
            for (((y, sums), step), first_sum) in rows.zip(sums).zip(steps).zip(first_sums) {
                for (y, sum) in y.iter_mut().zip(sums) {
                    // Of a value that is not finite the sum is anything.
                    let sum = sum.wrapping_add(*first_sum) as f32;
                    *y = if part.inner.start == 0 {
                        sum * step
                    } else {
                        sum.mul_add(*step, *y)
                    };
                }
            }
        }
    }
}
