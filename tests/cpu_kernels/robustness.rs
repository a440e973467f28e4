//! Values that are not finite, and the largest that are.

use pi0_node::device::{KernelLevel, Precision};

use crate::common::values::values;
use crate::{Layer, PRECISIONS};

pub fn a_value_that_is_not_finite_spoils_its_row_or_its_output_and_no_other(level: KernelLevel) {
    const ROWS: usize = 17;
    const SPOILT: usize = 3;
    let expect = |what: &str, y: &[f32], outputs: usize, is_spoilt: &dyn Fn(usize, usize) -> bool| {
        for (index, value) in y.iter().enumerate() {
            let (row, output) = (index / outputs, index % outputs);
            assert!(
                value.is_finite() != is_spoilt(row, output),
                "{what}: value {output} of row {row} is {value}"
            );
        }
    };
    for precision in PRECISIONS {
        for (inner, outputs) in [(40, 5), (1100, 20)] {
            let (x, weight) = (values(ROWS * inner, 1), values(outputs * inner, 2));
            let shape = (outputs, inner);
            let layer = Layer::new((level, precision, 1), &weight, shape);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for column in [5, inner - 1] {
                    let mut spoilt = x.clone();
                    spoilt[SPOILT * inner + column] = bad;
                    let y = layer.product(&spoilt, ROWS);
                    expect(&layer.what, &y, outputs, &|row, _| row == SPOILT);
                    let mut spoilt = weight.clone();
                    spoilt[SPOILT * inner + column] = bad;
                    let layer = Layer::new((level, precision, 1), &spoilt, shape);
                    let y = layer.product(&x, ROWS);
                    expect(&layer.what, &y, outputs, &|_, output| output == SPOILT);
                }
            }
        }
    }
}

pub fn the_largest_values_do_not_overflow(level: KernelLevel) {
    let (rows, inner, outputs) = (2, 1024, 3);
    let (x, weight) = (vec![-1e30; rows * inner], vec![1e-3; outputs * inner]);
    for precision in PRECISIONS {
        // 1e-3 is no bf16.
        let tolerance = if precision == Precision::Bf16 {
            2f32.powi(-8)
        } else {
            1e-5
        };
        let layer = Layer::new((level, precision, 1), &weight, (outputs, inner));
        for y in layer.product(&x, rows) {
            assert!((y / -1.024e30 - 1.0).abs() < tolerance, "{}: {y}", layer.what);
        }
    }
}
