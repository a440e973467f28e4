//! Kernels in vector registers: one loop for all of them, and the arithmetic of each level.
//!
//! A tile of the result stays in registers while the loop goes along the inner dimension: a word of every row
//! is broadcast and multiplied by the weights of one panel or two. The more registers of weights a broadcast
//! is multiplied by, the fewer loads a multiplication needs: with 12 rows and two registers 14 for 24.
//!
//! Four words of a row lie side by side, so that packing is a copy of registers, and the loop goes in steps
//! of four.

#![expect(
    clippy::needless_range_loop,
    reason = "loops of constant length over several arrays, which become registers when they are unrolled"
)]

#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

use super::kernel::{Kernel, Operands, PANEL};
use super::kernel_level::KernelLevel;
use super::part::Part;
use super::row_order::RowOrder;

/// Words of a row that lie side by side.
const RUN: usize = 4;

/// Registers of accumulators, and the operations on them.
///
/// # Safety
/// Every function demands that the machine has the instructions that the type stands for, and that pointers
/// have as many values as a register.
trait Arithmetic {
    type Sums: Copy;
    type Operand: Copy;
    /// Columns in a register.
    const LANES: usize;
    const OPERANDS: Operands;

    unsafe fn zero() -> Self::Sums;

    /// Broadcasts a word of activations to every column.
    unsafe fn broadcast(word: u32) -> Self::Operand;

    /// Broadcasts an integer to every column; never called where operands are not integers.
    unsafe fn first_sums(_: i32) -> Self::Sums {
        unreachable!("sums of floats begin with zero")
    }

    /// Loads weights of LANES columns, as wide as activations.
    unsafe fn load(weights: *const u8) -> Self::Operand;

    /// `sums + Σ x · w` in every column.
    unsafe fn multiply_add(sums: Self::Sums, x: Self::Operand, w: Self::Operand) -> Self::Sums;

    /// `y (+)= sums`, integers times their quantisation step.
    unsafe fn store(sums: Self::Sums, step: f32, y: *mut f32, overwrite: bool);

    /// Hides an operand from the compiler's optimiser.
    unsafe fn hide(operand: Self::Operand) -> Self::Operand {
        operand
    }
}

