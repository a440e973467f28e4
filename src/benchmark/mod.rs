//! Measurements of speed: the stages of a chunk, matrix products, start-up, the control rate beside inference, and a policy
//! through its server.

mod arithmetic;
mod captured;
pub mod card;
mod control_rate;
mod kernels;
mod peak;
mod products;
mod random_weights;
mod report;
#[cfg(feature = "server")]
mod server_load;
mod stages;
mod start_up;
mod workload;

pub use arithmetic::Arithmetic;
pub use captured::{CapturedReport, measure_captured};
pub use control_rate::{
    ControlRateError, ControlRateOptions, ControlRateReport, Ticks, measure_control_rate, measure_sleeping,
};
pub use kernels::{KernelProducts, measure_kernels};
pub use products::{PRODUCT_ROWS, Products, measure_products};
pub use random_weights::RandomWeights;
pub use report::{Report, Stage};
#[cfg(feature = "server")]
pub use server_load::{Load, RequestCost, ServerLoadError, measure_load, measure_request_cost};
pub use stages::measure_chunks;
pub use start_up::{StartUp, measure_start_up};
pub use workload::Workload;

use serde_json::Value;

use crate::model::Pi0Config;

/// Configuration with the sizes of the policy that comes with the package.
pub fn demo_sized() -> Pi0Config {
    const FITS: &str = "the package's own configuration fits the program";
    let read = |text| serde_json::from_str::<Value>(text).expect(FITS);
    let architecture = read(include_str!("../../checkpoints/aloha_sim/architecture.json"));
    let policy = read(include_str!("../../checkpoints/aloha_sim/config.json"));
    let mut config = serde_json::to_value(Pi0Config::pi0()).expect(FITS);
    for key in ["vision", "vlm", "expert", "vocab_size"] {
        config[key] = architecture[key].clone();
    }
    for key in ["max_state_dim", "max_action_dim"] {
        config[key] = policy[key].clone();
    }
    serde_json::from_value(config).expect(FITS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checkpoint::{CheckpointOptions, PolicyConfig};

    #[test]
    fn the_demo_s_sizes_are_those_of_the_shipped_checkpoint() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("checkpoints/aloha_sim");
        assert_eq!(
            demo_sized(),
            PolicyConfig::read(&folder, &CheckpointOptions::default())
                .unwrap()
                .model
        );
    }
}
