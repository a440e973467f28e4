//! Division of a matrix among threads.

use std::ops::Range;

/// Tasks for each thread, of which another one takes some when it is slowed down by something else.
const TASKS_A_THREAD: [usize; 4] = [8, 4, 2, 1];
/// Units of a task that keep what is read from memory for them in the caches of one thread.
const UNITS_A_TASK: usize = 4;
/// Work above its equal share that a thread may get for the sake of larger pieces.
const TOLERATED_EXCESS: f64 = 0.05;

/// A matrix `[rows, columns]` in tasks of nearly equal size, as many for every thread.
///
/// Units are counted column by column, and each task gets a range of them: whole columns where that divides
/// evenly enough, else parts of some.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    rows: usize,
    row_unit: usize,
    columns: usize,
    column_unit: usize,
    tasks: usize,
}

impl Division {
    /// Divides a matrix whose rows can be parted at multiples of `row_unit`.
    pub fn new(rows: usize, row_unit: usize, columns: usize, threads: usize) -> Self {
        let division = |row_unit: usize, column_unit: usize, tasks_a_thread: usize| Self {
            rows,
            row_unit,
            columns,
            column_unit,
            tasks: threads * tasks_a_thread,
        };
        let whole = Self {
            tasks: 1,
            ..division(rows.max(1), 2, 1)
        };
        if threads == 1 {
            return whole;
        }
        let units = [(rows.max(1), 2), (rows.max(1), 1), (row_unit, 1)];
        let candidates = TASKS_A_THREAD
            .into_iter()
            .flat_map(|tasks| units.map(|(row_unit, column_unit)| division(row_unit, column_unit, tasks)))
            .filter(|division| {
                division.tasks == threads || division.units() >= UNITS_A_TASK * division.tasks
            });
        let mut best = whole;
        let mut least_excess = f64::INFINITY;
        for candidate in candidates {
            let excess = candidate.excess(threads);
            if excess <= TOLERATED_EXCESS {
                return candidate;
            }
            if excess < least_excess {
                (best, least_excess) = (candidate, excess);
            }
        }
        best
    }

    pub fn tasks(&self) -> usize {
        self.tasks
    }

    fn row_units(&self) -> usize {
        self.rows.div_ceil(self.row_unit)
    }

    fn units(&self) -> usize {
        self.row_units() * self.columns.div_ceil(self.column_unit)
    }

    /// Work above an equal share of the thread with the largest tasks, as a part of that share.
    fn excess(&self, threads: usize) -> f64 {
        let units_of_thread = self.tasks / threads * self.units().div_ceil(self.tasks);
        let unit = self.row_unit.min(self.rows) * self.column_unit.min(self.columns);
        let share = (self.rows * self.columns) as f64 / threads as f64;
        (units_of_thread * unit) as f64 / share - 1.0
    }

    /// Rows and columns of a task, in up to three rectangles.
    pub fn rectangles(&self, task: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let Self {
            rows,
            row_unit,
            columns,
            column_unit,
            ..
        } = *self;
        let row_units = self.row_units().max(1);
        let boundary = |task: usize| {
            let unit = self.units() * task / self.tasks;
            (unit / row_units, unit % row_units)
        };
        let ((first_column, first_row), (last_column, last_row)) = (boundary(task), boundary(task + 1));
        let parts = if first_column == last_column {
            [
                (first_row..last_row, first_column..first_column + 1),
                (0..0, 0..0),
                (0..0, 0..0),
            ]
        } else {
            let whole_from = first_column + usize::from(first_row > 0);
            [
                (first_row..row_units, first_column..whole_from),
                (0..row_units, whole_from..last_column),
                (0..last_row, last_column..last_column + 1),
            ]
        };
        parts
            .into_iter()
            .filter(|(rows, columns)| !rows.is_empty() && !columns.is_empty())
            .map(move |(row_part, column_part)| {
                (
                    row_part.start * row_unit..rows.min(row_part.end * row_unit),
                    column_part.start * column_unit..columns.min(column_part.end * column_unit),
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::PANEL;
    use super::*;

    /// Rows of the published model: a denoising step, a camera, and prefixes of two and three.
    const ROWS: [usize; 4] = [51, 256, 532, 788];
    /// Outputs of its products that are shared among threads.
    const OUTPUTS: [usize; 8] = [1024, 1152, 2048, 2560, 3456, 4304, 8192, 32768];
    /// Rows that kernels in vector registers can part.
    const ROW_UNITS: [usize; 2] = [2, 4];

    fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
        let panels = OUTPUTS.map(|outputs| outputs.div_ceil(PANEL));
        let products = ROWS
            .into_iter()
            .flat_map(move |rows| panels.map(|panels| (rows, panels)));
        let products = products.flat_map(|(rows, panels)| ROW_UNITS.map(|unit| (rows, unit, panels)));
        // Queries and heads of attention.
        let attention = ROWS.into_iter().flat_map(|rows| [(rows, 1, 8), (rows, 1, 16)]);
        products.chain(attention)
    }

    #[test]
    fn no_thread_gets_more_than_a_tenth_above_its_share_of_the_model_s_products() {
        for (rows, row_unit, columns) in shapes() {
            for threads in 2..=64 {
                let division = Division::new(rows, row_unit, columns, threads);
                let largest = (0..division.tasks())
                    .map(|task| {
                        let rectangles = division.rectangles(task);
                        rectangles
                            .map(|(rows, columns)| rows.len() * columns.len())
                            .sum::<usize>()
                    })
                    .max()
                    .unwrap();
                let most = (division.tasks().div_ceil(threads) * largest) as f64;
                let share = (rows * columns) as f64 / threads as f64;
                // Where a share is fewer than ten queries of a head, one query may be more than a tenth.
                let allowed = if row_unit == 1 { share.ceil() } else { 0.0 };
                assert!(
                    most <= allowed.max(1.1 * share),
                    "{rows} rows, {columns} columns, {threads} threads: {most} instead of {share}, {division:?}"
                );
            }
        }
    }

    #[test]
    fn every_value_belongs_to_one_task() {
        for (rows, row_unit, columns, threads) in [
            (51, 4, 64, 63),
            (7, 2, 3, 5),
            (1, 4, 1, 8),
            (0, 4, 3, 2),
            (16, 16, 72, 9),
            (5, 1, 0, 3),
            (9, 4, 5, 1),
        ] {
            let division = Division::new(rows, row_unit, columns, threads);
            let mut covered = vec![0; rows * columns];
            for task in 0..division.tasks() {
                for (task_rows, task_columns) in division.rectangles(task) {
                    assert!(task_rows.start.is_multiple_of(row_unit), "{division:?}");
                    for row in task_rows {
                        task_columns
                            .clone()
                            .for_each(|column| covered[row * columns + column] += 1);
                    }
                }
            }
            assert!(covered.iter().all(|count| *count == 1), "{division:?}");
        }
    }
}
