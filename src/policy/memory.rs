//! What stays the same from one observation to the next, and is therefore not computed again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;

use super::{PolicyError, StageDurations};
use crate::device::Device;
use crate::model::Pi0;
use crate::model::prefix::{Prefix, PrefixCache};

/// Embeddings of the newest frames and prompt, and the prefix that was made of them.
pub(super) struct Memory<D: Device> {
    cameras: Vec<Option<Seen<D>>>,
    prompt: Option<Told<D>>,
    prefix: Option<PrefixCache<D>>,
    /// The last prefix that does not hold any more, whose memory the next one takes.
    outdated: Option<PrefixCache<D>>,
    /// Of the chunk that is being made, or was made last.
    pub reused: Reused,
    /// Of the chunk that is being made, or was made last.
    pub durations: StageDurations,
}

struct Seen<D: Device> {
    frame: Arc<RgbImage>,
    /// `[tokens, vlm.width]`
    embedding: D::Tensor,
}

struct Told<D: Device> {
    text: String,
    tokens: usize,
    /// `[tokens, vlm.width]`
    embedding: D::Tensor,
}

/// What of a chunk's prefix was known from the chunk before, and not computed again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reused {
    /// Whether the embedding of the camera's frame was, for each of the policy's cameras; none where it had no frame.
    pub cameras: Vec<Option<bool>>,
    /// Whether the prompt's tokens and their embedding were.
    pub prompt: bool,
    /// Whether the keys and values of all of it were.
    pub prefix: bool,
}

impl<D: Device> Seen<D> {
    fn shows(&self, frame: &Arc<RgbImage>) -> bool {
        Arc::ptr_eq(&self.frame, frame) || self.frame == *frame
    }
}

impl<D: Device> Memory<D> {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self {
            cameras: Vec::new(),
            prompt: None,
            prefix: None,
            outdated: None,
            reused: Reused::default(),
            durations: StageDurations::default(),
        }
    }

    /// The prefix of these frames, one a camera and none where a camera is missing, and this prompt.
    ///
    /// `prepare` makes an image `[3, image_size, image_size]` of a camera's frame, `tokenise` token ids of the prompt;
    /// neither is called for what is the same as before. An absent camera has no tokens in the prefix: nothing would
    /// attend to them.
    pub fn prefix(
        &mut self,
        model: &Pi0<D>,
        frames: &[Option<&Arc<RgbImage>>],
        prompt: &str,
        prepare: impl Fn(usize, &RgbImage) -> Result<Vec<f32>, PolicyError>,
        tokenise: impl FnOnce(&str) -> Result<Vec<u32>, PolicyError>,
    ) -> Result<&mut PrefixCache<D>, PolicyError> {
        self.reused = Reused::default();
        self.embed_frames(model, frames, &prepare)?;
        let images: Vec<_> = self
            .cameras
            .iter()
            .flatten()
            .map(|seen| Some(seen.embedding.clone()))
            .collect();
        let (embedding, tokens) = self.embed_prompt(model, prompt, tokenise)?;
        let prefix = match self.prefix.take() {
            Some(prefix) => {
                self.reused.prefix = true;
                prefix
            }
            None => {
                let Pi0 { config, device, .. } = model;
                let started = Instant::now();
                let prefix = Prefix::new(config, device, &images, &embedding, tokens)?;
                let prefix = model.prefill(&prefix, self.outdated.take())?;
                add_since(&mut self.durations.prefix, started);
                prefix
            }
        };
        Ok(self.prefix.insert(prefix))
    }

    /// Those frames that changed go through the vision tower together.
    fn embed_frames(
        &mut self,
        model: &Pi0<D>,
        frames: &[Option<&Arc<RgbImage>>],
        prepare: impl Fn(usize, &RgbImage) -> Result<Vec<f32>, PolicyError>,
    ) -> Result<(), PolicyError> {
        self.cameras.resize_with(frames.len(), || None);
        for (seen, frame) in self.cameras.iter_mut().zip(frames) {
            if seen.is_some() && frame.is_none() {
                *seen = None;
                self.outdated = self.prefix.take().or(self.outdated.take());
            }
        }
        let seen = self.cameras.iter().zip(frames).enumerate();
        let mut changed: Vec<(usize, &Arc<RgbImage>)> = Vec::new();
        for (camera, (seen, frame)) in seen {
            let is_same = frame.map(|frame| seen.as_ref().is_some_and(|seen| seen.shows(frame)));
            self.reused.cameras.push(is_same);
            changed.extend(
                frame
                    .filter(|_| is_same == Some(false))
                    .map(|frame| (camera, frame)),
            );
        }
        if changed.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let images: Vec<Vec<f32>> = changed
            .iter()
            .map(|&(camera, frame)| prepare(camera, frame))
            .collect::<Result<_, _>>()?;
        let images: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
        add_since(&mut self.durations.resize, started);
        self.forget_prefix();
        let started = Instant::now();
        let embeddings = model.paligemma.embed_images(&model.device, &images)?;
        add_since(&mut self.durations.vision, started);
        for ((camera, frame), embedding) in changed.into_iter().zip(embeddings) {
            let frame = Arc::clone(frame);
            self.cameras[camera] = Some(Seen { frame, embedding });
        }
        Ok(())
    }

    fn forget_prefix(&mut self) {
        if let Some(prefix) = self.prefix.take() {
            self.outdated = Some(prefix);
        }
    }

    /// `[tokens, vlm.width]`, and how many tokens they are.
    fn embed_prompt(
        &mut self,
        model: &Pi0<D>,
        text: &str,
        tokenise: impl FnOnce(&str) -> Result<Vec<u32>, PolicyError>,
    ) -> Result<(D::Tensor, usize), PolicyError> {
        if let Some(told) = &self.prompt
            && told.text == text
        {
            self.reused.prompt = true;
            return Ok((told.embedding.clone(), told.tokens));
        }
        let started = Instant::now();
        let tokens = tokenise(text)?;
        self.forget_prefix();
        let embedding = model.paligemma.embed_tokens(&model.device, &tokens)?;
        add_since(&mut self.durations.prompt, started);
        self.prompt = Some(Told {
            text: text.to_owned(),
            tokens: tokens.len(),
            embedding: embedding.clone(),
        });
        Ok((embedding, tokens.len()))
    }
}

fn add_since(duration: &mut Duration, started: Instant) {
    *duration += started.elapsed();
}
