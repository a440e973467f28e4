//! Real-time chunking (Black et al. 2025): a chunk is denoised to go on from the actions of the chunk before.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use super::config::Pi0Config;
use super::denoise::target_velocity;
use crate::device::{Device, DeviceError, Result};

/// Largest guidance weight that is used unless another one is set (LeRobot's `max_guidance_weight`).
const MAX_GUIDANCE_WEIGHT: f32 = 10.0;

/// How strongly each action of the chunk before attracts the new one (`prefix_attention_schedule` of the paper's
/// code and of LeRobot). Those that are played before the new chunk arrives always have the weight 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrefixAttentionSchedule {
    /// 0 for all others.
    Zeros,
    /// 1 for all others.
    Ones,
    /// Falls linearly.
    #[default]
    Linear,
    /// Falls as w · (exp(w) − 1) / (e − 1), w being the linear weight.
    Exp,
}

impl PrefixAttentionSchedule {
    /// Every schedule.
    pub const ALL: [Self; 4] = [Self::Linear, Self::Exp, Self::Ones, Self::Zeros];

    /// Name as in parameters: linear, exp, ones or zeros.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Ones => "ones",
            Self::Linear => "linear",
            Self::Exp => "exp",
        }
    }

    /// The schedule of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schedule| schedule.name() == name)
    }
}

/// Settings of the guidance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Guidance {
    /// Weights of the actions of the chunk before.
    pub schedule: PrefixAttentionSchedule,
    /// Number of those actions that have a weight, at most; all of them where `None`.
    pub prefix_attention_horizon: Option<NonZeroUsize>,
    /// Upper bound of the guidance weight; min(10, denoising steps) where `None`. A bound above the number of steps
    /// moves the first step beyond its target.
    pub max_guidance_weight: Option<f32>,
}

/// How a chunk goes on from the actions of the chunk before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Conditioning {
    /// The chunk begins with them: at every step they are at the point between their noise and themselves, so that
    /// the rest is denoised to go on from them.
    Inpainted,
    /// Every step is guided towards them, as in real-time chunking with the identity for the denoiser's Jacobian
    /// (LeRobot's `RTCProcessor`).
    Guided {
        /// Settings of the guidance.
        guidance: Guidance,
        /// Number of those actions that are played before the chunk arrives.
        inference_delay: usize,
    },
    /// The chunk begins with them: at every step they are clean and at time 0, for a network that was trained so
    /// (training-time real-time chunking, Black et al. 2025, arXiv 2512.05964).
    Trained,
}

/// Actions of the chunk before, in the model's units and from the moment of the observation on, that a chunk goes on
/// from.
#[derive(Clone, Copy, Debug)]
pub struct ActionPrefix<'a> {
    /// `[count, max_action_dim]`, normalised.
    pub actions: &'a [f32],
    /// How the chunk goes on from them.
    pub conditioning: Conditioning,
}

/// Tables of an action prefix on the device, `[actions, max_action_dim]` each.
pub(super) struct PrefixTables<D: Device> {
    /// Share that a prefix has in each value: 1 where it is inpainted, the prefix attention where it guides.
    pub weights: D::Tensor,
    /// Velocity from noise to the inpainted actions, or the actions that guide; 0 for clean actions, which stay.
    pub values: D::Tensor,
    /// `[actions, expert.width]`: 1 in the rows of clean actions. For networks alone that were trained with such.
    pub clean_rows: Option<D::Tensor>,
}

/// Operations of a denoising step that depend on the prefix: those of one are captured once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StepKind {
    /// Without a prefix.
    Free,
    /// See [`Conditioning::Inpainted`].
    Inpainted,
    /// See [`Conditioning::Guided`].
    Guided {
        /// Bits of the bound of the guidance weight, which is a constant of the operations.
        max_guidance_weight: u32,
    },
    /// See [`Conditioning::Trained`].
    Trained,
}

impl StepKind {
    /// Whether these are operations of real-time chunking.
    pub fn is_real_time_chunking(self) -> bool {
        matches!(self, Self::Guided { .. } | Self::Trained)
    }
}

impl Conditioning {
    /// Every way in which a chunk of a network goes on from the one before, with the settings that are used unless others
    /// are set.
    pub fn all(config: &Pi0Config) -> impl Iterator<Item = Self> {
        let guided = Self::Guided {
            guidance: Guidance::default(),
            inference_delay: 0,
        };
        let trained = (config.rtc_training_max_delay > 0).then_some(Self::Trained);
        [Self::Inpainted, guided].into_iter().chain(trained)
    }
}

