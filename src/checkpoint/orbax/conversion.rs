//! Conversion of a step of openpi's JAX training to a folder of LeRobot.

use std::collections::BTreeMap;
use std::path::Path;

use super::adapter::{Adapter, AdapterProblem};
use super::folder::Params;
use super::mapping::{LAYERS, Source, model_type, sources};
use super::norm_stats::{self, AssetStatistics};
use super::sizes::Sizes;
use super::zarr::Array;
use crate::checkpoint::config::OPENPI_CAMERAS;
use crate::checkpoint::error::{CheckpointError, TensorProblem};
use crate::checkpoint::export::{NewTensor, PolicyFiles, TensorFile, write_new_folder};
use crate::device::Dtype;
use crate::model::{ModelType, Pi0Config};

/// Epsilon of openpi's `Normalize` and `Unnormalize` (`transforms.py`).
const EPSILON: f64 = 1e-6;

/// Facts of a training that its folder does not have. The defaults are openpi's.
#[derive(Clone, Debug)]
pub struct ConversionOptions {
    /// Type of the written weights.
    pub dtype: Dtype,
    /// Asset whose statistics are taken; without it, the only one.
    pub asset: Option<String>,
    /// Actions in a chunk.
    pub action_horizon: usize,
    /// Tokens that a prompt may have; without it 48, or 200 for π0.5.
    pub max_prompt_tokens: Option<usize>,
    /// Euler steps from noise to actions.
    pub denoise_steps: usize,
    /// Way in which states and actions are scaled; without it mean and deviation, or quantiles for π0.5.
    pub scaling: Option<Scaling>,
    /// Whether each value of an action is relative to the state, as openpi's `DeltaActions`; empty when none is.
    pub relative: Vec<bool>,
    /// Alpha divided by the rank, of a LoRA of another rank than openpi's variants.
    pub lora_scale: Option<f32>,
}

impl Default for ConversionOptions {
    fn default() -> Self {
        Self {
            dtype: Dtype::Bf16,
            asset: None,
            action_horizon: 50,
            max_prompt_tokens: None,
            denoise_steps: 10,
            scaling: None,
            relative: Vec::new(),
            lora_scale: None,
        }
    }
}

/// Way in which states and actions are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Mean and standard deviation.
    MeanStd,
    /// First and last percentile.
    Quantiles,
}

impl Scaling {
    /// LeRobot's name (`NormalizationMode`).
    pub fn name(self) -> &'static str {
        match self {
            Self::MeanStd => "MEAN_STD",
            Self::Quantiles => "QUANTILES",
        }
    }
}

/// What a conversion found and took.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Sizes and type of the network.
    pub model: Pi0Config,
    /// Parameters that were written.
    pub parameters: usize,
    /// Weights into which an adapter was merged.
    pub merged_adapters: usize,
    /// Asset whose statistics were taken.
    pub asset: String,
    /// Values of a state and of an action.
    pub dims: (usize, usize),
    /// Way in which states and actions are scaled.
    pub scaling: Scaling,
}

/// Converts the step of openpi's JAX training in `folder` to a new folder of LeRobot.
///
/// Arrays are read a layer at a time.
///
/// # Errors
/// When the step is damaged or of another network, facts that it lacks are not given, or `new_folder` exists or
/// cannot be written. Nothing is left of it then.
pub fn convert(
    folder: &Path,
    new_folder: &Path,
    options: &ConversionOptions,
) -> Result<Conversion, CheckpointError> {
    write_new_folder(new_folder, |temporary| {
        let params = Params::open(folder)?;
        let network = Network::new(&params, options)?;
        let scaling = options.scaling.unwrap_or(match network.model.model_type {
            ModelType::Pi05 => Scaling::Quantiles,
            ModelType::Pi0 => Scaling::MeanStd,
        });
        let asset = options.asset.as_deref();
        let statistics = norm_stats::read(params.step(), asset, scaling == Scaling::Quantiles)?;
        let dims = (statistics.state[0].1.len(), statistics.action[0].1.len());
        check_dims(&params, &network.model, dims, &options.relative)?;
        let AssetStatistics { asset, state, action } = statistics;
        let files = PolicyFiles {
            model: &network.model,
            dtype: options.dtype,
            cameras: &OPENPI_CAMERAS,
            denoise_steps: options.denoise_steps,
            normalisation: scaling.name(),
            epsilon: EPSILON,
            state,
            action,
            relative: &options.relative,
        };
        files.write(temporary)?;
        let parameters = network.write(&temporary.join("model.safetensors"), options.dtype)?;
        params.database.expect_unchanged()?;
        Ok(Conversion {
            parameters,
            merged_adapters: network
                .sources
                .iter()
                .filter(|stored| stored.adapter.is_some())
                .count(),
            model: network.model,
            asset,
            dims,
            scaling,
        })
    })
}

