//! Work that threads share, and what is done to the sums.

use pi0_node::device::{Activation, Device, KernelLevel};

use crate::common::gelu::gelu_tanh;
use crate::common::values::values;
use crate::{Layer, PRECISIONS, expect_bits};

/// Rows, inputs and outputs of products that are worth sharing; where there are fewer panels than threads, rows are
/// parted in the middle of a tile.
const SHARED: [(usize, usize, usize); 4] =
    [(300, 1100, 33), (145, 1030, 72), (51, 2100, 100), (18, 3000, 200)];

pub fn a_row_s_products_depend_on_no_other_row_and_no_number_of_threads(level: KernelLevel) {
    for precision in PRECISIONS {
        for (rows, inner, outputs) in SHARED {
            let (x, weight) = (values(rows * inner, 1), values(outputs * inner, 2));
            let shape = (outputs, inner);
            let alone = Layer::new((level, precision, 1), &weight, shape);
            let expected = alone.product(&x, rows);
            let last = alone.product(&x[(rows - 1) * inner..], 1);
            expect_bits("the last row alone", &last, &expected[(rows - 1) * outputs..]);
            for threads in [2, 3, 7] {
                let shared = Layer::new((level, precision, threads), &weight, shape);
                let what = format!("{}, {rows} rows", shared.what);
                expect_bits(&what, &shared.product(&x, rows), &expected);
            }
        }
    }
}

pub fn residual_and_bias_are_added_to_the_sums(level: KernelLevel) {
    let (rows, inner, outputs) = (15, 130, 50);
    let (x, weight) = (values(rows * inner, 1), values(outputs * inner, 2));
    let (residual, bias) = (values(rows * outputs, 3), values(outputs, 4));
    for precision in PRECISIONS {
        let Layer {
            device, linear, what, ..
        } = &Layer::new((level, precision, 1), &weight, (outputs, inner));
        let read = |tensor| device.read_back(&tensor).unwrap();
        let x = device.upload(&x, &[rows, inner]).unwrap();
        let on_device = device.upload(&residual, &[rows, outputs]).unwrap();
        let sums = read(device.linear(&x, linear, Activation::None).unwrap());
        let plus = |sums: &[f32], others: &[f32]| -> Vec<f32> {
            let pairs = sums.iter().zip(others.iter().cycle());
            pairs.map(|(sum, other)| sum + other).collect()
        };
        let with_residual = plus(&sums, &residual);
        expect_bits(
            what,
            &read(device.linear_add(&x, linear, None, &on_device).unwrap()),
            &with_residual,
        );
        let biased = device.upload(&bias, &[1, outputs]).unwrap();
        let biased = device.with_bias(linear, &biased).unwrap();
        let with_both = plus(&plus(&sums, &bias), &residual);
        expect_bits(
            what,
            &read(device.linear_add(&x, &biased, None, &on_device).unwrap()),
            &with_both,
        );
    }
}

/// Of halves that are whole panels, some to be shared, and of others.
pub fn geglu_is_gelu_of_gate_times_up_of_the_layer_s_own_products(level: KernelLevel) {
    for precision in PRECISIONS {
        for (rows, inner, width) in [
            (1, 40, 16),
            (30, 300, 48),
            (145, 300, 128),
            (5, 40, 33),
            (30, 300, 8),
        ] {
            let (x, weight) = (values(rows * inner, 1), values(2 * width * inner, 2));
            let shape = (2 * width, inner);
            let alone = Layer::new((level, precision, 1), &weight, shape);
            let geglu = |layer: &Layer| {
                let y = layer
                    .device
                    .geglu(&layer.upload(&x, rows), &layer.linear)
                    .unwrap();
                assert_eq!(layer.device.shape(&y), [rows, width], "{}", layer.what);
                layer.device.read_back(&y).unwrap()
            };
            let ours = geglu(&alone);
            let products = alone.product(&x, rows);
            for (index, ours) in ours.iter().enumerate() {
                let (gate, up) = products[index / width * 2 * width..][..2 * width].split_at(width);
                let (gate, up) = (f64::from(gate[index % width]), f64::from(up[index % width]));
                let expected = gelu_tanh(gate) * up;
                let error = (f64::from(*ours) - expected).abs();
                assert!(
                    error <= 1e-6 * (1.0 + up.abs()) * (1.0 + gate.abs()),
                    "{}: value {index} is {ours}, expected {expected}",
                    alone.what
                );
            }
            let shared = Layer::new((level, precision, 3), &weight, shape);
            expect_bits(&shared.what, &geglu(&shared), &ours);
        }
    }
}
