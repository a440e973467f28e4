//! Operations and memory of a chunk of π0 or π0.5 at its published size on a Tenstorrent card, from a mock of it, and
//! the time that it takes by the model and at least.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tt_metal_sys::MockCard;

use super::recorded::work_of;
use super::{Chip, MockedCard};
use crate::device::{
    CardTuning, Device, Dtype, Graph, HostTensor, Operation, Pixels, Result, TenstorrentDevice,
    TenstorrentOptions,
};
use crate::model::cameras::CameraEmbeddings;
use crate::model::denoise::sample_noise;
use crate::model::parameters::parameters;
use crate::model::prompt::PromptEmbedding;
use crate::model::{ActionPrefix, Conditioning, ModelType, Pi0, Pi0Config, Session, Weights};

/// Actions of the chunk before that a chunk goes on from.
const PREFIX: usize = 7;

/// A chunk that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedChunk {
    /// The network.
    pub model_type: ModelType,
    /// Cameras, each with a new frame.
    pub cameras: usize,
    /// Tokens of the prompt, at most where they change from chunk to chunk.
    pub prompt_tokens: usize,
    /// Euler steps from noise to actions.
    pub denoise_steps: NonZeroUsize,
}

/// Operations, transfers and memory of one chunk on a card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CardGraph {
    /// The mocked card.
    pub card: MockedCard,
    /// The chunk.
    #[serde(flatten)]
    pub chunk: RecordedChunk,
    /// Operations by TT-NN's name.
    pub kinds: BTreeMap<String, Kind>,
    /// Tensors sent to the card.
    pub uploads: usize,
    /// Bytes sent to the card.
    pub uploaded_bytes: u64,
    /// Operations before each read-back.
    pub read_backs: Vec<usize>,
    /// Commands of the host for the same chunk once it is captured.
    pub captured: HostCommands,
    /// Commands of the host for a chunk that begins with inpainted actions: the first time, and once it is captured.
    pub inpainted: [HostCommands; 2],
    /// Commands of the host for a chunk that is guided by the chunk before: the first time, and once it is captured.
    pub guided: [HostCommands; 2],
    /// Commands of the host for a chunk that begins with clean actions: the first time, and once it is captured.
    pub trained: [HostCommands; 2],
    /// DRAM of the weights.
    pub weight_bytes: u64,
    /// DRAM of everything else, at most.
    pub working_bytes: u64,
    /// DRAM of the card.
    pub dram_bytes: u64,
    /// L1 of one core that buffers take, at most.
    pub peak_l1_bytes_per_core: u64,
    /// L1 of one core.
    pub l1_bytes_per_core: u64,
    /// Tunings that it was recorded with.
    pub tuning: String,
    /// Cores that compute.
    pub cores: usize,
    /// Its time.
    pub estimate: Estimate,
}

/// Commands of the host for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCommands {
    /// Operations that are dispatched one by one.
    pub operations: usize,
    /// Tensors sent to the card.
    pub uploads: usize,
    /// Tensors read back.
    pub read_backs: usize,
}

impl HostCommands {
    fn of(graph: &Graph) -> Self {
        Self {
            operations: graph.operations.len(),
            uploads: graph.uploads,
            read_backs: graph.read_backs.len(),
        }
    }
}

/// Time of a chunk on a chip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Estimate {
    /// Product name of the chip.
    pub chip: String,
    /// Time by the model, in milliseconds.
    pub model_ms: f64,
    /// Least time with the cores that each operation keeps busy, in milliseconds.
    pub least_ms: f64,
    /// Least time if all cores were busy all the time, in milliseconds.
    pub all_busy_ms: f64,
}

/// All operations of a name.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Kind {
    /// Number of operations.
    pub count: usize,
    /// Bytes of inputs and outputs, each read or written once.
    pub bytes: u64,
    /// Floating-point operations.
    pub flops: f64,
    /// Floating-point operations, each times the passes over the mantissas of its factors.
    pub passed_flops: f64,
    /// Busy cores, summed over the operations.
    pub busy_cores: f64,
    /// Time by the model, in milliseconds.
    pub model_ms: f64,
}

