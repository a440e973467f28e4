//! Weights of an adapter, merged with those of its base one parameter at a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use half::{bf16, f16};

use super::adapter::Adapter;
use super::error::CheckpointError;
use super::names::{Role, model_type, role};
use super::tensor_files::{StoredTensor, TensorFiles};
use crate::device::{Dtype, HostTensor};
use crate::model::ModelType;

/// What peft puts before a module's path in the model that it wraps.
const WRAPPER: &str = "base_model.model.";

/// Merges an adapter's changes into the parameters of its base. A merged parameter is computed whenever it is
/// read, so that none of them stays in memory beside its copy on the device.
pub(super) struct AdapterWeights {
    files: TensorFiles,
    /// Changes of the model's parameters, by name.
    changes: BTreeMap<String, Change>,
}

enum Change {
    /// A sum with a product of two matrices.
    LowRank(LowRank),
    /// Replacement by the adapter's tensor of this stored name.
    Whole(String),
}

/// `weight + scale · left · right`, both of rank `rank`.
struct LowRank {
    /// Stored names of peft's A and B.
    a: String,
    b: String,
    rank: usize,
    scale: f32,
    /// Whether the weight is that of an embedding, to which peft adds the transposed product.
    is_embedding: bool,
}

/// Part of an adapter that a stored tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    A,
    B,
    EmbeddingA,
    EmbeddingB,
    Whole,
}

impl AdapterWeights {
    /// Reads an adapter's weights; `stored_names` are those of the base's parameters in `base`.
    ///
    /// # Errors
    /// Every tensor that does not fit the base, all at once: the adapter was trained on another one.
    pub fn open(
        adapter: &Adapter,
        base: &TensorFiles,
        stored_names: &BTreeMap<String, String>,
    ) -> Result<Self, CheckpointError> {
        let files = open_files(adapter)?;
        let mut problems = Vec::new();
        let model_type = model_type(base.iter().map(|(name, _)| name));
        let parts = parts(&files, model_type, &mut problems);
        let mut changes = BTreeMap::new();
        for (parameter, (module, parts)) in &parts {
            let Some(weight) = stored_names.get(parameter).and_then(|stored| base.info(stored)) else {
                problems.push(format!(
                    "{parameter} is changed, but the base has no such parameter"
                ));
                continue;
            };
            match change(adapter, &files, module, parts, weight) {
                Ok(change) => {
                    changes.insert(parameter.clone(), change);
                }
                Err(problem) => problems.push(format!("{parameter}: {problem}")),
            }
        }
        for module in adapter.modules_to_save() {
            // A module may hold others.
            let path = format!("{module}.");
            let is_saved = |(found, parts): &(String, BTreeMap<Part, String>)| {
                format!("{found}.").contains(&path) && parts.contains_key(&Part::Whole)
            };
            if !parts.values().any(is_saved) && !is_unused(module) {
                problems.push(format!(
                    "modules_to_save has {module}, which is not among the adapter's tensors"
                ));
            }
        }
        if problems.is_empty() && changes.is_empty() {
            problems.push("the adapter has no tensor that changes the policy".to_owned());
        }
        if problems.is_empty() {
            return Ok(Self { files, changes });
        }
        problems.sort();
        Err(CheckpointError::AdapterTensors {
            path: adapter.folder().to_owned(),
            problems,
        })
    }

    /// As [`TensorFiles::expect_unchanged`].
    pub fn expect_unchanged(&self) -> Result<(), CheckpointError> {
        self.files.expect_unchanged()
    }

    /// Number of parameters that the adapter changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// The parameter `name` with the adapter's change, which is added in f32, in the type of the base.
    pub fn merged<'a>(&'a self, name: &str, base: HostTensor<'a>) -> HostTensor<'a> {
        match self.changes.get(name) {
            None => base,
            Some(Change::Whole(stored)) => self.stored(stored).reshape(&base.shape),
            Some(Change::LowRank(change)) => {
                change.added_to(&base, &self.stored(&change.a), &self.stored(&change.b))
            }
        }
    }

