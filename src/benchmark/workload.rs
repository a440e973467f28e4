//! Workload of a benchmark.

/// Inputs of a chunk, and the number of chunks.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Cameras, each with a new frame.
    pub cameras: usize,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Euler steps from noise to actions.
    pub denoise_steps: usize,
    /// Chunks that are made first and not measured: they find caches and branch predictors cold.
    pub warm_up: usize,
    /// Chunks that are measured.
    pub repeats: usize,
}
