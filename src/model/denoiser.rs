//! The velocity field that denoising follows, behind one prefix and one state.

use super::gemma::Gemma;
use super::session::Session;
use super::suffix::SuffixProjections;
use crate::device::{Device, Result};

/// The action expert behind a prefix and a state.
///
/// The state attends to the prefix and itself, never to the actions, so its keys and values are the same at
/// every step: the first velocity leaves them in the session's cache, and later ones compute the actions
/// alone.
pub struct Denoiser<'a, D: Device> {
    device: &'a D,
    expert: &'a Gemma<D>,
    suffix: &'a SuffixProjections<D>,
    session: &'a mut Session<D>,
    /// Token of the state, `[tile_size, expert.width]`, until its keys and values are in the cache.
    state: Option<D::Tensor>,
}

impl<'a, D: Device> Denoiser<'a, D> {
    /// Prepares denoising. `state`: `[tile_size, max_state_dim]`, normalised, in the first row.
    pub(super) fn new(
        device: &'a D,
        expert: &'a Gemma<D>,
        suffix: &'a SuffixProjections<D>,
        session: &'a mut Session<D>,
        state: &D::Tensor,
    ) -> Result<Self> {
        Ok(Self {
            state: Some(suffix.embed_state(device, state)?),
            device,
            expert,
            suffix,
            session,
        })
    }

    /// Velocity v_t at a point x_t of the flow, both `[actions, max_action_dim]`. `time`: the layer of a
    /// [`Schedule`](super::Schedule) at the time of x_t.
    ///
    /// # Errors
    /// When x_t has another shape, or the device fails.
    #[tracing::instrument(name = "denoise_step", level = "trace", skip_all)]
    pub fn velocity(&mut self, x_t: &D::Tensor, time: &D::Linear) -> Result<D::Tensor> {
        let (device, session) = (self.device, &mut *self.session);
        let actions = self.suffix.embed_actions(device, x_t, time)?;
        let outputs = match &self.state {
            None => self
                .expert
                .forward(device, actions, &session.actions_pass, &mut session.cache)?,
            Some(state) => {
                let tokens = device.concat_rows(&[state, &actions])?;
                let outputs =
                    self.expert
                        .forward(device, tokens, &session.suffix_pass, &mut session.cache)?;
                device.slice_rows(&outputs, device.tile_size()..device.shape(&outputs)[0])?
            }
        };
        self.state = None;
        self.suffix.project_velocity(device, &outputs)
    }
}
