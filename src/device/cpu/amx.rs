//! Kernels of bf16 and int8 weights in Intel's matrix registers: 16 rows meet 16 outputs in one instruction.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, __get_cpuid_max, _xgetbv};
use std::ops::Range;
use std::sync::LazyLock;

use super::product::PANEL;
use super::quantised_rows::{Integers, Rounding};
use super::row_order::RowOrder;
use super::{bf16_kernel, int8_kernel};

/// Rows of a register.
const TILE: usize = 16;
/// Bytes of a row.
const ROW: usize = 64;
/// Tiles of rows that are multiplied side by side: an instruction's sums are there when three others have begun.
const TILES_AT_ONCE: usize = 4;

/// A register holds 16 words of each of its rows.
const ORDER: RowOrder = RowOrder {
    tile_rows: TILE,
    run: ROW / 4,
};

const _: () = assert!(PANEL * 4 == ROW && int8_kernel::fits(&INT8.rounding));

pub(super) static BF16: bf16_kernel::Kernel = bf16_kernel::Kernel {
    name: "AMX BF16",
    order: ORDER,
    multiply: bf16,
};

pub(super) static INT8: int8_kernel::Kernel = int8_kernel::Kernel {
    name: "AMX INT8",
    rounding: Rounding {
        integers: Integers::Bits8,
        // With fewer values scaling the sums would take longer than the sums.
        block: 256,
        order: ORDER,
    },
    multiply: int8,
};

/// Whether this machine has the registers for bf16, and the system lets the process use them.
pub(super) fn multiplies_bf16() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    has(AMX_BF16)
}

/// Whether this machine has the registers for int8, and the system lets the process use them.
pub(super) fn multiplies_int8() -> bool {
    const AMX_INT8: u32 = 1 << 25;
    has(AMX_INT8)
}

fn has(feature: u32) -> bool {
    static FEATURES: LazyLock<u32> = LazyLock::new(|| match saved_by_system() && system_permits() {
        true => __cpuid_count(7, 0).edx,
        false => 0,
    });
    *FEATURES & feature != 0
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

/// A process has to ask, as its threads need more room for their registers.
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

/// The registers' shapes, all of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    first_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// The registers, shaped, until they are dropped: a thread that holds some has more to save when it is interrupted.
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

/// Sums of some tiles, 32 bits each.
#[repr(align(64))]
struct Sums<T>([[[T; PANEL]; TILE]; TILES_AT_ONCE]);

/// The loop over the registers of some tiles and of the weights: sets the tiles' sums.
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

/// Where the words of tiles begin, of which each has enough for so many steps.
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

/// # Safety
/// Of [`bf16_kernel::Kernel::multiply`].
unsafe fn bf16(mut part: bf16_kernel::Part) {
    let mut sums = Sums([[[0.0f32; PANEL]; TILE]; TILES_AT_ONCE]);
    let steps = size_of_val(part.weights) / (TILE * ROW);
    let first_tile = part.rows.start / TILE;
    // SAFETY: the machine has the instructions, as promised.
    let _registers = unsafe { Registers::new() };
    for tiles in groups(part.rows.len()) {
        tiles.clone().for_each(|_| part.prefetch.next_share());
        let x = words_of(&tiles, steps, |tile| {
            part.x.tile(first_tile + tile, part.inner_start)
        });
        let x = &x[..tiles.len()];
        let (weights, sums_of_tiles) = (part.weights.as_ptr(), sums.0.as_mut_ptr());
        // SAFETY: the registers are shaped; weights and words are read to their last step, and there is room for the sums.
        unsafe { sum_any_tiles!("tdpbf16ps", x, weights, steps, sums_of_tiles) };
        let rows = part.sums[tiles.start * TILE..].iter_mut();
        for (y, sums) in rows.zip(&sums.0.as_flattened()[..tiles.len() * TILE]) {
            for (y, sum) in y.iter_mut().zip(sums) {
                *y = if part.inner_start == 0 { *sum } else { *y + sum };
            }
        }
    }
}

/// # Safety
/// Of [`int8_kernel::Kernel::multiply`].
unsafe fn int8(mut part: int8_kernel::Part) {
    let mut sums = Sums([[[0i32; PANEL]; TILE]; TILES_AT_ONCE]);
    let steps = size_of_val(part.weights) / (TILE * ROW);
    let first_tile = part.rows.start / TILE;
    // SAFETY: the machine has the instructions, as promised.
    let _registers = unsafe { Registers::new() };
    for tiles in groups(part.rows.len()) {
        tiles.clone().for_each(|_| part.prefetch.next_share());
        let x = words_of(&tiles, steps, |tile| {
            part.x.tile(first_tile + tile, part.block).words
        });
        let x = &x[..tiles.len()];
        let (weights, sums_of_tiles) = (part.weights.as_ptr(), sums.0.as_mut_ptr());
        // SAFETY: the registers are shaped; weights and words are read to their last step, and there is room for the sums.
        unsafe { sum_any_tiles!("tdpbsud", x, weights, steps, sums_of_tiles) };
        for (tile, sums) in tiles.zip(&sums.0) {
            let x = part.x.tile(first_tile + tile, part.block);
            let (rows, _) = part.sums[tile * TILE * PANEL..].as_chunks_mut::<PANEL>();
            for (((y, sums), step), first_sum) in rows.iter_mut().zip(sums).zip(x.steps).zip(x.first_sums) {
                for ((y, sum), scale) in y.iter_mut().zip(sums).zip(part.scales) {
                    let product = (sum + first_sum) as f32 * (step * scale);
                    *y = if part.block == 0 { product } else { *y + product };
                }
            }
        }
    }
}
