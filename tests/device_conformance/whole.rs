//! Captured work, transfers, and a policy as a whole.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use pi0_node::benchmark::{RandomWeights, demo_sized};
use pi0_node::device::{CpuDevice, Device, HostTensor, Precision};
use pi0_node::model::parameters::parameters;
use pi0_node::model::{Pi0, Pi0Config, Weights};

use crate::common::pearson::pearson_correlation;
use crate::common::prefix_input::PrefixInput;
use crate::common::values::values;
use crate::tested::Tested;

pub fn captured_work_reads_what_was_written_since<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let [mut x, mut y] = [(); 2].map(|()| tested.upload(&[0.0; 2], &[1, 2]));
    let step = tested.upload(&[1.0, -1.0], &[1, 2]);
    let mut trace = D::Trace::default();
    for turn in 1..5 {
        let values = [turn as f32, 10.0];
        device.write(&mut x, &values).unwrap();
        device
            .run_captured(&mut trace, &[&x], || device.copy(&device.add(&x, &step)?, &mut y))
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
            let owned = HostTensor {
                dtype: tensor.dtype,
                shape: tensor.shape,
                bytes: Cow::Owned(tensor.bytes.into_owned()),
            };
            (parameter.name, owned)
        });
        Self(drawn.collect())
    }
}

impl Weights for DrawnWeights {
    fn tensor(&self, name: &str) -> HostTensor<'_> {
        self.0[name].clone()
    }
}

/// Actions of the policy of the shipped size, with two cameras, one of them absent, and a padded prompt.
fn small_policy_s_actions<D: Device>(device: D) -> Vec<f32> {
    static WEIGHTS: LazyLock<DrawnWeights> = LazyLock::new(|| DrawnWeights::new(&demo_sized()));
    let config = demo_sized();
    let noise = values(config.action_horizon * config.max_action_dim, 23);
    let image = values(3 * config.vision.image_size.pow(2), 24);
    let state = values(config.max_state_dim, 25);
    let pi0 = Pi0::new(config, device, &*WEIGHTS).unwrap();
    let input = PrefixInput {
        images: &[Some(image.clone()), None, Some(image)],
        tokens: &[2, 5, 7, 0, 0],
        valid_tokens: 3,
    };
    let mut session = input.prefill(&pi0).unwrap();
    let schedule = pi0.schedule(4).unwrap();
    pi0.sample_actions(&mut session, &state, &noise, &[], &schedule)
        .unwrap()
}

pub fn a_small_policy_s_actions_are_those_of_f32<D: Device>(tested: Tested<D>) {
    static REFERENCE: LazyLock<Vec<f32>> =
        LazyLock::new(|| small_policy_s_actions(CpuDevice::new(Precision::F32, 2).unwrap()));
    let name = tested.device.description();
    let actions = small_policy_s_actions(tested.device);
    assert_eq!(actions.len(), REFERENCE.len(), "{name}");
    if tested.computes {
        let correlation = pearson_correlation(&actions, &REFERENCE);
        assert!(correlation >= 1.0 - tested.tolerance, "{name}: {correlation}");
    }
}
