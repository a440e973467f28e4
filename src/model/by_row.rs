//! What differs by row: clean actions are conditioned on time 0, the others on the time of the step.

use crate::device::{Device, Result};

/// A part of the action expert at the time of a step and, where there are clean actions, at time 0 for their rows
/// (training-time real-time chunking, Black et al. 2025, arXiv 2512.05964).
pub struct ByRow<'a, T, D: Device> {
    of_step: &'a T,
    clean: Option<(&'a D::Tensor, &'a T)>,
}

impl<T, D: Device> Clone for ByRow<'_, T, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, D: Device> Copy for ByRow<'_, T, D> {}

impl<'a, T, D: Device> ByRow<'a, T, D> {
    /// `clean`: a mask `[rows, expert.width]` that is not 0 in clean rows, and the part that these have.
    pub fn new(of_step: &'a T, clean: Option<(&'a D::Tensor, &'a T)>) -> Self {
        Self {
            of_step,
            // π0's norms do not depend on the time.
            clean: clean.filter(|(_, clean)| !std::ptr::eq(*clean, of_step)),
        }
    }

    /// The same part for all rows.
    pub fn all(of_step: &'a T) -> Self {
        Self::new(of_step, None)
    }

    /// A part of this one.
    pub fn map<U>(self, part: impl Fn(&'a T) -> &'a U) -> ByRow<'a, U, D> {
        ByRow::new(
            part(self.of_step),
            self.clean.map(|(mask, clean)| (mask, part(clean))),
        )
    }

    /// A part of this one; `None` where it has none.
    pub fn and_then<U>(self, part: impl Fn(&'a T) -> Option<&'a U>) -> Option<ByRow<'a, U, D>> {
        let of_step = part(self.of_step)?;
        let clean = match self.clean {
            Some((mask, clean)) => Some((mask, part(clean)?)),
            None => None,
        };
        Some(ByRow::new(of_step, clean))
    }

    /// Computes rows, `[rows, expert.width]` or one `[expert.width]` that is the same for all, with the part that each
    /// row has.
    ///
    /// # Errors
    /// When the computation fails, or its result has not the shape of the mask.
    pub fn rows(self, device: &D, compute: impl Fn(&'a T) -> Result<D::Tensor>) -> Result<D::Tensor> {
        let of_step = compute(self.of_step)?;
        match self.clean {
            None => Ok(of_step),
            Some((mask, clean)) => device.select(mask, &compute(clean)?, &of_step),
        }
    }
}
