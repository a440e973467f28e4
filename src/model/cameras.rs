//! What the cameras show, in places on the device that stay from frame to frame.

use std::collections::BTreeMap;

use super::Pi0;
use super::siglip::tokens_of_an_image;
use crate::device::{Device, Result};

/// The newest embedding of every camera.
pub struct CameraEmbeddings<D: Device> {
    /// `[tokens, patch_dim]` a camera
    patches: Vec<D::Tensor>,
    /// `[tokens, vlm.width]` a camera
    embeddings: Vec<D::Tensor>,
    /// The vision tower, by the cameras that go through it together.
    towers: BTreeMap<Vec<usize>, D::Recording>,
}

impl<D: Device> CameraEmbeddings<D> {
    /// Of cameras that have shown nothing yet.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(model: &Pi0<D>, cameras: usize) -> Result<Self> {
        let (config, device) = (&model.config, &model.device);
        let tokens = tokens_of_an_image(&config.vision, device);
        let place = |width| device.zeros(&[tokens, width]);
        Ok(Self {
            patches: (0..cameras)
                .map(|_| place(config.vision.patch_dim()))
                .collect::<Result<_>>()?,
            embeddings: (0..cameras)
                .map(|_| place(config.vlm.width))
                .collect::<Result<_>>()?,
            towers: BTreeMap::new(),
        })
    }

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
        for (camera, image) in images {
            let patches = paligemma.vision_tower.patches(device, image)?;
            device.write(&mut self.patches[*camera], &patches)?;
        }
        let cameras: Vec<usize> = images.iter().map(|(camera, _)| *camera).collect();
        let inputs: Vec<&D::Tensor> = cameras.iter().map(|camera| &self.patches[*camera]).collect();
        let tower = self.towers.entry(cameras.clone()).or_default();
        device.replay(tower, &inputs, || {
            let embedded = match inputs[..] {
                [patches] => paligemma.embed_patches(device, patches, 1)?,
                _ => paligemma.embed_patches(device, &device.concat_rows(&inputs)?, inputs.len())?,
            };
            for (camera, embedding) in cameras.iter().zip(&embedded) {
                device.copy(embedding, &mut self.embeddings[*camera])?;
            }
            Ok(())
        })
    }

    /// One embedding `[tokens, vlm.width]` a camera.
    pub fn embeddings(&self) -> &[D::Tensor] {
        &self.embeddings
    }
}
