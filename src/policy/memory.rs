//! What stays the same from one observation to the next, and is therefore not computed again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;

use super::{PolicyError, StageDurations};
use crate::device::Device;
use crate::model::Pi0;
use crate::model::cameras::CameraEmbeddings;
use crate::model::prefix::{Prefix, PrefixCache};

/// Embeddings of the newest frames and prompt, and the prefix that was made of them.
pub(super) struct Memory<D: Device> {
    /// The frames that are embedded.
    seen: Vec<Option<Arc<RgbImage>>>,
    cameras: CameraEmbeddings<D>,
    /// The cameras whose tokens the prefix has.
    present: Vec<usize>,
    prompt: Option<Told<D>>,
    prefix: Option<PrefixCache<D>>,
    fits: Fits,
    /// Of the chunk that is being made, or was made last.
    pub reused: Reused,
    /// Of the chunk that is being made, or was made last.
    pub durations: StageDurations,
}

/// What of the prefix is still as it was when it was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fits {
    Everything,
    /// The same prompt, behind other images.
    Prompt,
    /// At most how long it is.
    Nothing,
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

impl<D: Device> Memory<D> {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self {
            seen: Vec::new(),
            cameras: CameraEmbeddings::default(),
            present: Vec::new(),
            prompt: None,
            prefix: None,
            fits: Fits::Nothing,
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
        let (embedding, tokens) = self.embed_prompt(model, prompt, tokenise)?;
        let previous = self.prefix.take();
        let started = Instant::now();
        let images = self.cameras.embeddings(&self.present);
        let prefix = match (self.fits, previous) {
            (Fits::Everything, Some(prefix)) => {
                self.reused.prefix = true;
                return Ok(self.prefix.insert(prefix));
            }
            (Fits::Prompt, Some(mut prefix)) => {
                model.refill(&mut prefix, &images)?;
                prefix
            }
            (_, previous) => {
                let Pi0 { config, device, .. } = model;
                let images: Vec<_> = images.into_iter().map(Some).collect();
                let prefix = Prefix::new(config, device, &images, &embedding, tokens)?;
                model.prefill(prefix, previous)?
            }
        };
        add_since(&mut self.durations.prefix, started);
        self.fits = Fits::Everything;
        Ok(self.prefix.insert(prefix))
    }

    /// Those frames that changed go through the vision tower together.
    fn embed_frames(
        &mut self,
        model: &Pi0<D>,
        frames: &[Option<&Arc<RgbImage>>],
        prepare: impl Fn(usize, &RgbImage) -> Result<Vec<f32>, PolicyError>,
    ) -> Result<(), PolicyError> {
        let present = frames.iter().enumerate();
        let present: Vec<(usize, &Arc<RgbImage>)> = present
            .filter_map(|(camera, frame)| frame.map(|frame| (camera, frame)))
            .collect();
        if !present.iter().map(|(camera, _)| camera).eq(&self.present) {
            self.present = present.iter().map(|(camera, _)| *camera).collect();
            self.fits = Fits::Nothing;
        }
        self.seen.resize(frames.len(), None);
        let is_new = |&(camera, frame): &(usize, &Arc<RgbImage>)| {
            let seen = self.seen[camera].as_ref();
            !seen.is_some_and(|seen| Arc::ptr_eq(seen, frame) || seen == frame)
        };
        let changed: Vec<_> = present.into_iter().filter(is_new).collect();
        let is_changed = |camera: usize| changed.iter().any(|&(changed, _)| changed == camera);
        let reused = frames.iter().enumerate();
        let reused = reused.map(|(camera, frame)| frame.map(|_| !is_changed(camera)));
        self.reused.cameras = reused.collect();
        if changed.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let images: Vec<(usize, Vec<f32>)> = changed
            .iter()
            .map(|&(camera, frame)| Ok((camera, prepare(camera, frame)?)))
            .collect::<Result<_, PolicyError>>()?;
        add_since(&mut self.durations.resize, started);
        // Until all is done they show neither the last frame nor the new one.
        for (camera, _) in &changed {
            self.seen[*camera] = None;
        }
        if self.fits == Fits::Everything {
            self.fits = Fits::Prompt;
        }
        let started = Instant::now();
        self.cameras.update(model, &images)?;
        add_since(&mut self.durations.vision, started);
        for (camera, frame) in changed {
            self.seen[camera] = Some(Arc::clone(frame));
        }
        Ok(())
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
        self.fits = Fits::Nothing;
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
