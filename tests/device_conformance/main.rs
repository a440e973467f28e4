//! What every device must do: each operation of the contract against a plain definition in f64, and each
//! refusal of shapes that do not fit; on the CPU device at every kernel level, and with the feature
//! `tenstorrent` on a card.

mod buffers;
#[cfg(feature = "tenstorrent")]
mod card;
#[path = "../common"]
mod common {
    pub mod at_level;
    pub mod gelu;
    pub mod ignored;
    pub mod levels;
    pub mod pearson;
    pub mod prefix_input;
    pub mod values;
}
mod element_wise;
mod heads;
mod images;
mod products;
mod tested;
mod whole;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use pi0_node::device::{CpuDevice, Device, KernelLevel, Precision};

use crate::common::at_level::at_level;
use crate::common::levels::Activations;
use crate::tested::{Source, Tested};

fn main() -> ExitCode {
    let trials = KernelLevel::ALL.into_iter().flat_map(cpu_trials);
    #[cfg(feature = "tenstorrent")]
    let trials = trials.chain(card::trials());
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A name, where its values come from, and a test that a device passes which does so.
type Behaviour<D> = (&'static str, Source, fn(Tested<D>));

fn behaviours<D: Device>() -> Vec<Behaviour<D>> {
    use Source::*;
    vec![
        (
            "linear layers stack, add their bias and activate",
            Weights,
            products::linear_layers_stack_add_their_bias_and_activate,
        ),
        (
            "products are right for every number of rows",
            Weights,
            products::products_are_right_for_every_number_of_rows,
        ),
        (
            "geglu gates one half of a product with the other",
            Weights,
            products::geglu_gates_one_half_of_a_product_with_the_other,
        ),
        (
            "embedding looks rows up and scales them",
            Weights,
            products::embedding_looks_rows_up_and_scales_them,
        ),
        (
            "images are cut into patches",
            ElementWise,
            images::images_are_cut_into_patches,
        ),
        (
            "norms take mean and scale out of every row",
            ElementWise,
            element_wise::norms_take_mean_and_scale_out_of_every_row,
        ),
        (
            "rows are joined and cut apart",
            ElementWise,
            element_wise::rows_are_joined_and_cut_apart,
        ),
        (
            "sums and Euler updates go value by value",
            ElementWise,
            element_wise::sums_and_euler_updates_go_value_by_value,
        ),
        (
            "steps too small for bfloat16 add up",
            ElementWise,
            element_wise::steps_too_small_for_bfloat16_add_up,
        ),
        (
            "products go value by value and stay in f32",
            ElementWise,
            element_wise::products_go_value_by_value_and_stay_in_f32,
        ),
        (
            "values are selected by a mask and stay as they are",
            ElementWise,
            element_wise::values_are_selected_by_a_mask_and_stay_as_they_are,
        ),
        (
            "heads are split into queries, keys and values",
            ElementWise,
            heads::heads_are_split_queries_keys_values,
        ),
        (
            "rope rotates the first half of a head against the second",
            ElementWise,
            heads::rope_rotates_the_first_half_of_a_head_against_the_second,
        ),
        (
            "attention weighs few keys by masked softmax",
            Attention,
            heads::attention_weighs_few_keys_by_masked_softmax,
        ),
        (
            "attention weighs keys by masked softmax within each sequence",
            Attention,
            heads::attention_weighs_keys_by_masked_softmax_within_each_sequence,
        ),
        (
            "a cache keeps what is written where it is written",
            ElementWise,
            heads::a_cache_keeps_what_is_written_where_it_is_written,
        ),
        (
            "sums and moves use the buffers they are given",
            ElementWise,
            buffers::sums_and_moves_use_the_buffers_they_are_given,
        ),
        (
            "products use the buffers they are given",
            Weights,
            buffers::products_use_the_buffers_they_are_given,
        ),
        (
            "heads use the buffers they are given",
            ElementWise,
            buffers::heads_use_the_buffers_they_are_given,
        ),
        (
            "attention uses the buffers it is given",
            Attention,
            buffers::attention_uses_the_buffers_it_is_given,
        ),
        (
            "captured work reads what was written since",
            ElementWise,
            whole::captured_work_reads_what_was_written_since,
        ),
        (
            "uploads are checked and read-backs are counted",
            ElementWise,
            whole::uploads_are_checked_and_read_backs_are_counted,
        ),
        (
            "a small policy's actions are those of f32",
            Policy,
            whole::a_small_policy_s_actions_are_those_of_f32,
        ),
        (
            "a small π0.5's actions are those of f32",
            Policy,
            whole::a_small_pi05_s_actions_are_those_of_f32,
        ),
    ]
}

fn cpu_trials(level: KernelLevel) -> Vec<Trial> {
    let trial = |(behaviour, source, test): Behaviour<CpuDevice>| {
        at_level(level, behaviour, move || {
            cpu_devices(level, source).for_each(test)
        })
    };
    behaviours().into_iter().map(trial).collect()
}

fn cpu_devices(level: KernelLevel, source: Source) -> impl Iterator<Item = Tested<CpuDevice>> {
    let precisions = [
        (Precision::F32, 1),
        (Precision::F32, 3),
        (Precision::Bf16, 2),
        (Precision::Int8, 2),
    ];
    precisions.into_iter().map(move |(precision, threads)| Tested {
        device: CpuDevice::with_kernel_level(precision, threads, level).unwrap(),
        tolerance: cpu_tolerance(source, level, precision),
        computes: true,
    })
}

fn cpu_tolerance(source: Source, level: KernelLevel, precision: Precision) -> f64 {
    let activations = match source {
        // Both factors are activations there, and none is an integer.
        Source::Attention if precision == Precision::Int8 => Activations::at(level, Precision::Bf16),
        _ => Activations::at(level, precision),
    };
    let counted_in_8_bits =
        matches!(activations, Activations::Quantised(quantisation) if quantisation.largest == 127);
    match (source, precision) {
        (Source::ElementWise, _) => 1e-6,
        (Source::Attention, _) if activations == Activations::Bf16 => 5e-3,
        (Source::Attention, _) => 1e-6,
        (Source::Weights, Precision::F32) => 5e-6,
        (Source::Weights, Precision::Bf16) => 2e-2,
        (Source::Weights, Precision::Int8) if counted_in_8_bits => 1e-1,
        (Source::Weights, Precision::Int8) => 6e-2,
        (Source::Policy, Precision::Int8) if counted_in_8_bits => 1e-3,
        (Source::Policy, Precision::Int8) => 5e-4,
        (Source::Policy, _) if activations == Activations::Bf16 => 2e-5,
        // The random weights are bf16 to begin with.
        (Source::Policy, _) => 1e-9,
    }
}
