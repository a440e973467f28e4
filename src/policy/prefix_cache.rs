//! Embeddings, keys and values that stay valid from one observation to the next, and are therefore not
//! computed again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;

use super::error::PolicyError;
use super::report::{Reused, StageDurations};
use crate::device::{Device, Pixels};
use crate::model::cameras::CameraEmbeddings;
use crate::model::prompt::PromptEmbedding;
use crate::model::{Pi0, Session};

/// Embeddings of the newest frames and prompt, and the session of the prefix that was made of them.
pub(super) struct PrefixCache<D: Device> {
    /// Frame of each camera whose embedding is valid.
    embedded_frames: Vec<Option<Arc<RgbImage>>>,
    cameras: CameraEmbeddings<D>,
    /// Cameras whose tokens are in the prefix.
    present: Vec<usize>,
    prompt: Option<EmbeddedPrompt<D>>,
    session: Option<Session<D>>,
    reusable: Reusable,
    /// Report of the newest chunk, or of the one under way.
    pub reused: Reused,
    /// Durations of the newest chunk, or of the one under way.
    pub durations: StageDurations,
}

/// Parts of the session that are valid for the observation at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reusable {
    KeysAndValues,
    /// Its memory, if the prompt has as many rows: images or prompt changed, the cameras are the same.
    Shapes,
    /// No content; its memory may fit.
    None,
}

struct EmbeddedPrompt<D: Device> {
    text: String,
    embedding: PromptEmbedding<D>,
}

/// Tokens of a prompt.
pub(super) struct PromptTokens {
    pub ids: Vec<u32>,
    /// Rows that the prefix has for them at least, so that longer prompts fit too.
    pub min_rows: usize,
}

impl<D: Device> PrefixCache<D> {
    /// An empty cache.
    pub fn new() -> Self {
        Self {
            embedded_frames: Vec::new(),
            cameras: CameraEmbeddings::default(),
            present: Vec::new(),
            prompt: None,
            session: None,
            reusable: Reusable::None,
            reused: Reused::default(),
            durations: StageDurations::default(),
        }
    }

    /// Session of the prefix of these frames, one a camera and `None` for a missing one, and of this prompt.
    ///
    /// `prepare` makes the pixels of a camera's frame, `tokenise` the tokens of the prompt; neither is
    /// called for a frame or prompt that did not change. A missing camera has no tokens in the prefix:
    /// nothing would attend to them.
    pub fn session(
        &mut self,
        model: &Pi0<D>,
        frames: &[Option<&Arc<RgbImage>>],
        prompt: &str,
        prepare: impl Fn(usize, &RgbImage) -> Result<Pixels, PolicyError>,
        tokenise: impl FnOnce(&str) -> Result<PromptTokens, PolicyError>,
    ) -> Result<&mut Session<D>, PolicyError> {
        self.reused = Reused::default();
        self.embed_frames(model, frames, &prepare)?;
        self.embed_prompt(model, prompt, tokenise)?;
        let prompt = &self.prompt.as_ref().expect("embedded now").embedding;
        let previous = self.session.take();
        let started = Instant::now();
        let images = self.cameras.embeddings(&self.present);
        let session = match (self.reusable, previous) {
            (Reusable::KeysAndValues, Some(session)) => {
                self.reused.prefix = true;
                return Ok(self.session.insert(session));
            }
            (Reusable::Shapes, Some(mut session)) if session.prompt_rows() == prompt.rows(&model.device) => {
                model.refill(&mut session, &images, prompt)?;
                session
            }
            (_, previous) => {
                let images: Vec<_> = images.into_iter().map(Some).collect();
                let prefix = model.embed_prefix(&images, prompt)?;
                model.prefill(prefix, previous)?
            }
        };
        add_since(&mut self.durations.prefix, started);
        self.reusable = Reusable::KeysAndValues;
        Ok(self.session.insert(session))
    }

    /// Runs all frames that changed through the vision tower together.
    fn embed_frames(
        &mut self,
        model: &Pi0<D>,
        frames: &[Option<&Arc<RgbImage>>],
        prepare: impl Fn(usize, &RgbImage) -> Result<Pixels, PolicyError>,
    ) -> Result<(), PolicyError> {
        let present = frames.iter().enumerate();
        let present: Vec<(usize, &Arc<RgbImage>)> = present
            .filter_map(|(camera, frame)| frame.map(|frame| (camera, frame)))
            .collect();
        if !present.iter().map(|(camera, _)| camera).eq(&self.present) {
            self.present = present.iter().map(|(camera, _)| *camera).collect();
            self.reusable = Reusable::None;
        }
        self.embedded_frames.resize(frames.len(), None);
        let is_new = |&(camera, frame): &(usize, &Arc<RgbImage>)| {
            let embedded = self.embedded_frames[camera].as_ref();
            !embedded.is_some_and(|embedded| Arc::ptr_eq(embedded, frame) || embedded == frame)
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
        let images: Vec<(usize, Pixels)> = changed
            .iter()
            .map(|&(camera, frame)| Ok((camera, prepare(camera, frame)?)))
            .collect::<Result<_, PolicyError>>()?;
        add_since(&mut self.durations.resize, started);
        // Until all is done these embeddings are neither of the last frame nor of the new one.
        for (camera, _) in &changed {
            self.embedded_frames[*camera] = None;
        }
        self.keep_shapes_alone();
        let started = Instant::now();
        self.cameras.update(model, &images)?;
        add_since(&mut self.durations.vision, started);
        for (camera, frame) in changed {
            self.embedded_frames[camera] = Some(Arc::clone(frame));
        }
        Ok(())
    }

    fn keep_shapes_alone(&mut self) {
        if self.reusable == Reusable::KeysAndValues {
            self.reusable = Reusable::Shapes;
        }
    }

    /// Embeds the prompt if it changed.
    fn embed_prompt(
        &mut self,
        model: &Pi0<D>,
        text: &str,
        tokenise: impl FnOnce(&str) -> Result<PromptTokens, PolicyError>,
    ) -> Result<(), PolicyError> {
        if self.prompt.as_ref().is_some_and(|prompt| prompt.text == text) {
            self.reused.prompt = true;
            return Ok(());
        }
        let started = Instant::now();
        let PromptTokens { ids, min_rows } = tokenise(text)?;
        self.keep_shapes_alone();
        let previous = self.prompt.take().map(|prompt| prompt.embedding);
        self.prompt = Some(EmbeddedPrompt {
            text: text.to_owned(),
            embedding: PromptEmbedding::new(&model.device, &model.paligemma, &ids, min_rows, previous)?,
        });
        add_since(&mut self.durations.prompt, started);
        Ok(())
    }
}

fn add_since(duration: &mut Duration, started: Instant) {
    *duration += started.elapsed();
}