/// A kernel's table entry, its function for products, and the one that multiplies registers alone.
macro_rules! vector_kernel {
    (
        $(#[$meta:meta])* $kernel:ident = $level:ident, $arithmetic:ty,
        features $features:literal,
        rows [$few:literal, $most:literal, $tile:literal], panels $panels:literal,
        block $block:expr, inner $inner:expr, row_block $row_block:expr
    ) => {
        $(#[$meta])*
        pub(in super::super) static $kernel: Kernel = {
            const LANES: usize = <$arithmetic as Arithmetic>::LANES;

            #[target_feature(enable = $features)]
            unsafe fn multiply(part: Part) {
                // SAFETY: the caller's promise.
                unsafe {
                    match part.weights.len() {
                        2 => in_tiles::<$arithmetic, $few, $most, $tile, 2, { 2 * PANEL / LANES }>(part),
                        _ => in_tiles::<$arithmetic, $few, $most, $tile, 1, { PANEL / LANES }>(part),
                    }
                }
            }

            #[target_feature(enable = $features)]
            unsafe fn multiply_registers(steps: usize) -> f64 {
                // SAFETY: the caller's promise.
                unsafe { registers::<$arithmetic, $tile, { $panels * PANEL / LANES }>(steps) }
            }

            let kernel = Kernel {
                level: KernelLevel::$level,
                operands: <$arithmetic as Arithmetic>::OPERANDS,
                quantisation_block: $block,
                inner_block: $inner,
                row_block: $row_block,
                column_block: 128,
                panels_at_once: $panels,
                order: RowOrder { tile_rows: $tile, run: RUN },
                row_unit: $few,
                multiply,
                multiply_registers: Some(multiply_registers),
            };
            assert!(kernel.sums_fit() && $inner % $block == 0 && $row_block % $tile == 0 && $most == 2 * $few && $tile == 3 * $few);
            kernel
        };
    };
}
use vector_kernel;

pub(super) static SCALAR_F32: Kernel = {
    /// # Safety
    /// The conditions of [`Kernel::multiply`].
    unsafe fn multiply(part: Part) {
        // SAFETY: the caller's promise; the instructions are everywhere.
        unsafe { in_tiles::<Scalar, 1, 2, 3, 1, PANEL>(part) };
    }

    Kernel {
        level: KernelLevel::Scalar,
        operands: Operands::F32,
        quantisation_block: 256,
        inner_block: 256,
        row_block: 144,
        column_block: 128,
        panels_at_once: 1,
        order: RowOrder {
            tile_rows: 3,
            run: RUN,
        },
        row_unit: 1,
        multiply,
        multiply_registers: None,
    }
};

/// # Safety
/// The machine has the instructions of `A`, shapes are as [`Kernel::add_product`] checks them, and the part
/// has PANELS panels of together VECTORS registers.
#[inline(always)]
unsafe fn in_tiles<
    A: Arithmetic,
    const FEW: usize,
    const MOST: usize,
    const TILE: usize,
    const PANELS: usize,
    const VECTORS: usize,
>(
    mut part: Part,
) {
    let mut row = part.rows.start;
    while row < part.rows.end {
        let rows = part.rows.end.min(row / TILE * TILE + TILE) - row;
        part.prefetch.next_share();
        // SAFETY: as promised.
        unsafe {
            if rows <= FEW {
                tile::<A, FEW, TILE, PANELS, VECTORS>(&mut part, row, rows);
            } else if rows <= MOST {
                tile::<A, MOST, TILE, PANELS, VECTORS>(&mut part, row, rows);
            } else {
                tile::<A, TILE, TILE, PANELS, VECTORS>(&mut part, row, rows);
            }
        }
        row += rows;
    }
}

/// Multiplies up to COMPUTED rows of a tile. Those beyond `rows` are computed of whatever the memory holds,
/// and dropped.
///
/// # Safety
/// The conditions of [`in_tiles`].
#[inline(always)]
unsafe fn tile<
    A: Arithmetic,
    const COMPUTED: usize,
    const TILE: usize,
    const PANELS: usize,
    const VECTORS: usize,
>(
    part: &mut Part,
    row: usize,
    rows: usize,
) {
    let kernel = part.x.kernel();
    let first = row % TILE;
    let tile = part.x.tile(row / TILE);
    let group = const { A::OPERANDS.group() };
    let block_length = match const { A::OPERANDS.is_quantised() } {
        true => kernel.quantisation_block,
        false => kernel.inner_block,
    };
    // SAFETY: words and weights reach to the end of the part, and there are sums for all of its rows.
    unsafe {
        let mut words = tile
            .words
            .as_ptr()
            .add(part.inner.start / group * TILE + first * RUN);
        let mut weights = [std::ptr::null(); PANELS];
        for (panel, weights) in weights.iter_mut().enumerate() {
            *weights = part.weights.get_unchecked(panel).as_ptr();
        }
        let panel_length = part.rows.len() * PANEL;
        let y = part.sums.as_mut_ptr().add((row - part.rows.start) * PANEL);
        let mut block_start = part.inner.start;
        loop {
            let block_end = part.inner.end.min(block_start + block_length);
            let mut sums = [[A::zero(); VECTORS]; COMPUTED];
            let mut steps_of_rows = [1.0; COMPUTED];
            if const { A::OPERANDS.is_quantised() } {
                let (steps, first_sums) = tile.quantisation(block_start / block_length, TILE);
                for row in 0..COMPUTED {
                    let first_sum = A::first_sums(*first_sums.get_unchecked(first + row));
                    for vector in 0..VECTORS {
                        sums[row][vector] = first_sum;
                    }
                    steps_of_rows[row] = *steps.get_unchecked(first + row);
                }
            }
            for _ in 0..(block_end - block_start).div_ceil(group * RUN) {
                for step in 0..RUN {
                    multiply_step::<A, COMPUTED, PANELS, VECTORS>(&mut sums, words.add(step), weights);
                    for weights in &mut weights {
                        *weights = weights.add(PANEL * A::OPERANDS.weight_bytes());
                    }
                }
                words = words.add(TILE * RUN);
            }
            for row in 0..COMPUTED {
                if row < rows {
                    for vector in 0..VECTORS {
                        let column = vector * A::LANES;
                        let y = y.add(column / PANEL * panel_length + row * PANEL + column % PANEL);
                        A::store(sums[row][vector], steps_of_rows[row], y, block_start == 0);
                    }
                }
            }
            block_start = block_end;
            if block_start >= part.inner.end {
                break;
            }
        }
    }
}

/// Multiplies a word of every row by the weights of its step.
///
/// # Safety
/// The conditions of [`in_tiles`].
#[inline(always)]
unsafe fn multiply_step<A: Arithmetic, const COMPUTED: usize, const PANELS: usize, const VECTORS: usize>(
    sums: &mut [[A::Sums; VECTORS]; COMPUTED],
    words: *const u32,
    weights: [*const u8; PANELS],
) {
    // SAFETY: as promised.
    unsafe {
        let mut w = [A::load(weights[0]); VECTORS];
        for vector in 1..VECTORS {
            let column = vector * A::LANES;
            w[vector] = A::load(weights[column / PANEL].add(column % PANEL * A::OPERANDS.weight_bytes()));
        }
        for row in 0..COMPUTED {
            let x = A::broadcast(*words.add(row * RUN));
            for vector in 0..VECTORS {
                sums[row][vector] = A::multiply_add(sums[row][vector], x, w[vector]);
            }
        }
    }
}

/// Multiplies `steps` times on registers alone; returns the number of operations.
///
/// # Safety
/// The machine has the instructions of `A`.
#[inline(always)]
unsafe fn registers<A: Arithmetic, const ROWS: usize, const VECTORS: usize>(steps: usize) -> f64 {
    // SAFETY: as promised; a store needs a register's values.
    unsafe {
        let mut sums = [[A::zero(); VECTORS]; ROWS];
        let (mut x, mut w) = (A::broadcast(0), [A::broadcast(0); VECTORS]);
        for vector in 0..VECTORS {
            w[vector] = A::hide(w[vector]);
        }
        for _ in 0..steps {
            for row in 0..ROWS {
                // No product is another one's.
                x = A::hide(x);
                for vector in 0..VECTORS {
                    sums[row][vector] = A::multiply_add(sums[row][vector], x, w[vector]);
                }
            }
        }
        let mut results = [0.0; PANEL];
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                A::store(sums[row][vector], 1.0, results.as_mut_ptr(), false);
            }
        }
        std::hint::black_box(results);
    }
    let products = steps * ROWS * VECTORS * A::LANES * A::OPERANDS.group();
    2.0 * products as f64
}

/// One column at a time, in instructions that every machine has.
struct Scalar;

impl Arithmetic for Scalar {
    type Sums = f32;
    type Operand = f32;
    const LANES: usize = 1;
    const OPERANDS: Operands = Operands::F32;

    #[inline(always)]
    unsafe fn zero() -> f32 {
        0.0
    }

    #[inline(always)]
    unsafe fn broadcast(word: u32) -> f32 {
        f32::from_bits(word)
    }

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> f32 {
        // SAFETY: as promised.
        unsafe { weights.cast::<f32>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: f32, x: f32, w: f32) -> f32 {
        sums + x * w
    }

    #[inline(always)]
    unsafe fn store(sums: f32, _: f32, y: *mut f32, overwrite: bool) {
        // SAFETY: as promised.
        unsafe { *y = if overwrite { sums } else { *y + sums } };
    }
}
