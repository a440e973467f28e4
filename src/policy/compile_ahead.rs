//! Work of every shape that a policy can come to, run once: a device that compiles keeps what it compiled on the host.

use super::error::PolicyError;
use super::pi0_policy::Pi0Policy;
use crate::device::{Device, Pixels};
use crate::model::cameras::CameraEmbeddings;
use crate::model::prompt::PromptEmbedding;
use crate::model::{ActionPrefix, Conditioning};

impl<D: Device> Pi0Policy<D> {
    /// Runs the vision tower for every number of new images and of both types of pixels, and prefix and denoising for every
    /// number of present cameras and of prompt rows, without a prefix of actions and with each kind of one. Which cameras
    /// they are makes no difference to a shape. Says before each what it is.
    pub(super) fn run_every_shape(&self, begin: &mut dyn FnMut(&str)) -> Result<(), PolicyError> {
        let model = &self.model;
        let (config, device) = (&model.config, &model.device);
        let num_cameras = self.cameras.len();
        let size = 3 * config.vision.image_size.pow(2);
        let black = [Pixels::Bytes(vec![0; size]), Pixels::Values(vec![-1.0; size])];
        let mut embedded = CameraEmbeddings::default();
        for pixels in black {
            for count in 1..=num_cameras {
                begin(&format!(
                    "{count} new {}",
                    if count == 1 { "image" } else { "images" }
                ));
                let images: Vec<_> = (0..count).map(|camera| (camera, pixels.clone())).collect();
                embedded.update(model, &images)?;
            }
        }
        let noise = vec![0.0; config.action_horizon * config.max_action_dim];
        let state = vec![0.0; config.state_width()];
        let one_action = vec![0.0; config.max_action_dim];
        let schedule = &self.schedules[&self.steps];
        let tile = device.tile_size();
        let num_optional = self.cameras.iter().filter(|camera| camera.is_optional).count();
        for present in (num_cameras - num_optional).max(1)..=num_cameras {
            let cameras: Vec<usize> = (0..present).collect();
            let images = embedded.embeddings(&cameras);
            for rows in (tile..=config.max_prompt_tokens.next_multiple_of(tile)).step_by(tile) {
                begin(&format!(
                    "{present} of {num_cameras} cameras, {rows} rows of the prompt"
                ));
                let embed = |previous| PromptEmbedding::new(device, &model.paligemma, &[0], rows, previous);
                let prompt = embed(Some(embed(None)?))?;
                let present = images.iter().cloned().map(Some).collect::<Vec<_>>();
                let mut session = model.prefill(model.embed_prefix(&present, &prompt)?, None)?;
                model.refill(&mut session, &images, &prompt)?;
                model.sample_actions(&mut session, &state, &noise, None, schedule)?;
                for conditioning in Conditioning::all(config) {
                    let prefix = ActionPrefix {
                        actions: &one_action,
                        conditioning,
                    };
                    if config.action_horizon > 1 {
                        model.sample_actions(&mut session, &state, &noise, Some(&prefix), schedule)?;
                    }
                }
            }
        }
        Ok(())
    }
}
