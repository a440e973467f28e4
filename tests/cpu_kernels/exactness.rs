//! Products of every shape, on one thread.

use half::bf16;
use pi0_node::device::{KernelLevel, Precision};

use crate::common::levels::Activations;
use crate::common::values::values;
use crate::plain::{LARGEST_WEIGHT, Product, through_bf16, through_int8};
use crate::{Layer, expect_bits};

/// Inputs and outputs: less than a panel and more, less than a block and more, odd ones, and none.
const SHAPES: [(usize, usize); 9] = [
    (1, 1),
    (16, 16),
    (257, 72),
    (300, 33),
    (601, 4),
    (1100, 20),
    (1030, 21),
    (20, 150),
    (0, 4),
];
const MOST_ROWS: usize = 300;

/// Every remainder of every kernel's tiles, and more than one block of rows.
fn row_counts() -> impl Iterator<Item = usize> {
    (0..=30).chain([51, 145])
}

/// Rows of very unlike values: a few large ones among the rest of a block, and some blocks of zeros.
fn activations(inner: usize) -> Vec<f32> {
    let mut x = values(MOST_ROWS * inner, 1);
    for (index, x) in x.iter_mut().enumerate() {
        match (index / inner, index % inner) {
            (row, column) if (row + column) % 97 == 0 => *x *= 40.0,
            (3, 0..512) | (7, 600..) | (8, _) => *x = 0.0,
            _ => (),
        }
    }
    x
}

/// The last output has weights of zero.
fn weights(outputs: usize, inner: usize) -> Vec<f32> {
    let mut weight = values(outputs * inner, 2);
    if outputs > 1 {
        weight[(outputs - 1) * inner..].fill(0.0);
    }
    weight
}

/// Calls `test` with products of every shape and what they are of; those of fewer rows have to be the same.
fn each_product(level: KernelLevel, precision: Precision, test: impl Fn(&str, &[f32], Product)) {
    for (inner, outputs) in SHAPES {
        let (x, weight) = (activations(inner), weights(outputs, inner));
        let layer = Layer::new((level, precision, 1), &weight, (outputs, inner));
        let y = layer.product(&x, MOST_ROWS);
        let product = Product {
            x: &x,
            weight: &weight,
            rows: MOST_ROWS,
            inner,
            outputs,
        };
        test(&layer.what, &y, product);
        for rows in row_counts() {
            let what = format!("{}, {rows} rows", layer.what);
            expect_bits(&what, &layer.product(&x, rows), &y[..rows * outputs]);
        }
    }
}

pub fn products_with_f32_weights_are_sums_of_products(level: KernelLevel) {
    each_product(level, Precision::F32, |what, y, product| {
        product.expect_rounded_sums(y, what)
    });
}

pub fn products_with_bf16_weights_are_sums_of_rounded_values(level: KernelLevel) {
    let activations = Activations::at(level, Precision::Bf16);
    each_product(level, Precision::Bf16, |what, y, product| {
        let x = match activations {
            Activations::Bf16 => through_bf16(product.x),
            _ => product.x.to_vec(),
        };
        let weight = through_bf16(product.weight);
        let rounded = Product {
            x: &x,
            weight: &weight,
            ..product
        };
        rounded.expect_rounded_sums(y, what);
    });
}

pub fn products_with_int8_weights_are_those_of_plain_arithmetic(level: KernelLevel) {
    let activations = Activations::at(level, Precision::Int8);
    each_product(level, Precision::Int8, |what, y, product| match activations {
        Activations::Quantised(quantisation) => expect_bits(what, y, &product.in_integers(quantisation)),
        _ => {
            let weight = through_int8(product.weight, product.inner);
            let upcast = Product {
                weight: &weight,
                ..product
            };
            upcast.expect_rounded_sums(y, what);
        }
    });
}