fn check_dims(
    params: &Params,
    model: &Pi0Config,
    (state, action): (usize, usize),
    relative: &[bool],
) -> Result<(), CheckpointError> {
    let mut problems = Vec::new();
    for (name, dim, most) in [
        ("state", state, model.max_state_dim),
        ("action", action, model.max_action_dim),
    ] {
        if dim > most {
            problems.push(format!(
                "statistics of {dim} values of the {name}, the model takes at most {most}"
            ));
        }
    }
    let last_relative = relative.iter().rposition(|is_relative| *is_relative);
    if last_relative.is_some_and(|last| last >= action.min(state)) {
        problems.push(format!(
            "value {} of an action is relative, but the state has {state} values and the action {action}",
            last_relative.unwrap_or_default()
        ));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(CheckpointError::Statistics {
        path: params.step().to_owned(),
        problems,
    })
}

/// Arrays of a network, all of which fit each other.
struct Network<'a> {
    params: &'a Params,
    model: Pi0Config,
    sources: Vec<Stored<'a>>,
}

/// Array that is stored, with its adapter.
struct Stored<'a> {
    source: Source,
    array: &'a Array,
    adapter: Option<Adapter<'a>>,
}

impl<'a> Network<'a> {
    /// Finds the arrays of π0 or π0.5.
    ///
    /// # Errors
    /// Every array that is missing, unexpected, or of a shape that does not fit the others.
    fn new(params: &'a Params, options: &ConversionOptions) -> Result<Self, CheckpointError> {
        let model_type = model_type(params.arrays.keys().map(String::as_str));
        let mut unexpected: BTreeMap<&str, &Array> = params
            .arrays
            .iter()
            .map(|(name, array)| (name.as_str(), array))
            .collect();
        let mut sizes = Sizes::default();
        let mut problems = Vec::new();
        let mut missing = Vec::new();
        let mut unknown_scales = Vec::new();
        let mut stored = Vec::new();
        for source in sources(model_type) {
            let Some(array) = unexpected.remove(source.array.as_str()) else {
                missing.push(source);
                continue;
            };
            let shape_problem = sizes.take(&source, array);
            let fits = shape_problem.is_none();
            problems.extend(shape_problem);
            let mut adapter = None;
            if let Some(names) = &source.adapter {
                let a = unexpected.remove(names.a.as_str());
                let b = unexpected.remove(names.b.as_str());
                match (a, b) {
                    (None, None) => {}
                    (Some(a), Some(b)) if fits => {
                        match Adapter::new(names, array, (a, b), options.lora_scale) {
                            Ok(fitting) => adapter = Some(fitting),
                            Err(AdapterProblem::Shape(problem)) => problems.push(problem),
                            Err(AdapterProblem::Scale { name, rank }) => {
                                unknown_scales.push(format!("{name} has the rank {rank}"));
                            }
                        }
                    }
                    (Some(_), Some(_)) => {}
                    (a, _) => problems.push(TensorProblem::Missing {
                        name: if a.is_none() {
                            names.a.clone()
                        } else {
                            names.b.clone()
                        },
                        expected: Vec::new(),
                    }),
                }
            }
            stored.push(Stored {
                source,
                array,
                adapter,
            });
        }
        problems.extend(missing.into_iter().map(|source| TensorProblem::Missing {
            expected: sizes.expected(&source),
            name: source.array,
        }));
        problems.extend(
            unexpected
                .into_iter()
                .map(|(name, array)| TensorProblem::Unexpected {
                    name: name.to_owned(),
                    found: array.shape.clone(),
                }),
        );
        let path = params.folder.clone();
        if !problems.is_empty() {
            return Err(CheckpointError::Tensors { path, problems });
        }
        if let Some(first) = unknown_scales.first() {
            return Err(CheckpointError::File {
                path,
                problem: format!(
                    "{first}, which no variant of openpi has, so its alpha is unknown; give --lora-scale, alpha divided \
                     by the rank"
                ),
            });
        }
        let max_prompt_tokens = options
            .max_prompt_tokens
            .unwrap_or(Pi0Config::published(model_type).max_prompt_tokens);
        let mut problems = sizes.problems();
        let model = sizes.config(model_type, options.action_horizon, max_prompt_tokens);
        problems.extend(model.problems());
        if !problems.is_empty() {
            return Err(CheckpointError::Config { path, problems });
        }
        Ok(Self {
            params,
            model,
            sources: stored,
        })
    }