/// The least time for an operation that so many cores share alike: its bytes from and to DRAM, or the passes of its
/// products.
fn least_s(chip: &Chip, operation: &Operation, cores: f64) -> f64 {
    // A core multiplies two tiles of 32 × 32 in 16 clocks a pass.
    const FLOPS_PER_CLOCK: f64 = 2.0 * 32.0 * 32.0 * 32.0 / 16.0;
    let flops = operation.flops * f64::from(operation.passes);
    let compute_s = chip.seconds(flops / (cores * FLOPS_PER_CLOCK));
    compute_s.max(operation.bytes as f64 / (chip.dram_gb_per_s * 1e9))
}

impl CardGraph {
    /// Builds the policy on a mock card and records a chunk in which every camera has a new frame. π0's prompt
    /// stays, π0.5's is another one at every chunk, of another length.
    ///
    /// `folder` has the cards' descriptors; `cache` keeps what is compiled.
    ///
    /// # Errors
    /// When TT-NN is missing, or refuses an operation.
    pub fn record(
        card: MockedCard,
        recorded: RecordedChunk,
        options: &TenstorrentOptions,
        (folder, cache): (&Path, &Path),
    ) -> Result<Self> {
        let RecordedChunk {
            model_type,
            cameras,
            prompt_tokens,
            denoise_steps,
        } = recorded;
        let mock = MockCard {
            descriptor: folder.join(card.descriptor()),
            cache: cache.to_owned(),
        };
        let device = TenstorrentDevice::open_mock(&mock, options)?;
        let config = Pi0Config {
            rtc_training_max_delay: PREFIX,
            ..Pi0Config::published(model_type)
        };
        let image = Pixels::Values(vec![0.0; 3 * config.vision.image_size.pow(2)]);
        let images: Vec<(usize, Pixels)> = (0..cameras).map(|camera| (camera, image.clone())).collect();
        let noise = sample_noise(0, 0, config.action_horizon * config.max_action_dim);
        let state = vec![0.0; config.state_width()];
        let weights = Unfilled::new(&config);
        let model = Pi0::new(config, device, &weights)?;
        let device = &model.device;
        let (before, _) = device.card().memory()?;
        let schedule = model.schedule(denoise_steps.get())?;
        let mut embedded = CameraEmbeddings::default();
        let all: Vec<usize> = (0..cameras).collect();
        let tokens = vec![0; prompt_tokens];
        let embed_prompt = |valid_tokens: usize, previous| {
            let tokens = &tokens[..valid_tokens];
            PromptEmbedding::new(device, &model.paligemma, tokens, prompt_tokens, previous)
        };
        let mut prompt = Some(embed_prompt(prompt_tokens, None)?);
        let mut whole = || -> Result<Session<TenstorrentDevice>> {
            embedded.update(&model, &images)?;
            let cameras: Vec<_> = embedded.embeddings(&all).into_iter().map(Some).collect();
            let prompt = prompt.as_ref().expect("embedded before");
            let prefix = model.embed_prefix(&cameras, prompt)?;
            let mut session = model.prefill(prefix, None)?;
            model.sample_actions(&mut session, &state, &noise, None, &schedule)?;
            Ok(session)
        };
        // In a capture tensors have no addresses. Here they do, and TT-NN checks that none of them in L1 lies
        // where an operation has its buffers.
        let prefix_actions = vec![0.0; PREFIX * model.config.max_action_dim];
        let prefix = |conditioning| ActionPrefix {
            actions: &prefix_actions,
            conditioning,
        };
        let prefixes: Vec<ActionPrefix> = Conditioning::all(&model.config).map(prefix).collect();
        let [inpainted, guided, trained] = &prefixes[..] else {
            unreachable!("a network that is trained with clean actions has three kinds of prefix");
        };
        let mut session = whole()?;
        for prefix in &prefixes {
            model.sample_actions(&mut session, &state, &noise, Some(prefix), &schedule)?;
        }
        drop(session);
        // The next chunk allocates what stays, and with it ends all traces; two more capture everything.
        let mut session = None;
        let first = device.capture_graph(|| {
            session = Some(whole()?);
            Ok(())
        })?;
        let mut session = session.expect("the first chunk's session");
        let mut valid_tokens = prompt_tokens;
        let mut chunk = |prefix: Option<&ActionPrefix>| {
            device.capture_graph(|| {
                embedded.update(&model, &images)?;
                if model_type == ModelType::Pi05 {
                    valid_tokens -= 1;
                    prompt = Some(embed_prompt(valid_tokens, prompt.take())?);
                }
                let prompt = prompt.as_ref().expect("embedded before");
                model.refill(&mut session, &embedded.embeddings(&all), prompt)?;
                model
                    .sample_actions(&mut session, &state, &noise, prefix, &schedule)
                    .map(drop)
            })
        };
        let graph = chunk(None)?;
        chunk(None)?;
        let captured = chunk(None)?;
        let mut after_prefix = |prefix| -> Result<[HostCommands; 2]> {
            // A tensor that comes and goes ends all traces.
            drop(device.zeros(&[1, 1])?);
            let first = chunk(Some(prefix))?;
            chunk(Some(prefix))?;
            Ok([first, chunk(Some(prefix))?].map(|graph| HostCommands::of(&graph)))
        };
        let [inpainted, guided, trained] = [
            after_prefix(inpainted)?,
            after_prefix(guided)?,
            after_prefix(trained)?,
        ];
        let (dram, l1) = device.card().memory()?;
        Ok(Self {
            card,
            chunk: recorded,
            uploads: graph.uploads,
            uploaded_bytes: graph.uploaded_bytes,
            read_backs: graph.read_backs.clone(),
            captured: HostCommands::of(&captured),
            inpainted,
            guided,
            trained,
            weight_bytes: before.allocated_bytes_per_bank * before.banks,
            working_bytes: first.peak_dram_bytes,
            dram_bytes: dram.bytes_per_bank * dram.banks,
            peak_l1_bytes_per_core: first.peak_l1_bytes_per_core.max(graph.peak_l1_bytes_per_core),
            l1_bytes_per_core: l1.bytes_per_bank,
            tuning: options.tuning.to_string(),
            cores: card.chip().cores(),
            estimate: estimate(&card.chip(), &graph, options.tuning),
            kinds: kinds(&card.chip(), &graph, options.tuning),
        })
    }

