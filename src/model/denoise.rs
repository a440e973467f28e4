//! Flow matching (Lipman et al. 2023; π0 section IV): from noise at t = 1 to actions at t = 0.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// Times of Euler integration with equal steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EulerSteps {
    num_steps: usize,
}

impl EulerSteps {
    /// Divides the time from 1 to 0 into `num_steps` steps.
    ///
    /// # Panics
    /// When there is no step.
    pub fn new(num_steps: usize) -> Self {
        assert!(num_steps > 0, "integration needs at least one step");
        Self { num_steps }
    }

    /// Length of each step: −1 / steps.
    pub fn dt(self) -> f64 {
        -1.0 / self.num_steps as f64
    }

    /// Time at which each step's velocity is computed, from 1 down to 1 / steps.
    pub fn times(self) -> impl ExactSizeIterator<Item = f32> {
        let dt = self.dt();
        (0..self.num_steps).map(move |step| (1.0 + step as f64 * dt) as f32)
    }
}

/// Computes the point of the flow between action and noise: x_t = t · noise + (1 − t) · action.
///
/// # Panics
/// When `noise` and `action` differ in length.
pub fn add_noise(action: &[f32], noise: &[f32], t: f32) -> Vec<f32> {
    assert_eq!(action.len(), noise.len(), "a noise for every value");
    let mix = |(action, noise)| t * noise + (1.0 - t) * action;
    action.iter().zip(noise).map(mix).collect()
}

/// Computes the velocity that the model learns at every point of that flow: u = noise − action.
///
/// # Panics
/// When `noise` and `action` differ in length.
pub fn target_velocity(action: &[f32], noise: &[f32]) -> Vec<f32> {
    assert_eq!(action.len(), noise.len(), "a noise for every value");
    action
        .iter()
        .zip(noise)
        .map(|(action, noise)| noise - action)
        .collect()
}

/// Draws standard normal noise: the same for the same seed and chunk, on every machine and device. Each chunk
/// has a stream of its own, so that it can be drawn again without those before it.
pub fn sample_noise(seed: u64, chunk: u64, count: usize) -> Vec<f32> {
    let mut generator = ChaCha12Rng::seed_from_u64(seed);
    generator.set_stream(chunk);
    StandardNormal.sample_iter(generator).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_from_noise_towards_the_action() {
        let steps = EulerSteps::new(4);
        assert_eq!(steps.times().collect::<Vec<_>>(), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(steps.dt(), -0.25);
    }

    #[test]
    fn following_the_target_velocity_from_noise_arrives_at_the_action() {
        let (action, noise) = ([0.3, -2.0], [1.5, 0.25]);
        let velocity = target_velocity(&action, &noise);
        let x = add_noise(&action, &noise, 0.6);
        let arrived: Vec<f32> = x.iter().zip(&velocity).map(|(x, v)| x - 0.6 * v).collect();
        for (arrived, action) in arrived.iter().zip(action) {
            assert!((arrived - action).abs() < 1e-6);
        }
        assert_eq!(add_noise(&action, &noise, 1.0), noise);
        assert_eq!(add_noise(&action, &noise, 0.0), action);
    }

    #[test]
    fn noise_is_the_same_for_a_seed_and_another_for_every_chunk() {
        assert_eq!(sample_noise(7, 3, 64), sample_noise(7, 3, 64));
        assert_ne!(sample_noise(7, 3, 64), sample_noise(7, 4, 64));
        assert_ne!(sample_noise(7, 3, 64), sample_noise(8, 3, 64));
    }

    #[test]
    fn noise_is_standard_normal() {
        let noise = sample_noise(0, 0, 100_000);
        let mean = noise.iter().sum::<f32>() / noise.len() as f32;
        let variance = noise.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / noise.len() as f32;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }
}
