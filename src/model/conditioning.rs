//! Conditioning of the action expert on flow-matching time: π0 fuses the time into the action tokens, π0.5
//! into the norms.

use std::sync::Arc;

use super::adaptive_norms::AdaptiveNorms;
use super::config::{ModelType, Pi0Config};
use super::norms::Norms;
use super::parameters::EXPERT;
use super::suffix::{SuffixProjections, embed_time};
use super::weights::Weights;
use crate::device::{Device, Result};

/// Norms of the action expert.
pub enum ExpertNorms<D: Device> {
    /// The same at every time (π0).
    Stored(Arc<Norms<D>>),
    /// Conditioned on the time (π0.5).
    Adaptive(AdaptiveNorms),
}

/// What the expert's layers are at one flow-matching time.
pub struct TimeConditioning<D: Device> {
    /// First layer of π0's time fusion, whose bias has the time.
    pub time_fusion: Option<D::Linear>,
    /// Norms of the action expert.
    pub norms: Arc<Norms<D>>,
}

impl<D: Device> ExpertNorms<D> {
    /// Uploads stored norms, or copies what adaptive ones are computed from.
    ///
    /// # Errors
    /// When the device has no memory for them or fails.
    pub fn new(config: &Pi0Config, device: &D, weights: &dyn Weights) -> Result<Self> {
        Ok(match config.model_type {
            ModelType::Pi0 => {
                let norms = Norms::stored(&config.expert, device, weights, EXPERT)?;
                Self::Stored(Arc::new(norms))
            }
            ModelType::Pi05 => Self::Adaptive(AdaptiveNorms::new(config, weights)),
        })
    }

    /// Conditions the expert on each of these times.
    ///
    /// # Errors
    /// When the device has no memory for it or fails.
    pub fn at(
        &self,
        config: &Pi0Config,
        device: &D,
        suffix: &SuffixProjections<D>,
        times: &[f32],
    ) -> Result<Vec<TimeConditioning<D>>> {
        match self {
            Self::Stored(norms) => times
                .iter()
                .map(|&time| {
                    let time = embed_time(config, device, time)?;
                    Ok(TimeConditioning {
                        time_fusion: suffix.fuse_time(device, &time)?,
                        norms: Arc::clone(norms),
                    })
                })
                .collect(),
            Self::Adaptive(adaptive) => Ok(adaptive
                .at(config, device, times)?
                .into_iter()
                .map(|norms| TimeConditioning {
                    time_fusion: None,
                    norms: Arc::new(norms),
                })
                .collect()),
        }
    }
}