    /// Operations of the chunk.
    pub fn operations(&self) -> usize {
        self.kinds.values().map(|kind| kind.count).sum()
    }
}

fn model_ms(chip: &Chip, operation: &Operation, tuning: CardTuning) -> f64 {
    // A weight's bytes are in the work already, at the rate of the cores that read it.
    let weight_bytes = match operation.flops > 0.0 && operation.name != "SDPA" {
        true => operation.inputs[1].dram_bytes,
        false => 0,
    };
    let other_bytes = operation.bytes.saturating_sub(weight_bytes) as f64;
    1e3 * work_of(operation, tuning).seconds(chip, other_bytes)
}

fn kinds(chip: &Chip, graph: &Graph, tuning: CardTuning) -> BTreeMap<String, Kind> {
    let mut kinds = BTreeMap::<String, Kind>::new();
    for operation in &graph.operations {
        let kind = kinds.entry(operation.name.clone()).or_default();
        kind.count += 1;
        kind.bytes += operation.bytes;
        kind.flops += operation.flops;
        kind.passed_flops += operation.flops * f64::from(operation.passes);
        kind.busy_cores += operation.busy_cores;
        kind.model_ms += model_ms(chip, operation, tuning);
    }
    kinds
}

fn estimate(chip: &Chip, graph: &Graph, tuning: CardTuning) -> Estimate {
    let sum = |ms: &dyn Fn(&Operation) -> f64| graph.operations.iter().map(ms).sum::<f64>();
    Estimate {
        model_ms: sum(&|operation| model_ms(chip, operation, tuning)),
        least_ms: sum(&|operation| 1e3 * least_s(chip, operation, operation.busy_cores)),
        all_busy_ms: sum(&|operation| 1e3 * least_s(chip, operation, chip.cores() as f64)),
        chip: chip.name.to_owned(),
    }
}

