//! Sizes of the network, from the shapes of openpi's arrays.

use std::collections::BTreeMap;

use super::mapping::Source;
use super::zarr::Array;
use crate::checkpoint::error::TensorProblem;
use crate::model::{GemmaConfig, ModelType, Pi0Config, SiglipConfig};

/// Size of each named axis, as `vlm.width`. An axis has the size of the first array that has it.
#[derive(Default)]
pub(super) struct Sizes(BTreeMap<String, usize>);

impl Sizes {
    /// Takes the sizes of an array, and returns a problem if others contradict them.
    pub fn take(&mut self, source: &Source, array: &Array) -> Option<TensorProblem> {
        if array.shape.len() != source.axes.len() {
            return Some(shape_problem(source, array, self.expected(source)));
        }
        let mut size = |(axis, found): (&String, &usize)| {
            if let Ok(size) = axis.parse() {
                return size;
            }
            match axis.split_once('*') {
                Some((factor, axis)) => {
                    let factor: usize = factor.parse().expect("a factor of an axis is a number");
                    self.0.get(axis).map_or(*found, |size| factor * size)
                }
                None => *self.0.entry(axis.clone()).or_insert(*found),
            }
        };
        let expected: Vec<usize> = source.axes.iter().zip(&array.shape).map(&mut size).collect();
        (expected != array.shape).then(|| shape_problem(source, array, expected))
    }

    /// Shape of an array by the sizes of the others; 0 where no other has the axis.
    pub fn expected(&self, source: &Source) -> Vec<usize> {
        let size = |axis: &String| match axis.split_once('*') {
            _ if axis.parse::<usize>().is_ok() => axis.parse().unwrap_or_default(),
            Some((factor, axis)) => factor.parse::<usize>().unwrap_or_default() * self.known(axis),
            None => self.known(axis),
        };
        source.axes.iter().map(size).collect()
    }

    fn known(&self, axis: &str) -> usize {
        self.0.get(axis).copied().unwrap_or_default()
    }

    /// Configuration of a network of these sizes, of which the arrays do not tell the rest.
    ///
    /// # Panics
    /// When an array is missing.
    pub fn config(
        &self,
        model_type: ModelType,
        action_horizon: usize,
        max_prompt_tokens: usize,
    ) -> Pi0Config {
        let size = |axis: &str| self.0[axis];
        let patch_size = size("vision.patch_rows");
        let gemma = |scope: &str, published: GemmaConfig| {
            let size = |axis: &str| size(&format!("{scope}.{axis}"));
            GemmaConfig {
                width: size("width"),
                depth: size("layers"),
                mlp_dim: size("mlp_dim"),
                num_heads: size("heads"),
                num_kv_heads: size("kv_heads"),
                head_dim: size("head_dim"),
                ..published
            }
        };
        let max_action_dim = size("expert.action_dim");
        Pi0Config {
            vision: SiglipConfig {
                image_size: size("vision.patches").isqrt() * patch_size,
                patch_size,
                width: size("vision.width"),
                depth: size("vision.layers"),
                mlp_dim: size("vision.mlp_dim"),
                num_heads: size("vision.heads"),
                ..SiglipConfig::so400m_14_224()
            },
            vlm: gemma("vlm", GemmaConfig::gemma_2b()),
            expert: gemma("expert", GemmaConfig::gemma_300m()),
            vocab_size: size("vlm.vocabulary"),
            max_state_dim: self.0.get("expert.state_dim").copied().unwrap_or(max_action_dim),
            max_action_dim,
            action_horizon,
            max_prompt_tokens,
            ..Pi0Config::published(model_type)
        }
    }

    /// Problems of sizes that are to be equal or squares, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let size = |axis: &str| self.0[axis];
        let mut problems = Vec::new();
        let (rows, columns) = (size("vision.patch_rows"), size("vision.patch_columns"));
        if rows != columns {
            problems.push(format!("patches of {rows} × {columns} pixels, expected squares"));
        }
        let patches = size("vision.patches");
        if patches.isqrt().pow(2) != patches {
            problems.push(format!(
                "{patches} patches of an image, expected the square of a number"
            ));
        }
        let (heads, head_dim, width) = (
            size("vision.heads"),
            size("vision.head_dim"),
            size("vision.width"),
        );
        if heads * head_dim != width {
            problems.push(format!(
                "{heads} heads of {head_dim} values in a vision tower of width {width}, expected as many values"
            ));
        }
        problems
    }
}

fn shape_problem(source: &Source, array: &Array, expected: Vec<usize>) -> TensorProblem {
    TensorProblem::Shape {
        name: source.array.clone(),
        found: array.shape.clone(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::super::mapping::sources;
    use super::*;

    fn array(shape: &str) -> Array {
        let metadata = format!(
            r#"{{"zarr_format": 2, "shape": {shape}, "chunks": {shape}, "dtype": "<f4", "compressor": null, "order": "C"}}"#
        );
        Array::read("array", metadata.as_bytes(), false).unwrap()
    }

    fn source(name: &str) -> Source {
        let named = |source: &Source| source.array == name;
        sources(ModelType::Pi05).into_iter().find(named).unwrap()
    }

    #[test]
    fn a_shape_that_contradicts_the_arrays_before_is_a_problem_with_the_expected_one() {
        let mut sizes = Sizes::default();
        let query = source("PaliGemma.llm.layers.attn.q_einsum_1.w");
        let norm = source("PaliGemma.llm.layers.pre_ffw_norm_1.Dense_0.kernel");
        assert_eq!(sizes.take(&query, &array("[18, 8, 1024, 256]")), None);
        assert_eq!(sizes.take(&norm, &array("[18, 1024, 3072]")), None);
        for wrong in ["[18, 1024, 2048]", "[18, 3072, 1024]", "[1024, 3072]"] {
            let problem = sizes.take(&norm, &array(wrong));
            let Some(TensorProblem::Shape { expected, .. }) = problem else {
                panic!("{wrong}: {problem:?}");
            };
            assert_eq!(expected, [18, 1024, 3072]);
        }
    }
}
