//! Embeddings of the cameras' newest images, in tensors that stay from frame to frame.

use std::collections::BTreeMap;

use super::Pi0;
use super::siglip::tokens_of_an_image;
use crate::device::{Device, Pixels, Result};

/// Newest image of every camera that had one, and its embedding. Cameras are counted as the caller does.
pub struct CameraEmbeddings<D: Device> {
    /// `[3, image_size, image_size]`
    images: BTreeMap<usize, D::Tensor>,
    /// `[tokens, vlm.width]`
    embeddings: BTreeMap<usize, D::Tensor>,
    /// Traces of the vision tower, by the cameras that go through it together.
    traces: BTreeMap<Vec<usize>, D::Trace>,
}

impl<D: Device> Default for CameraEmbeddings<D> {
    /// No camera has had an image yet.
    fn default() -> Self {
        Self {
            images: BTreeMap::new(),
            embeddings: BTreeMap::new(),
            traces: BTreeMap::new(),
        }
    }
}

impl<D: Device> CameraEmbeddings<D> {
    /// Runs new images `[3, image_size, image_size]` of some cameras, in rising order, through the vision
    /// tower together. After an error the embeddings of these cameras have no meaning.
    ///
    /// # Errors
    /// When an image has another size, or the device fails.
    pub fn update(&mut self, model: &Pi0<D>, images: &[(usize, Pixels)]) -> Result<()> {
        let Pi0 {
            device, paligemma, ..
        } = model;
        if images.is_empty() {
            return Ok(());
        }
        for (camera, pixels) in images {
            self.write_image(model, *camera, pixels)?;
        }
        let cameras: Vec<usize> = images.iter().map(|(camera, _)| *camera).collect();
        let inputs: Vec<&D::Tensor> = cameras.iter().map(|camera| &self.images[camera]).collect();
        let trace = self.traces.entry(cameras.clone()).or_default();
        device.run_captured(trace, inputs.iter().copied(), || {
            let embedded = paligemma.embed_images(device, &inputs)?;
            for (camera, new) in cameras.iter().zip(&embedded) {
                let embedding = self.embeddings.get_mut(camera);
                device.copy(new, embedding.expect("made with the camera's first image"))?;
            }
            Ok(())
        })
    }

    /// Overwrites a camera's image; the first one allocates it and its embedding.
    fn write_image(&mut self, model: &Pi0<D>, camera: usize, pixels: &Pixels) -> Result<()> {
        let Pi0 { config, device, .. } = model;
        if let Some(image) = self.images.get_mut(&camera) {
            return device.write_image(image, pixels);
        }
        let image = model.paligemma.vision_tower.upload_image(device, pixels)?;
        let tokens = tokens_of_an_image(&config.vision, device);
        let embedding = device.zeros(&[tokens, config.vlm.width])?;
        self.images.insert(camera, image);
        self.embeddings.insert(camera, embedding);
        Ok(())
    }

    /// Embeddings of these cameras, `[tokens, vlm.width]` each.
    ///
    /// # Panics
    /// When one of them has had no image yet.
    pub fn embeddings(&self, cameras: &[usize]) -> Vec<D::Tensor> {
        cameras
            .iter()
            .map(|camera| self.embeddings[camera].clone())
            .collect()
    }
}
