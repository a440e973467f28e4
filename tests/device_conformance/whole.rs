//! Captured work, transfers, and a policy as a whole.

use std::collections::HashMap;
use std::sync::LazyLock;

use pi0_node::benchmark::{RandomWeights, demo_sized};
use pi0_node::device::{CpuDevice, Device, HostTensor, Precision};
use pi0_node::model::parameters::parameters;
use pi0_node::model::{ActionPrefix, Conditioning, ModelType, Pi0, Pi0Config, Weights};

use crate::common::pearson::pearson_correlation;
use crate::common::prefix_input::PrefixInput;
use crate::common::values::values;
use crate::tested::Tested;

/// Actions of the chunk before that a chunk goes on from.
const CLEAN_ACTIONS: usize = 4;

pub fn captured_work_reads_what_was_written_since<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let [mut x, mut y] = [(); 2].map(|()| tested.upload(&[0.0; 2], &[1, 2]));
    let step = tested.upload(&[1.0, -1.0], &[1, 2]);
    let mut trace = D::Trace::default();
    for turn in 1..5 {
        let values = [turn as f32, 10.0];
        device.write(&mut x, &values).unwrap();
        device
            .run_captured(&mut trace, [&x], || device.copy(&device.add(&x, &step)?, &mut y))
            .unwrap();
        let expected = [f64::from(turn) + 1.0, 9.0];
        tested.expect(&format!("turn {turn}"), Ok(y.clone()), &[1, 2], &expected);
    }
    tested.refuse("values", device.write(&mut x, &[1.0; 3]));
    tested.refuse("shapes", device.copy(&tested.upload(&[0.0; 2], &[2, 1]), &mut y));
}

pub fn uploads_are_checked_and_read_backs_are_counted<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    tested.refuse("values", device.upload(&[1.0; 3], &[2, 2]));
    let x = tested.upload(&[1.0, 2.0], &[1, 2]);
    let before = device.read_backs();
    tested.expect("read back", Ok(x), &[1, 2], &[1.0, 2.0]);
    assert_eq!(device.read_backs(), before + 1);
}

/// Random weights, each drawn once: drawing takes longer than a chunk of a small policy.
struct DrawnWeights(HashMap<String, HostTensor<'static>>);

impl DrawnWeights {
    fn new(config: &Pi0Config) -> Self {
        let weights = RandomWeights::new(config);
        let drawn = parameters(config).into_iter().map(|parameter| {
            let tensor = weights.tensor(&parameter.name);
            (parameter.name, tensor.into_owned())
        });
        Self(drawn.collect())
    }
}

impl Weights for DrawnWeights {
    fn tensor(&self, name: &str) -> HostTensor<'_> {
        self.0[name].clone()
    }
}

fn config(model_type: ModelType) -> Pi0Config {
    Pi0Config {
        model_type,
        rtc_training_max_delay: CLEAN_ACTIONS,
        ..demo_sized()
    }
}

/// Actions of the policy of the shipped size, with two cameras, one of them absent, and a padded prompt: of a chunk that
/// begins anew, and of one that goes on from clean actions.
fn small_policy_s_actions<D: Device>(model_type: ModelType, device: D) -> Vec<f32> {
    static PI0: LazyLock<DrawnWeights> = LazyLock::new(|| DrawnWeights::new(&config(ModelType::Pi0)));
    static PI05: LazyLock<DrawnWeights> = LazyLock::new(|| DrawnWeights::new(&config(ModelType::Pi05)));
    let weights: &DrawnWeights = match model_type {
        ModelType::Pi0 => &PI0,
        ModelType::Pi05 => &PI05,
    };
    let config = config(model_type);
    let noise = values(config.action_horizon * config.max_action_dim, 23);
    let image = values(3 * config.vision.image_size.pow(2), 24);
    let state = values(config.state_width(), 25);
    let pi0 = Pi0::new(config, device, weights).unwrap();
    let input = PrefixInput {
        images: &[Some(image.clone()), None, Some(image)],
        tokens: &[2, 5, 7, 0, 0],
        valid_tokens: 3,
    };
    let mut session = input.prefill(&pi0).unwrap();
    let schedule = pi0.schedule(4).unwrap();
    let clean = values(CLEAN_ACTIONS * pi0.config.max_action_dim, 26);
    let prefix = ActionPrefix {
        actions: &clean,
        conditioning: Conditioning::Trained,
    };
    let mut actions = pi0
        .sample_actions(&mut session, &state, &noise, None, &schedule)
        .unwrap();
    let after_clean = pi0.sample_actions(&mut session, &state, &noise, Some(&prefix), &schedule);
    actions.extend(after_clean.unwrap());
    actions
}

pub fn a_small_policy_s_actions_are_those_of_f32<D: Device>(tested: Tested<D>) {
    static REFERENCE: LazyLock<Vec<f32>> = LazyLock::new(|| actions_in_f32(ModelType::Pi0));
    expect_actions(tested, ModelType::Pi0, &REFERENCE);
}

pub fn a_small_pi05_s_actions_are_those_of_f32<D: Device>(tested: Tested<D>) {
    static REFERENCE: LazyLock<Vec<f32>> = LazyLock::new(|| actions_in_f32(ModelType::Pi05));
    expect_actions(tested, ModelType::Pi05, &REFERENCE);
}

fn actions_in_f32(model_type: ModelType) -> Vec<f32> {
    small_policy_s_actions(model_type, CpuDevice::new(Precision::F32, 2).unwrap())
}

fn expect_actions<D: Device>(tested: Tested<D>, model_type: ModelType, expected: &[f32]) {
    let name = tested.device.description();
    let actions = small_policy_s_actions(model_type, tested.device);
    assert_eq!(actions.len(), expected.len(), "{name}");
    if tested.computes {
        let correlation = pearson_correlation(&actions, expected);
        assert!(correlation >= 1.0 - tested.tolerance, "{name}: {correlation}");
    }
}