impl Guidance {
    /// Computes the weight of each of `horizon` actions of a chunk (LeRobot `RTCProcessor.get_prefix_weights`), when
    /// the prefix has `prefix_length` actions and `inference_delay` of them are played before the chunk arrives.
    pub fn prefix_weights(&self, inference_delay: usize, prefix_length: usize, horizon: usize) -> Vec<f32> {
        let longest = self.prefix_attention_horizon.map_or(horizon, NonZeroUsize::get);
        let end = longest.min(prefix_length).min(horizon);
        let start = inference_delay.min(end);
        let weight = |action: usize| match self.schedule {
            _ if action < start => 1.0,
            _ if action >= end => 0.0,
            PrefixAttentionSchedule::Zeros => 0.0,
            PrefixAttentionSchedule::Ones => 1.0,
            PrefixAttentionSchedule::Linear => linear(action, start, end),
            PrefixAttentionSchedule::Exp => {
                let weight = linear(action, start, end);
                weight * weight.exp_m1() / 1.0_f64.exp_m1()
            }
        };
        (0..horizon).map(|action| weight(action) as f32).collect()
    }

    /// The bound of the guidance weight for so many denoising steps.
    pub fn max_guidance_weight(&self, steps: usize) -> f32 {
        self.max_guidance_weight
            .unwrap_or(MAX_GUIDANCE_WEIGHT.min(steps as f32))
    }
}

/// From 1 to 0 between `start` and `end`, which have neither.
fn linear(action: usize, start: usize, end: usize) -> f64 {
    (end - action) as f64 / (end - start + 1) as f64
}

/// Computes the weight of the guidance at a flow-matching time, `max_guidance_weight` at most: with τ = 1 − t,
/// (1 − τ) / τ · (τ² + (1 − τ)²) / (1 − τ)² (Black et al. 2025, equation 2).
pub fn guidance_weight(t: f32, max_guidance_weight: f32) -> f32 {
    let tau = 1.0 - t;
    let weight = t / tau * (tau * tau + t * t) / (t * t);
    match weight.is_finite() {
        true => weight.min(max_guidance_weight),
        false => max_guidance_weight,
    }
}

impl ActionPrefix<'_> {
    /// The operations of the steps.
    pub(super) fn step_kind(&self, steps: usize) -> StepKind {
        match self.conditioning {
            Conditioning::Inpainted => StepKind::Inpainted,
            Conditioning::Guided { guidance, .. } => StepKind::Guided {
                max_guidance_weight: guidance.max_guidance_weight(steps).to_bits(),
            },
            Conditioning::Trained => StepKind::Trained,
        }
    }

    /// Where the integration starts: at noise, `[actions, max_action_dim]`, but for clean actions. It is no shorter than
    /// the prefix.
    pub(super) fn start<'a>(&self, mut noise: Cow<'a, [f32]>) -> Cow<'a, [f32]> {
        if self.conditioning == Conditioning::Trained {
            noise.to_mut()[..self.actions.len()].copy_from_slice(self.actions);
        }
        noise
    }

    /// Writes the tables of a chunk of `noise`, `[horizon, max_action_dim]`, padded with zeros to `count` values.
    ///
    /// # Errors
    /// When the prefix is longer than the chunk, no whole number of actions, or of more clean ones than the network was
    /// trained with, or the device fails.
    pub(super) fn write<D: Device>(
        &self,
        device: &D,
        tables: &mut PrefixTables<D>,
        noise: &[f32],
        config: &Pi0Config,
        count: usize,
    ) -> Result<()> {
        let (length, width) = (self.actions.len(), config.max_action_dim);
        let refused = |problem| DeviceError::Shape {
            operation: "denoise",
            problem,
        };
        let Some(noise_of_prefix) = noise.get(..length).filter(|_| length.is_multiple_of(width)) else {
            return Err(refused(format!(
                "a prefix of {length} values, in actions of {width}, for a chunk of {}",
                noise.len()
            )));
        };
        let (mut weights, mut values) = (vec![0.0; count], vec![0.0; count]);
        match self.conditioning {
            Conditioning::Inpainted => {
                weights[..length].fill(1.0);
                values[..length].copy_from_slice(&target_velocity(self.actions, noise_of_prefix));
            }
            Conditioning::Guided {
                guidance,
                inference_delay,
            } => {
                let of_actions =
                    guidance.prefix_weights(inference_delay, length / width, noise.len() / width);
                for (weights, weight) in weights.chunks_exact_mut(width).zip(of_actions) {
                    weights.fill(weight);
                }
                values[..length].copy_from_slice(self.actions);
            }
            Conditioning::Trained => {
                weights[..length].fill(1.0);
                let (clean, most) = (length / width, config.rtc_training_max_delay);
                let Some(clean_rows) = tables.clean_rows.as_mut().filter(|_| clean <= most) else {
                    return Err(refused(format!(
                        "{clean} clean actions, for a network that was trained with {most} at most"
                    )));
                };
                let mut mask = vec![0.0; device.shape(clean_rows).iter().product()];
                mask[..clean * config.expert.width].fill(1.0);
                device.write(clean_rows, &mask)?;
            }
        }
        device.write(&mut tables.weights, &weights)?;
        device.write(&mut tables.values, &values)
    }
}

