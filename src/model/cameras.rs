//! What the cameras show, in places on the device that stay from frame to frame.

use std::collections::BTreeMap;

use super::Pi0;
use super::siglip::tokens_of_an_image;
use crate::device::{Device, Result};

/// The newest image of every camera that showed one, and its embedding.
pub struct CameraEmbeddings<D: Device> {
    /// `[3, image_size, image_size]`
    images: BTreeMap<usize, D::Tensor>,
    /// `[tokens, vlm.width]`
    embeddings: BTreeMap<usize, D::Tensor>,
    /// The vision tower, by the cameras that go through it together.
    towers: BTreeMap<Vec<usize>, D::Recording>,
}

impl<D: Device> Default for CameraEmbeddings<D> {
    /// Of cameras that have shown nothing yet.
    fn default() -> Self {
        Self {
            images: BTreeMap::new(),
            embeddings: BTreeMap::new(),
            towers: BTreeMap::new(),
        }
    }
}

impl<D: Device> CameraEmbeddings<D> {
    /// New images `[3, image_size, image_size]` in [−1, 1] of some cameras, in rising order, through the vision tower
    /// together. After an error the embeddings of these cameras have no meaning.
    ///
    /// # Errors
    /// When an image has another size, or the device fails.
    pub fn update(&mut self, model: &Pi0<D>, images: &[(usize, Vec<f32>)]) -> Result<()> {
        let Pi0 {
            device, paligemma, ..
        } = model;
        if images.is_empty() {
            return Ok(());
        }
        for (camera, pixels) in images {
            self.place(model, *camera, pixels)?;
        }
        let cameras: Vec<usize> = images.iter().map(|(camera, _)| *camera).collect();
        let inputs: Vec<&D::Tensor> = cameras.iter().map(|camera| &self.images[camera]).collect();
        let tower = self.towers.entry(cameras.clone()).or_default();
        device.replay(tower, &inputs, || {
            let embedded = paligemma.embed_images(device, &inputs)?;
            for (camera, new) in cameras.iter().zip(&embedded) {
                let place = self.embeddings.get_mut(camera);
                device.copy(new, place.expect("made with the camera's first image"))?;
            }
            Ok(())
        })
    }

    /// A camera's image into its place, which its first one makes.
    fn place(&mut self, model: &Pi0<D>, camera: usize, pixels: &[f32]) -> Result<()> {
        let Pi0 { config, device, .. } = model;
        if let Some(image) = self.images.get_mut(&camera) {
            return device.write(image, pixels);
        }
        let image = model.paligemma.vision_tower.upload_image(device, pixels)?;
        let tokens = tokens_of_an_image(&config.vision, device);
        let embedding = device.zeros(&[tokens, config.vlm.width])?;
        self.images.insert(camera, image);
        self.embeddings.insert(camera, embedding);
        Ok(())
    }

    /// Where the embeddings of these cameras are, `[tokens, vlm.width]` each.
    ///
    /// # Panics
    /// When one of them has shown nothing yet.
    pub fn embeddings(&self, cameras: &[usize]) -> Vec<D::Tensor> {
        cameras
            .iter()
            .map(|camera| self.embeddings[camera].clone())
            .collect()
    }
}