    fn stored(&self, name: &str) -> HostTensor<'_> {
        self.files
            .get(name)
            .unwrap_or_else(|| panic!("{name} was among the adapter's tensors"))
    }
}

impl LowRank {
    fn added_to(&self, base: &HostTensor, a: &HostTensor, b: &HostTensor) -> HostTensor<'static> {
        let (rank, rows) = (self.rank, base.shape[0]);
        let columns = base.len() / rows;
        let (a, b) = (a.to_f32(), b.to_f32());
        // Rows of `left` are those of the weight, rows of `right` the terms of the sum.
        let (left, right) = match self.is_embedding {
            false => (b, a),
            true => (transposed(&a, rank), transposed(&b, columns)),
        };
        let size = base.dtype.size();
        let mut bytes = vec![0; base.len() * size];
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let rows_a_thread = rows.div_ceil(threads);
        thread::scope(|scope| {
            for (part, bytes) in bytes.chunks_mut(rows_a_thread * columns * size).enumerate() {
                let (left, right) = (&left, &right);
                scope.spawn(move || {
                    let mut weight = vec![0.0; columns];
                    let mut product = vec![0.0; columns];
                    for (index, bytes) in bytes.chunks_exact_mut(columns * size).enumerate() {
                        let row = part * rows_a_thread + index;
                        product.fill(0.0);
                        for (factor, term) in
                            left[row * rank..][..rank].iter().zip(right.chunks_exact(columns))
                        {
                            for (sum, value) in product.iter_mut().zip(term) {
                                *sum += factor * value;
                            }
                        }
                        base.read_f32(row * columns, &mut weight);
                        for (weight, product) in weight.iter_mut().zip(&product) {
                            *weight += self.scale * product;
                        }
                        write(base.dtype, &weight, bytes);
                    }
                });
            }
        });
        HostTensor {
            dtype: base.dtype,
            shape: base.shape.clone(),
            bytes: Cow::Owned(bytes),
        }
    }
}

fn open_files(adapter: &Adapter) -> Result<TensorFiles, CheckpointError> {
    let path = adapter.folder().join("adapter_model.safetensors");
    if path.exists() {
        return TensorFiles::open(&path);
    }
    let problem = match adapter.folder().join("adapter_model.bin").exists() {
        true => {
            "missing; adapter_model.bin is pickled Python, which is not read: save the adapter with peft's \
                 safe_serialization"
        }
        false => "missing; peft saves an adapter's weights there",
    };
    Err(CheckpointError::File {
        path,
        problem: problem.to_owned(),
    })
}

type Parts = BTreeMap<String, (String, BTreeMap<Part, String>)>;

