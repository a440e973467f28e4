//! The whole policy network, from images and tokens to actions, with everything in between.

use anyhow::{Result, ensure};
use pi0_node::device::{CpuDevice, Device};
use pi0_node::model::{ModelType, Pi0, Pi0Config};

use crate::common::prefix_input::PrefixInput;
use crate::fixture::Fixture;
use crate::measure::Measurements;
use crate::modules::{first_tokens, valid_rows};

/// The actions in a chunk of this case; the network is built for them.
pub fn action_horizon(fixture: &Fixture) -> Result<usize> {
    Ok(fixture.shape("noise")?[0])
}

/// Compares the prefix's embeddings, each layer's keys and values, each step's velocity and point, and the
/// actions. Every step starts from the reference's point, so that one step's error is not the next one's; the
/// actions at the end have gone through all steps of ours.
pub fn measure(pi0: &Pi0<CpuDevice>, fixture: &Fixture, measurements: &mut Measurements) -> Result<()> {
    let Pi0 { config, device, .. } = pi0;
    let part = |what: &str| format!("{}: {what}", fixture.name());
    let recorded = Recorded::read(fixture, config)?;
    let input = recorded.input();
    let state = &recorded.state;

    let prefix = input.embed(pi0)?;
    let valid = prefix.valid.clone();
    measurements.compare_mask(part("prefix mask"), &valid, &fixture.mask("prefix_pad_mask")?);
    measurements.compare(
        "prefix",
        part("embeddings"),
        &valid_rows(
            &device.read_back(&prefix.embeddings(device)?)?,
            &valid,
            config.vlm.width,
        ),
        &valid_rows(&fixture.f32("prefix_embeddings")?, &valid, config.vlm.width),
    );

    let mut session = pi0.prefill(prefix, None)?;
    for (layer, layer_cache) in session.cache.layers.iter().enumerate() {
        for (kind, cached) in [("keys", &layer_cache.keys), ("values", &layer_cache.values)] {
            let name = format!("layer.{layer}.{kind}");
            if !fixture.has(&name)? {
                continue;
            }
            let ours = first_tokens(device, cached, valid.len())?;
            measurements.compare(
                "paligemma",
                part(&name),
                &valid_rows(&ours, &valid, config.vlm.head_dim),
                &valid_rows(&fixture.f32(&name)?, &valid, config.vlm.head_dim),
            );
        }
    }

    let mut denoiser = pi0.denoiser(&mut session, pi0.upload_state(state)?.as_ref())?;
    let reference_v_t = fixture.f32("v_t")?;
    let reference_x_t = fixture.f32("x_t")?;
    let length = config.action_horizon * config.max_action_dim;
    let num_steps = reference_v_t.len() / length;
    let schedule = pi0.schedule(num_steps)?;
    for (step, at_time) in schedule.times.iter().enumerate() {
        let x_t = pi0.upload_noise(&reference_x_t[step * length..][..length])?;
        let v_t = denoiser.velocity(&x_t, at_time)?;
        let next = device.euler_update(&x_t, &v_t, schedule.dt)?;
        let reference_v_t = &reference_v_t[step * length..][..length];
        let reference_next = &reference_x_t[(step + 1) * length..][..length];
        measurements.compare_tensor(
            "denoise",
            part(&format!("v_t of step {step}")),
            device,
            &v_t,
            reference_v_t,
        )?;
        measurements.compare_tensor(
            "denoise",
            part(&format!("x_t after step {step}")),
            device,
            &next,
            reference_next,
        )?;
    }

    let read_backs = device.read_backs();
    let noise = fixture.f32("noise")?;
    let actions = pi0.sample_actions(&mut input.prefill(pi0)?, state, &noise, None, &schedule)?;
    ensure!(
        device.read_backs() == read_backs + 1,
        "{}: one read-back a chunk",
        fixture.name()
    );
    measurements.compare("pi0", part("actions"), &actions, &fixture.f32("actions")?);
    Ok(())
}

/// Compares the actions alone, of a network on a device whose memory comes in tiles.
pub fn measure_in_tiles(
    pi0: &Pi0<CpuDevice>,
    fixture: &Fixture,
    measurements: &mut Measurements,
) -> Result<()> {
    let num_steps = fixture.f32("v_t")?.len() / fixture.f32("noise")?.len();
    let recorded = Recorded::read(fixture, &pi0.config)?;
    let schedule = pi0.schedule(num_steps)?;
    let mut session = recorded.input().prefill(pi0)?;
    let noise = fixture.f32("noise")?;
    let actions = pi0.sample_actions(&mut session, &recorded.state, &noise, None, &schedule)?;
    let part = format!("{}: actions", fixture.name());
    measurements.compare("pi0, in tiles", part, &actions, &fixture.f32("actions")?);
    Ok(())
}

/// Inputs of the reference's network.
struct Recorded {
    images: Vec<Option<Vec<f32>>>,
    tokens: Vec<u32>,
    valid_tokens: usize,
    state: Vec<f32>,
}

impl Recorded {
    fn read(fixture: &Fixture, config: &Pi0Config) -> Result<Self> {
        let pixels = 3 * config.vision.image_size.pow(2);
        let token_mask = fixture.mask("token_mask")?;
        Ok(Self {
            images: fixture
                .f32("images")?
                .chunks(pixels)
                .zip(fixture.mask("image_masks")?)
                .map(|(image, present)| present.then(|| image.to_vec()))
                .collect(),
            tokens: fixture.tokens("tokens")?,
            valid_tokens: token_mask.iter().filter(|&&valid| valid).count(),
            state: match config.model_type {
                ModelType::Pi0 => fixture.f32("state")?,
                ModelType::Pi05 => Vec::new(),
            },
        })
    }

    fn input(&self) -> PrefixInput<'_> {
        PrefixInput {
            images: &self.images,
            tokens: &self.tokens,
            valid_tokens: self.valid_tokens,
        }
    }
}