impl<D: Device> PrefixTables<D> {
    /// One Euler step from `x_t` with the expert's velocity `v_t`, both `[actions, max_action_dim]`, at the time `t`.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn step(
        &self,
        device: &D,
        kind: StepKind,
        [x_t, v_t]: [&D::Tensor; 2],
        t: f32,
        dt: f32,
    ) -> Result<D::Tensor> {
        match kind {
            StepKind::Free => device.euler_update(x_t, v_t, dt),
            StepKind::Inpainted | StepKind::Trained => {
                let v_t = device.select(&self.weights, &self.values, v_t)?;
                device.euler_update(x_t, &v_t, dt)
            }
            StepKind::Guided { max_guidance_weight } => {
                let weight = guidance_weight(t, f32::from_bits(max_guidance_weight));
                // The guided velocity is v_t − weight · correction.
                let actions = device.euler_update(x_t, v_t, -t)?;
                let error = device.euler_update(&self.values, &actions, -1.0)?;
                let correction = device.multiply(&error, &self.weights)?;
                let free = device.euler_update(x_t, v_t, dt)?;
                device.euler_update(&free, &correction, -dt * weight)
            }
        }
    }
}

impl<D: Device> Clone for PrefixTables<D> {
    fn clone(&self) -> Self {
        Self {
            weights: self.weights.clone(),
            values: self.values.clone(),
            clean_rows: self.clean_rows.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PrefixAttentionSchedule::{Exp, Linear, Ones, Zeros};

    fn weights(schedule: PrefixAttentionSchedule, delay: usize, prefix: usize, horizon: usize) -> Vec<f32> {
        let guidance = Guidance {
            schedule,
            ..Guidance::default()
        };
        guidance.prefix_weights(delay, prefix, horizon)
    }

    #[test]
    fn actions_that_will_be_played_weigh_one_and_those_that_are_not_there_zero() {
        for schedule in [Zeros, Ones, Linear, Exp] {
            for (delay, prefix, horizon) in [(0, 0, 4), (0, 3, 5), (2, 3, 5), (3, 3, 3), (9, 4, 6), (9, 9, 6)]
            {
                let weights = weights(schedule, delay, prefix, horizon);
                assert_eq!(weights.len(), horizon);
                for (action, weight) in weights.into_iter().enumerate() {
                    let case = format!("{schedule:?}, delay {delay}, {prefix} of {horizon}: action {action}");
                    assert!((0.0..=1.0).contains(&weight), "{case}: {weight}");
                    if action >= prefix {
                        assert_eq!(weight, 0.0, "{case}");
                    } else if action < delay {
                        assert_eq!(weight, 1.0, "{case}");
                    }
                }
            }
        }
    }

    #[test]
    fn schedules_fall_from_one_to_zero_as_in_the_paper_s_code() {
        assert_eq!(weights(Zeros, 1, 4, 5), [1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(weights(Ones, 1, 4, 5), [1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(weights(Linear, 1, 4, 5), [1.0, 0.75, 0.5, 0.25, 0.0]);
        let exp = weights(Exp, 1, 4, 5);
        let by_definition = |w: f32| w * (w.exp() - 1.0) / (1.0_f32.exp() - 1.0);
        for (found, w) in exp.into_iter().zip([1.0, 0.75, 0.5, 0.25, 0.0]) {
            assert!((found - by_definition(w)).abs() < 1e-6, "{found}");
        }
    }

    #[test]
    fn a_prefix_attention_horizon_shortens_the_guidance() {
        let guidance = Guidance {
            schedule: Ones,
            prefix_attention_horizon: NonZeroUsize::new(2),
            ..Guidance::default()
        };
        assert_eq!(guidance.prefix_weights(0, 4, 5), [1.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_guidance_weight_is_the_paper_s_and_bounded_where_it_is_infinite() {
        let expected = [10.0, 9.11, 4.25, 2.76, 2.17, 2.0, 2.17, 2.76, 4.25, 9.11];
        for (step, expected) in expected.into_iter().enumerate() {
            let weight = guidance_weight(1.0 - step as f32 / 10.0, 10.0);
            assert!((weight - expected).abs() < 0.01, "step {step}: {weight}");
        }
        assert_eq!(guidance_weight(0.9, 3.0), 3.0);
        assert_eq!(guidance_weight(0.0, 5.0), 5.0);
    }

    #[test]
    fn without_a_bound_of_its_own_the_first_step_goes_no_further_than_its_target() {
        for steps in 1..30 {
            let bound = Guidance::default().max_guidance_weight(steps);
            assert!(bound <= steps as f32 && bound <= 10.0);
            for step in 0..steps {
                let t = 1.0 - step as f32 / steps as f32;
                assert!(guidance_weight(t, bound) <= steps as f32 + 1e-4);
            }
        }
        let chosen = Guidance {
            max_guidance_weight: Some(4.0),
            ..Guidance::default()
        };
        assert_eq!(chosen.max_guidance_weight(3), 4.0);
    }
}
