//! A kernel: the innermost loop of a matrix product in the instructions of one level.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::kernel_level::KernelLevel;
use super::part::Part;
use super::row_order::RowOrder;
use super::threads::Threads;

/// Columns of a panel: one register of AVX-512, two of AVX2, four of NEON.
pub(super) const PANEL: usize = 16;

/// Panels that a kernel multiplies side by side, at most.
pub(super) const MOST_PANELS_AT_ONCE: usize = 4;

/// Types that a kernel multiplies. Activations come in words of 32 bits, each a group along the inner
/// dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    /// f32; weights of other types are upcast.
    F32,
    /// bf16 (`vdpbf16ps`), accumulated in f32.
    Bf16,
    /// 16-bit activations and int8 weights (`vpmaddwd`): rounding activations adds nothing to the error of
    /// the weights.
    Int16,
    /// 8-bit activations and int8 weights to which 128 was added: `vpdpbusd` takes one of both without a
    /// sign.
    Int8,
}

impl Operands {
    /// Activations in a word.
    pub const fn group(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 | Self::Int16 => 2,
            Self::Int8 => 4,
        }
    }

    /// Bytes of the weights of one column that are multiplied by a word.
    pub const fn weight_bytes(self) -> usize {
        match self {
            Self::F32 | Self::Bf16 | Self::Int8 => 4,
            Self::Int16 => 2,
        }
    }

    /// Whether activations are quantised to integers, with quantisation steps of their own.
    pub const fn is_quantised(self) -> bool {
        matches!(self, Self::Int16 | Self::Int8)
    }

    /// Integer of the largest activation of a block.
    pub const fn largest(self) -> i32 {
        match self {
            Self::Int16 => i16::MAX as i32,
            _ => i8::MAX as i32,
        }
    }

    /// Zero point of the weights: the number that is added to them.
    pub const fn weight_offset(self) -> i32 {
        match self {
            Self::Int8 => 128,
            _ => 0,
        }
    }
}

/// A kernel, which determines the layout of activations and weights.
#[derive(Debug)]
pub(super) struct Kernel {
    pub level: KernelLevel,
    pub operands: Operands,
    /// Activations of a row that share a quantisation step, where they are integers: the fewer, the less does
    /// a large one spoil others. A divisor of `inner_block`.
    pub quantisation_block: usize,
    /// Length of the inner dimension that is multiplied before the next columns: their weights stay in the
    /// nearest cache.
    pub inner_block: usize,
    /// Rows that are multiplied by some columns before the next ones, a multiple of the tile's: their part of
    /// the inner dimension stays in the second-level cache.
    pub row_block: usize,
    /// Columns, of all sets together, that the rows of a block are multiplied by before they go on along the inner dimension:
    /// the wider, the less often are rows read that lie in no nearer cache than the third.
    pub column_block: usize,
    /// Panels that are multiplied side by side, up to [`MOST_PANELS_AT_ONCE`].
    pub panels_at_once: usize,
    pub order: RowOrder,
    /// Rows at a multiple of which a part may begin: a divisor of the tile's.
    pub row_unit: usize,
    /// # Safety
    /// The machine has the level's instructions, and shapes are as [`Kernel::add_product`] checks them.
    pub multiply: unsafe fn(Part),
    /// Multiplies registers so many times, reads no memory, and returns the number of operations, two a
    /// product. None where the compiler chooses the instructions.
    ///
    /// # Safety
    /// The machine has the level's instructions.
    pub multiply_registers: Option<unsafe fn(usize) -> f64>,
}

impl Kernel {
    /// Weights of a panel that are multiplied at once for each column.
    pub const fn weights_at_once(&self) -> usize {
        self.operands.group() * self.order.run
    }

    /// Bytes of some weights of a panel.
    pub fn part_bytes(&self, inner: usize) -> usize {
        inner.next_multiple_of(self.weights_at_once()) / self.operands.group()
            * PANEL
            * self.operands.weight_bytes()
    }

    /// Whether the sum over a block of the largest products fits into 32 bits.
    pub const fn sums_fit(&self) -> bool {
        let largest_weight = (i8::MAX as i32 + self.operands.weight_offset()) as i64;
        !self.operands.is_quantised()
            || self.quantisation_block as i64 * self.operands.largest() as i64 * largest_weight
                <= i32::MAX as i64
    }

    /// Operations a second of all threads together when they multiply registers and read no memory: the best
    /// of `runs` runs of a millisecond or two, as other work on the machine slows down some.
    pub fn peak_operations_per_second(&self, threads: &Threads, runs: usize) -> Option<f64> {
        const STEPS: usize = 200_000;
        let multiply_registers = self.multiply_registers?;
        let run = |_| {
            // One of the threads; all do the same.
            let operations = AtomicU64::new(0);
            let started = Instant::now();
            threads.on_each(|| {
                // SAFETY: a device has kernels of its machine's levels only.
                let done = unsafe { multiply_registers(STEPS) };
                operations.store(done.to_bits(), Ordering::Relaxed);
            });
            let seconds = started.elapsed().as_secs_f64();
            threads.count() as f64 * f64::from_bits(operations.into_inner()) / seconds
        };
        Some((0..runs).map(run).fold(0.0, f64::max))
    }

    /// # Panics
    /// When shapes do not fit.
    pub fn add_product(&self, part: Part) {
        let Part {
            x,
            rows,
            inner,
            weights,
            sums,
            ..
        } = &part;
        assert!(std::ptr::eq(x.kernel(), self), "rows packed for another kernel");
        assert!(
            inner.start <= inner.end
                && inner.end <= x.inner()
                && inner.start.is_multiple_of(self.inner_block),
            "inner dimension of a product"
        );
        assert!(
            rows.start.is_multiple_of(self.row_unit) && rows.start <= rows.end && rows.end <= x.rows(),
            "rows of a product"
        );
        assert!(
            (1..=self.panels_at_once).contains(&weights.len())
                && weights
                    .iter()
                    .all(|part| part.len() >= self.part_bytes(inner.len())),
            "weights of a product"
        );
        assert!(
            weights.len() * rows.len() * PANEL <= sums.len(),
            "sums of a product"
        );
        // SAFETY: a device has kernels of its machine's levels only, and the shapes were checked.
        unsafe { (self.multiply)(part) };
    }
}