    /// Writes all tensors and returns the number of their values.
    fn write(&self, path: &Path, dtype: Dtype) -> Result<usize, CheckpointError> {
        let tensors = self
            .sources
            .iter()
            .flat_map(|stored| stored.tensors(dtype))
            .collect();
        let mut file = TensorFile::create(path, tensors)?;
        for stored in &self.sources {
            stored.write(self.params, &mut file)?;
        }
        file.finish()?;
        Ok(self.sources.iter().map(|stored| stored.array.len()).sum())
    }
}

impl Stored<'_> {
    fn has_layers(&self) -> bool {
        self.source.axes[0].ends_with(&format!(".{LAYERS}"))
    }

    /// Number of layers, and the shape of what one of them is made of.
    fn layers(&self) -> (usize, &[usize]) {
        match &self.array.shape[..] {
            [layers, shape @ ..] if self.has_layers() => (*layers, shape),
            shape => (1, shape),
        }
    }

    fn tensors(&self, dtype: Dtype) -> Vec<NewTensor> {
        let (layers, shape) = self.layers();
        let mut tensors = Vec::new();
        for layer in 0..layers {
            for target in &self.source.targets {
                let shape = if target.part.is_some() { &shape[1..] } else { shape };
                tensors.push(NewTensor {
                    name: target.name(layer),
                    dtype,
                    shape: target.rearrangement.shape(shape),
                });
            }
        }
        tensors
    }

    fn write(&self, params: &Params, file: &mut TensorFile) -> Result<(), CheckpointError> {
        let read_error = |problem| CheckpointError::File {
            path: params.folder.clone(),
            problem,
        };
        let (layers, shape) = self.layers();
        let mut slices = self.array.slices(&params.database);
        let mut adapter = self
            .adapter
            .as_ref()
            .map(|adapter| adapter.layers(&params.database));
        if !self.has_layers() {
            return match &self.source.targets[..] {
                // The token embedding is as large as all layers of the expert.
                [target] if target.rearrangement.is_identity() => {
                    (0..self.array.shape[0]).try_for_each(|_| {
                        let values = slices.read().map_err(read_error)?;
                        file.append(&target.name(0), &values)
                    })
                }
                targets => {
                    let values = self.array.values(&params.database).map_err(read_error)?;
                    targets.iter().try_for_each(|target| {
                        file.append(&target.name(0), &target.rearrangement.apply(&values, shape))
                    })
                }
            };
        }
        for layer in 0..layers {
            let mut values = slices.read().map_err(read_error)?;
            if let Some(adapter) = &mut adapter {
                adapter.merge(&mut values).map_err(read_error)?;
            }
            for target in &self.source.targets {
                let (values, shape) = match target.part {
                    Some(part) => {
                        let length = values.len() / shape[0];
                        (&values[part * length..][..length], &shape[1..])
                    }
                    None => (&values[..], shape),
                };
                file.append(&target.name(layer), &target.rearrangement.apply(values, shape))?;
            }
        }
        Ok(())
    }
}