/// Finds the stored tensors of each parameter that the adapter changes, and the path of its module. Output
/// layers are left out, since the policy predicts no tokens.
fn parts(files: &TensorFiles, model_type: ModelType, problems: &mut Vec<String>) -> Parts {
    let mut parts = Parts::new();
    let mut adapter_names = BTreeSet::new();
    for (stored, _) in files.iter() {
        let Some((module, part, kind)) = split(stored, &mut adapter_names) else {
            problems.push(format!("{stored} is no tensor of a LoRA adapter"));
            continue;
        };
        let Role::Parameter(parameter) = role(&format!("{module}.{kind}"), model_type) else {
            continue;
        };
        let (_, of_parameter) = parts.entry(parameter).or_insert((module, BTreeMap::new()));
        if let Some(other) = of_parameter.insert(part, stored.to_owned()) {
            problems.push(format!("{stored} is stored as {other} too"));
        }
    }
    if adapter_names.len() > 1 {
        problems.push(format!(
            "the file has the adapters {}, expected one",
            adapter_names.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    parts
}

/// Splits a stored name into the path of the module, the part of the adapter and the kind of the parameter
/// (`weight`, `bias`). The adapter's own name is in it or not, depending on who saved it.
fn split(stored: &str, adapter_names: &mut BTreeSet<String>) -> Option<(String, Part, &'static str)> {
    let path = stored.strip_prefix(WRAPPER).unwrap_or(stored);
    let mut note = |name: &str| {
        adapter_names.insert(name.to_owned());
    };
    for (mark, part) in [(".lora_A.", Part::A), (".lora_B.", Part::B)] {
        if let Some((module, rest)) = path.split_once(mark) {
            let name = rest.strip_suffix("weight")?;
            if let Some(name) = name.strip_suffix('.') {
                note(name);
            }
            return Some((module.to_owned(), part, "weight"));
        }
    }
    for (mark, part) in [
        (".lora_embedding_A", Part::EmbeddingA),
        (".lora_embedding_B", Part::EmbeddingB),
    ] {
        if let Some((module, rest)) = path.split_once(mark) {
            if let Some(name) = rest.strip_prefix('.') {
                note(name);
            }
            return Some((module.to_owned(), part, "weight"));
        }
    }
    let (module, kind) = ["weight", "bias"].into_iter().find_map(|kind| {
        let module = path.strip_suffix(kind)?.strip_suffix('.')?;
        Some((module, kind))
    })?;
    if module.contains(".lora_") || module.contains(".original_module") {
        return None;
    }
    let module = match module.split_once(".modules_to_save") {
        Some((module, rest)) => {
            if let Some(name) = rest.strip_prefix('.') {
                note(name);
            }
            module
        }
        None => module,
    };
    let module = module.strip_suffix(".base_layer").unwrap_or(module);
    Some((module.to_owned(), Part::Whole, kind))
}

/// Whether a module is an output layer, which the policy never uses.
fn is_unused(module: &str) -> bool {
    module.ends_with("lm_head")
}

/// The change of a parameter, from the tensors of its module.
///
/// # Errors
/// A sentence about what does not fit.
fn change(
    adapter: &Adapter,
    files: &TensorFiles,
    module: &str,
    parts: &BTreeMap<Part, String>,
    weight: &StoredTensor,
) -> Result<Change, String> {
    let named = |part: Part| parts.get(&part).filter(|_| parts.len() <= 2);
    if let (1, Some(stored)) = (parts.len(), parts.get(&Part::Whole)) {
        let shape = shape_of_floats(files, stored)?;
        return match shape == weight.shape {
            true => Ok(Change::Whole(stored.clone())),
            false => Err(format!("the adapter has {shape:?}, the base {:?}", weight.shape)),
        };
    }
    let (a, b, is_embedding) = match (
        named(Part::A),
        named(Part::B),
        named(Part::EmbeddingA),
        named(Part::EmbeddingB),
    ) {
        (Some(a), Some(b), None, None) => (a, b, false),
        (None, None, Some(a), Some(b)) => (a, b, true),
        _ => {
            let found: Vec<&str> = parts.values().map(String::as_str).collect();
            return Err(format!(
                "expected lora_A and lora_B, or the whole tensor, found {}",
                found.join(", ")
            ));
        }
    };
    let scale = adapter.low_rank(module)?;
    let (a_shape, b_shape) = (shape_of_floats(files, a)?, shape_of_floats(files, b)?);
    let inner = |shape: &[usize]| shape.iter().skip(1).product::<usize>();
    // The product of a convolution's A has its kernel's sizes, its B has 1 × 1.
    let product = match is_embedding {
        false => [b_shape[0], inner(&a_shape)],
        true => [inner(&a_shape), b_shape[0]],
    };
    let ranks = [a_shape[0], inner(&b_shape)];
    if ranks != [scale.rank; 2] {
        return Err(format!(
            "lora_A {a_shape:?} and lora_B {b_shape:?} have the ranks {} and {}, adapter_config.json gives {}",
            ranks[0], ranks[1], scale.rank
        ));
    }
    if product != [weight.shape[0], inner(&weight.shape)] {
        return Err(format!(
            "lora_A {a_shape:?} and lora_B {b_shape:?} make {product:?}, the base has {:?}",
            weight.shape
        ));
    }
    Ok(Change::LowRank(LowRank {
        a: a.clone(),
        b: b.clone(),
        rank: scale.rank,
        scale: scale.scale,
        is_embedding,
    }))
}

/// Shape of a stored tensor of at least one dimension.
fn shape_of_floats(files: &TensorFiles, stored: &str) -> Result<Vec<usize>, String> {
    match files.info(stored) {
        Some(tensor) if tensor.float_type().is_none() => Err(format!(
            "{stored} has the type {:?}, expected F32, BF16 or F16",
            tensor.dtype
        )),
        Some(tensor) if !tensor.shape.is_empty() => Ok(tensor.shape.clone()),
        _ => Err(format!("{stored} is a single value, expected a matrix")),
    }
}

/// Transposes `[rows, …]`.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    let mut transposed = Vec::with_capacity(values.len());
    for column in 0..columns {
        transposed.extend((0..rows).map(|row| values[row * columns + column]));
    }
    transposed
}

/// Writes values in a type, rounded to its nearest.
fn write(dtype: Dtype, values: &[f32], bytes: &mut [u8]) {
    fn each<const N: usize>(values: &[f32], bytes: &mut [u8], convert: impl Fn(f32) -> [u8; N]) {
        for (bytes, value) in bytes.as_chunks_mut::<N>().0.iter_mut().zip(values) {
            *bytes = convert(*value);
        }
    }
    match dtype {
        Dtype::F32 => each(values, bytes, f32::to_le_bytes),
        Dtype::Bf16 => each(values, bytes, |value| bf16::from_f32(value).to_le_bytes()),
        Dtype::F16 => each(values, bytes, |value| f16::from_f32(value).to_le_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_named(stored: &str) -> (Option<(String, Part, &'static str)>, Vec<String>) {
        let mut names = BTreeSet::new();
        (split(stored, &mut names), names.into_iter().collect())
    }

    #[test]
    fn a_name_has_a_module_a_part_and_sometimes_the_adapter_s_name() {
        for (stored, module, part, kind, adapter) in [
            (
                "base_model.model.model.a.lora_A.weight",
                "model.a",
                Part::A,
                "weight",
                None,
            ),
            (
                "base_model.model.model.a.lora_B.default.weight",
                "model.a",
                Part::B,
                "weight",
                Some("default"),
            ),
            (
                "model.e.lora_embedding_A",
                "model.e",
                Part::EmbeddingA,
                "weight",
                None,
            ),
            (
                "model.e.lora_embedding_B.mine",
                "model.e",
                Part::EmbeddingB,
                "weight",
                Some("mine"),
            ),
            (
                "base_model.model.model.a.bias",
                "model.a",
                Part::Whole,
                "bias",
                None,
            ),
            (
                "base_model.model.model.a.base_layer.bias",
                "model.a",
                Part::Whole,
                "bias",
                None,
            ),
            (
                "base_model.model.model.a.modules_to_save.default.weight",
                "model.a",
                Part::Whole,
                "weight",
                Some("default"),
            ),
        ] {
            let (split, names) = split_named(stored);
            assert_eq!(split, Some((module.to_owned(), part, kind)), "{stored}");
            assert_eq!(names, adapter.into_iter().collect::<Vec<_>>(), "{stored}");
        }
        for stored in [
            "model.a.lora_B.bias",
            "model.a.lora_magnitude_vector.weight",
            "model.a",
        ] {
            assert_eq!(split_named(stored).0, None, "{stored}");
        }
    }

    #[test]
    fn a_sum_is_rounded_to_the_nearest_value_of_the_base_s_type() {
        let base = HostTensor {
            dtype: Dtype::Bf16,
            shape: vec![1, 1],
            bytes: Cow::Owned(bf16::from_f32(1.0).to_le_bytes().to_vec()),
        };
        let change = LowRank {
            a: String::new(),
            b: String::new(),
            rank: 1,
            scale: 0.5,
            is_embedding: false,
        };
        let one = HostTensor::from_f32(&[0.011], &[1, 1]);
        // The neighbours of 1.0055 are 1 and 1.0078125.
        let merged = change.added_to(&base, &one, &HostTensor::from_f32(&[1.0], &[1, 1]));
        assert_eq!(merged.dtype, Dtype::Bf16);
        assert_eq!(merged.to_f32(), [1.007_812_5]);
    }
}
