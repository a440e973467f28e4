//! The velocity field that denoising follows, behind one prefix and one state.

use super::by_row::ByRow;
use super::conditioning::TimeConditioning;
use super::gemma::Gemma;
use super::session::Session;
use super::suffix::SuffixProjections;
use crate::device::{Device, Result};

/// The action expert behind a prefix and a state.
///
/// π0's state attends to the prefix and itself, never to the actions, so its keys and values are the same at
/// every step: the first velocity leaves them in the session's cache, and later ones compute the actions
/// alone. π0.5 has no token of the state.
pub struct Denoiser<'a, D: Device> {
    device: &'a D,
    expert: &'a Gemma<D>,
    suffix: &'a SuffixProjections<D>,
    session: &'a mut Session<D>,
    /// Token of π0's state, `[tile_size, expert.width]`, until its keys and values are in the cache.
    state: Option<D::Tensor>,
    /// Mask of the rows of clean actions, `[actions, expert.width]`, and their conditioning.
    clean: Option<(D::Tensor, &'a TimeConditioning<D>)>,
}

impl<'a, D: Device> Denoiser<'a, D> {
    /// Prepares denoising. `state`: `[tile_size, max_state_dim]`, normalised, in the first row; not for π0.5.
    pub(super) fn new(
        device: &'a D,
        expert: &'a Gemma<D>,
        suffix: &'a SuffixProjections<D>,
        session: &'a mut Session<D>,
        state: Option<&D::Tensor>,
    ) -> Result<Self> {
        let state = match state {
            Some(state) => suffix.embed_state(device, state)?,
            None => None,
        };
        Ok(Self {
            state,
            device,
            expert,
            suffix,
            session,
            clean: None,
        })
    }

    /// Conditions the rows in which a mask `[actions, expert.width]` is not 0 on another time: those of clean actions on
    /// time 0.
    pub fn with_clean_rows(self, mask: D::Tensor, at_zero: &'a TimeConditioning<D>) -> Self {
        Self {
            clean: Some((mask, at_zero)),
            ..self
        }
    }

    /// Velocity v_t at a point x_t of the flow, both `[actions, max_action_dim]`. `at_time`: of a
    /// [`Schedule`](super::Schedule), at the time of x_t.
    ///
    /// # Errors
    /// When x_t has another shape, or the device fails.
    #[tracing::instrument(name = "denoise_step", level = "trace", skip_all)]
    pub fn velocity(&mut self, x_t: &D::Tensor, at_time: &TimeConditioning<D>) -> Result<D::Tensor> {
        let (device, session) = (self.device, &mut *self.session);
        let clean = self.clean.as_ref().map(|(mask, at_zero)| (mask, *at_zero));
        let at_time = ByRow::new(at_time, clean);
        let time_fusion = at_time.and_then(|at_time| at_time.time_fusion.as_ref());
        let actions = self.suffix.embed_actions(device, x_t, time_fusion)?;
        let norms = at_time.map(|at_time| &*at_time.norms);
        let mut forward = |tokens, pass| {
            self.expert
                .forward(device, norms, tokens, pass, &mut session.cache)
        };
        let outputs = match (&self.state, &session.state_pass) {
            (Some(state), Some(pass)) => {
                let tokens = device.concat_rows(&[state, &actions])?;
                let outputs = forward(tokens, pass)?;
                device.slice_rows(&outputs, device.tile_size()..device.shape(&outputs)[0])?
            }
            _ => forward(actions, &session.actions_pass)?,
        };
        self.state = None;
        self.suffix.project_velocity(device, &outputs)
    }
}