/// The tables of docs/tenstorrent-graph.md.
impl fmt::Display for CardGraph {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        writeln!(
            f,
            "### {} on {}, {} cameras, {} prompt tokens, {} steps, tuning {}\n",
            self.chunk.model_type,
            self.estimate.chip,
            self.chunk.cameras,
            self.chunk.prompt_tokens,
            self.chunk.denoise_steps,
            self.tuning
        )?;
        writeln!(
            f,
            "| operation | count | GB | GFLOP | passes | cores | ms |\n|---|---|---|---|---|---|---|"
        )?;
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(name, kind)| (std::cmp::Reverse(kind.count), (*name).clone()));
        for (name, kind) in kinds {
            let (gigabytes, gigaflops) = (gigabytes(kind.bytes), kind.flops / 1e9);
            let passes = match kind.flops > 0.0 {
                true => format!("{:.1}", kind.passed_flops / kind.flops),
                false => "–".to_owned(),
            };
            writeln!(
                f,
                "| {name} | {} | {gigabytes:.2} | {gigaflops:.0} | {passes} | {:.0} | {:.1} |",
                kind.count,
                kind.busy_cores / kind.count as f64,
                kind.model_ms
            )?;
        }
        let bytes = self.kinds.values().map(|kind| kind.bytes).sum();
        let flops: f64 = self.kinds.values().map(|kind| kind.flops).sum();
        let (total, gigaflops) = (gigabytes(bytes), flops / 1e9);
        writeln!(
            f,
            "| **all** | **{}** | {total:.2} | {gigaflops:.0} | | | {:.1} |\n",
            self.operations(),
            self.estimate.model_ms
        )?;
        writeln!(
            f,
            "{} uploads of {:.2} MB, {} read-back. DRAM: {:.2} GB of weights, {:.2} GB beside them, of {:.2} GB. L1: at most {} of {} bytes \
             a core.",
            self.uploads,
            self.uploaded_bytes as f64 / 1e6,
            self.read_backs.len(),
            gigabytes(self.weight_bytes),
            gigabytes(self.working_bytes),
            gigabytes(self.dram_bytes),
            self.peak_l1_bytes_per_core,
            self.l1_bytes_per_core,
        )?;
        let Estimate {
            chip,
            model_ms,
            least_ms,
            all_busy_ms,
        } = &self.estimate;
        write!(
            f,
            "\n{chip}: {model_ms:.0} ms by the model, at least {least_ms:.0} ms; {all_busy_ms:.0} ms if all cores were busy."
        )?;
        writeln!(f)
    }
}

/// Weights of the right shapes: one block of zeros serves all.
struct Unfilled {
    shapes: BTreeMap<String, Vec<usize>>,
    zeros: Vec<u8>,
}

impl Unfilled {
    fn new(config: &Pi0Config) -> Self {
        let shapes: BTreeMap<_, _> = parameters(config)
            .into_iter()
            .map(|parameter| (parameter.name, parameter.shape))
            .collect();
        let largest = shapes.values().map(|shape| shape.iter().product::<usize>()).max();
        Self {
            // Never touched, and so never in memory.
            zeros: vec![0; 2 * largest.unwrap_or_default()],
            shapes,
        }
    }
}

impl Weights for Unfilled {
    fn tensor(&self, name: &str) -> HostTensor<'_> {
        let shape = self.shapes[name].clone();
        let bytes = 2 * shape.iter().product::<usize>();
        HostTensor {
            dtype: Dtype::Bf16,
            shape,
            bytes: self.zeros[..bytes].into(),
        }
    }
}