/// Half a step of each weight and each activation, and a little of 32 bits.
pub fn products_with_int8_weights_differ_from_exact_ones_by_the_rounding_at_most(level: KernelLevel) {
    const HALF: f64 = 0.51;
    let activations = Activations::at(level, Precision::Int8);
    each_product(level, Precision::Int8, |what, y, product| {
        let largest = |values: &[f32]| {
            values
                .iter()
                .fold(0.0, |most: f64, value| most.max(f64::from(value.abs())))
        };
        for (index, (y, (x, weight))) in y.iter().zip(product.pairs()).enumerate() {
            let step_of_weight = HALF * largest(weight) / f64::from(LARGEST_WEIGHT);
            let (mut exact, mut rounding) = (0.0, 0.0);
            let block = match activations {
                Activations::Quantised(quantisation) => quantisation.block,
                _ => product.inner.max(1),
            };
            for (x, weight) in x.chunks(block).zip(weight.chunks(block)) {
                let step_of_x = match activations {
                    Activations::Quantised(quantisation) => {
                        HALF * largest(x) / f64::from(quantisation.largest)
                    }
                    _ => 0.0,
                };
                for (x, w) in x.iter().zip(weight) {
                    let (x, w) = (f64::from(*x), f64::from(*w));
                    exact += x * w;
                    rounding += x.abs() * step_of_weight + (w.abs() + step_of_weight) * step_of_x;
                }
            }
            let error = (f64::from(*y) - exact).abs();
            assert!(
                error <= rounding * (1.0 + 1e-5),
                "{what}: value {index} is {y}, expected {exact} ± {rounding}"
            );
        }
    });
}

pub fn products_of_whole_numbers_of_steps_are_exact(level: KernelLevel) {
    let (rows, inner, outputs) = (19, 1030, 21);
    const SMALLEST_BLOCK: usize = 128;
    // The largest of every row and block is 127, so that a step of 8 bits is 1.
    let whole = |count: usize, seed: usize| -> Vec<f32> {
        (0..count)
            .map(|index| match index % inner % SMALLEST_BLOCK {
                0 => -127.0,
                _ => ((index * 37 + seed) % 255) as f32 - 127.0,
            })
            .collect()
    };
    let (x, weight) = (whole(rows * inner, 5), whole(outputs * inner, 91));
    let layer = Layer::new((level, Precision::Int8, 1), &weight, (outputs, inner));
    let product = Product {
        x: &x,
        weight: &weight,
        rows,
        inner,
        outputs,
    };
    // 16 bits count in 127 / 32767, which is not whole.
    let tolerance = match Activations::at(level, Precision::Int8) {
        Activations::Quantised(quantisation) if quantisation.largest > LARGEST_WEIGHT => {
            0.51 * 127.0 / f64::from(quantisation.largest) * 127.0 * inner as f64
        }
        _ => 1.0,
    };
    for (y, (x, weight)) in layer.product(&x, rows).iter().zip(product.pairs()) {
        let exact: f64 = x.iter().zip(weight).map(|(x, w)| f64::from(x * w)).sum();
        let error = (f64::from(*y) - exact).abs();
        assert!(error <= tolerance, "{}: {y}, expected {exact}", layer.what);
    }
}

/// Of values of every kind; instructions for bf16 take those below the smallest normal number for zero.
pub fn values_become_the_nearest_bf16(level: KernelLevel) {
    let tie = |bits: u32| f32::from_bits(bits << 16 | 0x8000);
    let special = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        -0.0,
        1e-40,
        tie(0x3f80),
        tie(0x3f81),
    ];
    let of_every_kind: Vec<f32> = values(300, 4).into_iter().chain(special).collect();
    let count = of_every_kind.len();
    let expect = |what: &str, ours: &[f32], expected: &dyn Fn(f32) -> f32| {
        for (ours, value) in ours.iter().zip(&of_every_kind) {
            let expected = expected(*value);
            let same = *ours == expected
                || (ours.is_nan() && expected.is_nan())
                || (*ours == 0.0 && !value.is_normal());
            assert!(same, "{what} {value} became {ours}, expected {expected}");
        }
    };
    let rounded = |value: f32| bf16::from_f32(value).to_f32();
    let as_weights = Layer::new((level, Precision::Bf16, 1), &of_every_kind, (count, 1));
    expect("weight", &as_weights.product(&[1.0], 1), &rounded);
    let as_activations = Layer::new((level, Precision::Bf16, 1), &[1.0], (1, 1));
    let ours = as_activations.product(&of_every_kind, count);
    match Activations::at(level, Precision::Bf16) {
        Activations::Bf16 => expect("activation", &ours, &rounded),
        _ => expect("activation", &ours, &|value| value),
    }
}
