//! Every module of the model, alone, on the reference's own inputs.

use anyhow::Result;
use pi0_node::device::{CpuDevice, CpuTensor, Device, KeysValues, Pixels};
use pi0_node::model::attention::{AttentionMask, positions};
use pi0_node::model::denoise::{EulerSteps, add_noise, target_velocity};
use pi0_node::model::embedding::{Rotation, rope_angles, sinusoidal_embedding};
use pi0_node::model::gemma::{Gemma, KvCache, Pass, PassKind, Residual, Rope};
use pi0_node::model::prompt::PromptEmbedding;
use pi0_node::model::siglip::Images;
use pi0_node::model::{ByRow, ExpertNorms, GemmaConfig, ModelType, Norms, Pi0};

use crate::common::prefix_input::PrefixInput;
use crate::fixture::Fixture;
use crate::measure::Measurements;

pub struct Modules<'a> {
    pub pi0: &'a Pi0<CpuDevice>,
    pub fixture: &'a Fixture,
    pub measurements: &'a mut Measurements,
}

/// A name, and how the module is measured.
type Module = (&'static str, fn(&mut Modules) -> Result<()>);

pub const MODULES: [Module; 9] = [
    ("siglip", |modules| modules.siglip()),
    ("gemma", |modules| modules.gemma()),
    ("rope", |modules| modules.rope()),
    ("paligemma", |modules| modules.paligemma()),
    ("suffix", |modules| modules.suffix()),
    ("adaptive norms", |modules| modules.adaptive_norms()),
    ("denoise", |modules| modules.denoise()),
    ("attention", |modules| modules.attention()),
    ("embedding", |modules| modules.embedding()),
];

impl Modules<'_> {
    fn upload(&self, name: &str) -> Result<CpuTensor> {
        let mut shape = self.fixture.shape(name)?;
        if shape.len() == 1 {
            shape.insert(0, 1);
        }
        Ok(self.pi0.device.upload(&self.fixture.f32(name)?, &shape)?)
    }

    /// Compares a tensor with the one that the reference has under this name.
    fn compare(&mut self, module: &'static str, name: &str, ours: &CpuTensor) -> Result<()> {
        let reference = self.fixture.f32(name)?;
        Ok(self
            .measurements
            .compare_tensor(module, name, &self.pi0.device, ours, &reference)?)
    }

    fn siglip(&mut self) -> Result<()> {
        let Pi0 {
            device, paligemma, ..
        } = self.pi0;
        let tower = &paligemma.vision_tower;
        let image = Pixels::Values(self.fixture.f32("siglip.image")?);
        let embedded = tower.embed_patches(device, &[&tower.upload_image(device, &image)?])?;
        self.compare("siglip", "siglip.embeddings.output", &embedded)?;
        let block = &tower.blocks[0];
        let input = self.upload("siglip.layer.0.norm.input")?;
        let normed = block.layer_norm1.forward(device, &input)?;
        self.compare("siglip", "siglip.layer.0.norm.output", &normed)?;
        let input = self.upload("siglip.layer.0.attention.input")?;
        let nothing = device.zeros(input.shape())?;
        let one = Images { count: 1, mask: None };
        let attended = block.attention.forward(device, &input, &nothing, &one)?;
        self.compare("siglip", "siglip.layer.0.attention.output", &attended)?;
        let input = self.upload("siglip.layer.0.mlp.input")?;
        self.compare(
            "siglip",
            "siglip.layer.0.mlp.output",
            &block.mlp.forward(device, &input, &nothing)?,
        )?;
        for (layer, block) in tower.blocks.iter().enumerate() {
            let input = self.upload(&format!("siglip.layer.{layer}.input"))?;
            let output = block.forward(device, &input, &one)?;
            self.compare("siglip", &format!("siglip.layer.{layer}.output"), &output)?;
        }
        self.compare(
            "siglip",
            "siglip.tower.output",
            &tower.forward(device, &[&tower.upload_image(device, &image)?])?,
        )
    }

    /// Both experts, layer by layer: the language model over the prefix, the action expert behind its cache.
    fn gemma(&mut self) -> Result<()> {
        let Pi0 {
            config,
            device,
            paligemma,
            expert,
            ..
        } = self.pi0;
        let valid = self.fixture.mask("gemma.vlm.pad_mask")?;
        let suffix = vec![true; self.fixture.i64("gemma.expert.rope.positions")?.len()];
        let mut cache = KvCache::new(&config.vlm, device, valid.len() + suffix.len())?;
        let language_model = (&paligemma.language_model, &paligemma.norms);
        let prefill = PassKind::Prefill;
        self.transformer("vlm", &config.vlm, language_model, &valid, prefill, &mut cache)?;
        for (layer, cache) in cache.layers.iter_mut().enumerate() {
            for (kind, cached) in [("keys", &cache.keys), ("values", &cache.values)] {
                let name = format!("gemma.vlm.layer.{layer}.{kind}");
                let shape = self.fixture.shape(&name)?;
                let ours = first_tokens(device, cached, shape[1])?;
                let reference = self.fixture.f32(&name)?;
                self.measurements.compare(
                    "gemma",
                    &name,
                    &valid_rows(&ours, &valid, shape[2]),
                    &valid_rows(&reference, &valid, shape[2]),
                );
            }
            let keys = self.upload(&format!("gemma.vlm.layer.{layer}.keys"))?;
            let values = self.upload(&format!("gemma.vlm.layer.{layer}.values"))?;
            device.write_tokens(cache, 0, &KeysValues { keys, values })?;
        }
        let start = valid.len();
        let behind = PassKind::Suffix { start };
        let at_first_step = &self.pi0.condition(&[1.0])?[0];
        let expert = (expert, &*at_first_step.norms);
        self.transformer("expert", &config.expert, expert, &suffix, behind, &mut cache)
    }

    fn transformer(
        &mut self,
        name: &str,
        config: &GemmaConfig,
        (gemma, norms): (&Gemma<CpuDevice>, &Norms<CpuDevice>),
        valid: &[bool],
        kind: PassKind,
        cache: &mut KvCache<CpuDevice>,
    ) -> Result<()> {
        let device = &self.pi0.device;
        let positions = self.fixture.i64(&format!("gemma.{name}.rope.positions"))?;
        let allowed = self.fixture.mask(&format!("gemma.{name}.attention_mask"))?;
        let additive: Vec<f32> = allowed
            .iter()
            .map(|&allowed| if allowed { 0.0 } else { -1e30 })
            .collect();
        let queries = positions.len();
        let pass = Pass {
            kind,
            rope: Rope::new(config, device, &positions)?,
            mask: Some(device.upload(&additive, &[queries, additive.len() / queries])?),
        };
        let mut compare = |part: &str, output: &CpuTensor| -> Result<()> {
            let name = format!("gemma.{name}.{part}");
            let reference = self.fixture.f32(&name)?;
            self.measurements.compare(
                "gemma",
                &name,
                &valid_rows(&device.read_back(output)?, valid, config.width),
                &valid_rows(&reference, valid, config.width),
            );
            Ok(())
        };
        let upload = |part: &str| -> Result<CpuTensor> {
            let name = format!("gemma.{name}.{part}");
            Ok(device.upload(&self.fixture.f32(&name)?, &self.fixture.shape(&name)?)?)
        };
        let first = &gemma.layers[0];
        let normed = norms.layers[0]
            .input_layernorm
            .forward(device, &upload("layer.0.norm.input")?)?;
        compare("layer.0.norm.output", &normed)?;
        let input = upload("layer.0.attention.input")?;
        let zeros = device.zeros(input.shape())?;
        let nothing = || Residual {
            gate: None,
            hidden: &zeros,
        };
        let attended = first
            .attention
            .forward(device, &input, nothing(), &pass, &mut cache.layers[0])?;
        compare("layer.0.attention.output", &attended)?;
        compare(
            "layer.0.mlp.output",
            &first
                .mlp
                .forward(device, &upload("layer.0.mlp.input")?, nothing())?,
        )?;
        let layers = gemma.layers.iter().zip(&norms.layers).zip(&mut cache.layers);
        for (index, ((layer, norms), cache)) in layers.enumerate() {
            let input = upload(&format!("layer.{index}.input"))?;
            let output = layer.forward(device, ByRow::all(norms), &input, &pass, cache)?;
            compare(&format!("layer.{index}.output"), &output)?;
        }
        compare(
            "norm.output",
            &norms.norm.forward(device, &upload("norm.input")?)?,
        )
    }

    fn rope(&mut self) -> Result<()> {
        let Pi0 { device, config, .. } = self.pi0;
        for name in ["gemma.vlm.rope", "gemma.expert.rope", "rope.head_dim_256"] {
            let positions = self.fixture.i64(&format!("{name}.positions"))?;
            let head_dim = self.fixture.shape(&format!("{name}.cos"))?[1];
            let (cos, sin) = rope_angles(&positions, head_dim, config.vlm.rope_theta);
            for (kind, ours) in [("cos", cos), ("sin", sin)] {
                let name = format!("{name}.{kind}");
                let reference = self.fixture.f32(&name)?;
                let first_halves: Vec<f32> = reference
                    .chunks(head_dim)
                    .flat_map(|row| &row[..head_dim / 2])
                    .copied()
                    .collect();
                self.measurements.compare("embedding", name, &ours, &first_halves);
            }
        }
        for name in ["gemma.vlm.rope", "gemma.expert.rope"] {
            let positions = self.fixture.i64(&format!("{name}.positions"))?;
            let rotation = Rotation {
                head_dim: config.vlm.head_dim,
                theta: config.vlm.rope_theta,
                scale: 1.0,
            };
            let table = rotation.table(device, &positions)?;
            for kind in ["queries", "keys"] {
                let input = self.upload(&format!("{name}.{kind}.input"))?;
                let rotated = device.rope(&input, &table)?;
                self.compare("gemma", &format!("{name}.{kind}.output"), &rotated)?;
            }
        }
        Ok(())
    }

    fn paligemma(&mut self) -> Result<()> {
        let Pi0 {
            device, paligemma, ..
        } = self.pi0;
        let tokens = self.fixture.tokens("paligemma.embedding.tokens")?;
        let prompt = PromptEmbedding::new(device, paligemma, &tokens, 0, None)?;
        self.compare("paligemma", "paligemma.embedding.output", prompt.embedding())?;
        let features = self.upload("projector.input")?;
        let projected = paligemma.project(device, &features)?;
        self.compare("paligemma", "projector.output", &projected)
    }

    fn suffix(&mut self) -> Result<()> {
        let Pi0 { device, suffix, .. } = self.pi0;
        let x_t = self.upload("suffix.action_projection.input")?;
        let at_time = self.pi0.condition(&self.fixture.f32("suffix.time")?[..1])?;
        let time_fusion = at_time[0].time_fusion.as_ref().map(ByRow::all);
        let actions = suffix.embed_actions(device, &x_t, time_fusion)?;
        match self.pi0.config.model_type {
            ModelType::Pi0 => {
                let state = self.upload("suffix.state_projection.input")?;
                let state = suffix.embed_state(device, &state)?.expect("a token of the state");
                self.compare("suffix", "suffix.state_projection.output", &state)?;
                self.compare("suffix", "suffix.time_fusion_out.output", &actions)?;
                let embeddings = device.concat_rows(&[&state, &actions])?;
                self.compare("suffix", "suffix.embeddings", &embeddings)?;
            }
            ModelType::Pi05 => {
                self.compare("suffix", "suffix.action_projection.output", &actions)?;
                self.compare("suffix", "suffix.embeddings", &actions)?;
            }
        }
        let outputs = self.upload("suffix.output_projection.input")?;
        let velocity = suffix.project_velocity(device, &outputs)?;
        self.compare("suffix", "suffix.output_projection.output", &velocity)
    }

    /// Conditions, and scale, shift and gate of every norm under them. π0 has none.
    fn adaptive_norms(&mut self) -> Result<()> {
        let Pi0 {
            config,
            device,
            expert_norms: ExpertNorms::Adaptive(norms),
            ..
        } = self.pi0
        else {
            return Ok(());
        };
        let mut compare = |name: &str, ours: &[f32]| -> Result<()> {
            let reference = self.fixture.f32(name)?;
            self.measurements
                .compare("adaptive norms", name, ours, &reference);
            Ok(())
        };
        compare(
            "suffix.condition",
            &norms.condition(config, &self.fixture.f32("suffix.time")?[..1]),
        )?;
        let condition = norms.condition(config, &self.fixture.f32("time_conditioning.times")?);
        compare("time_conditioning.output", &condition)?;
        let modulations = norms.modulations(&condition);
        let width = config.expert.width;
        for (norm, modulation) in &modulations {
            let name = match norm.strip_prefix("layers.") {
                Some(layer) => format!("adaptive_norm.layer.{layer}"),
                None => format!("adaptive_norm.{norm}"),
            };
            for (third, kind) in ["scale", "shift", "gate"].iter().enumerate() {
                let rows = modulation.chunks(3 * width);
                let ours: Vec<f32> = rows
                    .flat_map(|row| row.chunks(width).nth(third).expect("three thirds"))
                    .copied()
                    .collect();
                compare(&format!("{name}.{kind}"), &ours)?;
            }
        }
        let at_first_step = &self.pi0.condition(&[1.0])?[0].norms;
        for (name, norm) in [
            (
                "gemma.expert.layer.0.norm.gate",
                &at_first_step.layers[0].input_layernorm,
            ),
            ("gemma.expert.norm.gate", &at_first_step.norm),
        ] {
            let gate = norm.gate().expect("an adaptive norm has a gate");
            compare(name, &device.read_back(gate)?)?;
        }
        Ok(())
    }

    fn denoise(&mut self) -> Result<()> {
        for num_steps in [1, 5, 10] {
            let name = format!("denoise.times.{num_steps}_steps");
            let times: Vec<f32> = EulerSteps::new(num_steps).times().collect();
            let reference = self.fixture.f32(&name)?;
            self.measurements.compare("denoise", name, &times, &reference);
        }
        let pi0 = self.pi0;
        let tokens = self.fixture.tokens("inputs.tokens")?;
        let valid_tokens = self.fixture.mask("inputs.token_mask")?;
        let input = PrefixInput {
            images: &[Some(self.fixture.f32("inputs.images")?)],
            tokens: &tokens,
            valid_tokens: valid_tokens.iter().filter(|&&valid| valid).count(),
        };
        let mut session = input.prefill(pi0)?;
        let state = match pi0.config.model_type {
            ModelType::Pi0 => self.fixture.f32("inputs.state")?,
            ModelType::Pi05 => Vec::new(),
        };
        let state = pi0.upload_state(&state)?;
        let actions = self.fixture.f32("denoise.flow.actions")?;
        let noise = self.fixture.f32("denoise.flow.noise")?;
        let (mut x_t, mut u_t, mut v_t, mut loss) = (vec![], vec![], vec![], vec![]);
        for time in self.fixture.f32("denoise.flow.times")? {
            let noisy = add_noise(&actions, &noise, time);
            let target = target_velocity(&actions, &noise);
            let at_time = pi0.condition(&[time])?;
            let mut denoiser = pi0.denoiser(&mut session, state.as_ref())?;
            let velocity = denoiser.velocity(&pi0.upload_noise(&noisy)?, &at_time[0])?;
            let velocity = pi0.device.read_back(&velocity)?;
            loss.extend(velocity.iter().zip(&target).map(|(v, u)| (u - v).powi(2)));
            x_t.extend(noisy);
            u_t.extend(target);
            v_t.extend(velocity);
        }
        for (kind, ours) in [("x_t", x_t), ("u_t", u_t), ("v_t", v_t), ("loss", loss)] {
            let name = format!("denoise.flow.{kind}");
            let reference = self.fixture.f32(&name)?;
            self.measurements.compare("denoise", name, &ours, &reference);
        }
        Ok(())
    }

    fn attention(&mut self) -> Result<()> {
        let allowed = |mask: &AttentionMask| {
            mask.additive()
                .iter()
                .map(|&added| added == 0.0)
                .collect::<Vec<_>>()
        };
        for name in [
            "all_padding",
            "bidirectional",
            "blocks",
            "causal",
            "combined",
            "padding",
            "prefix_lm",
        ] {
            let valid = self.fixture.mask(&format!("masks.{name}.pad"))?;
            let starts_block = self.fixture.mask(&format!("masks.{name}.block_start"))?;
            let keys = AttentionMask::padding(valid.len(), &valid);
            let mut mask = allowed(&AttentionMask::prefix_lm(&starts_block).and(&keys));
            // The reference masks padded queries too, whose results nothing reads.
            for (query, row) in mask.chunks_mut(valid.len()).enumerate() {
                row.iter_mut().for_each(|allowed| *allowed &= valid[query]);
            }
            self.measurements.compare_mask(
                format!("masks.{name}"),
                &mask,
                &self.fixture.mask(&format!("masks.{name}.mask"))?,
            );
            let part = format!("masks.{name}.positions");
            // All of them are exact in f32.
            let in_f32 = |positions: Vec<i64>| {
                positions
                    .into_iter()
                    .map(|position| position as f32)
                    .collect::<Vec<_>>()
            };
            let reference = in_f32(self.fixture.i64(&part)?);
            self.measurements
                .compare("attention", part, &in_f32(positions(&valid)), &reference);
        }
        let causal = self.fixture.mask("masks.causal.mask")?;
        let ours = allowed(&AttentionMask::prefix_lm(&vec![true; causal.len().isqrt()]));
        self.measurements
            .compare_mask("masks.causal, a block a token", &ours, &causal);
        Ok(())
    }

    fn embedding(&mut self) -> Result<()> {
        let config = &self.pi0.config;
        let times = self.fixture.f32("sinusoidal.times")?;
        for width in [2, 48, 64, 1024] {
            let name = format!("sinusoidal.width_{width}");
            let embed = |&time| sinusoidal_embedding(time, width, config.min_period, config.max_period);
            let ours: Vec<f32> = times.iter().flat_map(embed).collect();
            let reference = self.fixture.f32(&name)?;
            self.measurements.compare("embedding", name, &ours, &reference);
        }
        Ok(())
    }
}

/// Of `[heads, tokens, width]` (or `[tokens, width]`), the tokens that are there.
pub fn valid_rows(values: &[f32], valid: &[bool], width: usize) -> Vec<f32> {
    values
        .chunks(width)
        .zip(valid.iter().cycle())
        .filter(|(_, valid)| **valid)
        .flat_map(|(row, _)| row.iter().copied())
        .collect()
}

/// The first tokens of a cache `[heads, capacity, head_dim]`, on the host.
pub fn first_tokens(device: &CpuDevice, cache: &CpuTensor, tokens: usize) -> Result<Vec<f32>> {
    let [_, capacity, head_dim] = cache.shape()[..] else {
        anyhow::bail!("a cache of shape {:?}", cache.shape());
    };
    Ok(device
        .read_back(cache)?
        .chunks(capacity * head_dim)
        .flat_map(|head| &head[..tokens * head_dim])
        .copied()
        .collect())
}
