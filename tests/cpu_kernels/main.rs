//! The CPU device's matrix products at every kernel level, against plain arithmetic on values rounded in the same way.

#[path = "../common"]
mod common {
    pub mod at_level;
    pub mod gelu;
    pub mod ignored;
    pub mod levels;
    pub mod values;
}
mod exactness;
mod plain;
mod robustness;
mod sharing;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use pi0_node::device::{Activation, CpuDevice, Device, HostTensor, KernelLevel, Precision};

use crate::common::at_level::at_level;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

/// A name, and a test that a level passes which does so.
type Behaviour = (&'static str, fn(KernelLevel));

const BEHAVIOURS: [Behaviour; 11] = [
    (
        "products with f32 weights are sums of products",
        exactness::products_with_f32_weights_are_sums_of_products,
    ),
    (
        "products with bf16 weights are sums of rounded values",
        exactness::products_with_bf16_weights_are_sums_of_rounded_values,
    ),
    (
        "products with int8 weights are those of plain arithmetic",
        exactness::products_with_int8_weights_are_those_of_plain_arithmetic,
    ),
    (
        "products with int8 weights differ from exact ones by the rounding at most",
        exactness::products_with_int8_weights_differ_from_exact_ones_by_the_rounding_at_most,
    ),
    (
        "products of whole numbers of steps are exact",
        exactness::products_of_whole_numbers_of_steps_are_exact,
    ),
    (
        "values become the nearest bf16",
        exactness::values_become_the_nearest_bf16,
    ),
    (
        "a row's products depend on no other row and no number of threads",
        sharing::a_row_s_products_depend_on_no_other_row_and_no_number_of_threads,
    ),
    (
        "residual and bias are added to the sums",
        sharing::residual_and_bias_are_added_to_the_sums,
    ),
    (
        "geglu is gelu(gate) · up of the layer's own products",
        sharing::geglu_is_gelu_of_gate_times_up_of_the_layer_s_own_products,
    ),
    (
        "a value that is not finite spoils its row or its output and no other",
        robustness::a_value_that_is_not_finite_spoils_its_row_or_its_output_and_no_other,
    ),
    (
        "the largest values do not overflow",
        robustness::the_largest_values_do_not_overflow,
    ),
];

fn main() -> ExitCode {
    let trials = KernelLevel::ALL.into_iter().flat_map(|level| {
        BEHAVIOURS.map(|(behaviour, test)| at_level(level, behaviour, move || test(level)))
    });
    let trials: Vec<Trial> = trials.collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A layer without bias, on a device of its own.
struct Layer {
    device: CpuDevice,
    linear: <CpuDevice as Device>::Linear,
    inner: usize,
    what: String,
}

impl Layer {
    fn new(
        (level, precision, threads): (KernelLevel, Precision, usize),
        weight: &[f32],
        (outputs, inner): (usize, usize),
    ) -> Self {
        let device = CpuDevice::with_kernel_level(precision, threads, level).unwrap();
        let weight = HostTensor::from_f32(weight, &[outputs, inner]);
        Self {
            linear: device.upload_linear(&[weight], &[]).unwrap(),
            inner,
            what: format!("{precision:?} weights, {threads} threads, {inner} → {outputs}"),
            device,
        }
    }

    fn upload(&self, x: &[f32], rows: usize) -> <CpuDevice as Device>::Tensor {
        self.device
            .upload(&x[..rows * self.inner], &[rows, self.inner])
            .unwrap()
    }

    /// `x · weightᵀ` of the first rows of x.
    fn product(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let y = self
            .device
            .linear(&self.upload(x, rows), &self.linear, Activation::None);
        self.device.read_back(&y.unwrap()).unwrap()
    }
}

/// # Panics
/// When a value differs in a single bit.
fn expect_bits(what: &str, ours: &[f32], expected: &[f32]) {
    assert_eq!(ours.len(), expected.len(), "{what}: number of values");
    for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        assert_eq!(
            ours.to_bits(),
            expected.to_bits(),
            "{what}: value {index} is {ours}, expected {expected}"
        );
    }
}
