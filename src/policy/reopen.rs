//! A policy whose device can get lost, and is opened again.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::{ActionChunk, Observation, OpenError, Policy, PolicyError, PolicyReport};
use crate::device::DeviceError;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

type Open = Box<dyn FnMut() -> Result<Box<dyn Policy + Send>, OpenError> + Send>;

/// Drops the policy when its device is lost and opens it again, each time after twice the wait. Until then every
/// prediction fails, so that nothing old is played as new.
pub(super) struct ReopenOnLoss {
    open: Open,
    policy: Option<Box<dyn Policy + Send>>,
    /// Why there is no policy, and when to try again.
    lost: String,
    next_try: Instant,
    wait: Duration,
    cameras: Vec<String>,
    state_dim: usize,
    action_dim: usize,
    action_horizon: usize,
    relative_actions: Vec<bool>,
    description: String,
}

impl ReopenOnLoss {
    /// # Errors
    /// When it cannot be opened the first time.
    pub fn new(mut open: Open) -> Result<Self, OpenError> {
        let policy = open()?;
        Ok(Self {
            lost: String::new(),
            next_try: Instant::now(),
            wait: FIRST_WAIT,
            cameras: policy.cameras().to_vec(),
            state_dim: policy.state_dim(),
            action_dim: policy.action_dim(),
            action_horizon: policy.action_horizon(),
            relative_actions: policy.relative_actions(),
            description: policy.description(),
            policy: Some(policy),
            open,
        })
    }

    /// What `predict` makes of the policy at `now`.
    fn with_policy(
        &mut self,
        now: Instant,
        predict: impl FnOnce(&mut dyn Policy) -> Result<ActionChunk, PolicyError>,
    ) -> Result<ActionChunk, PolicyError> {
        if self.policy.is_none() && now >= self.next_try {
            match (self.open)() {
                Ok(policy) => self.policy = Some(policy),
                Err(error) => self.wait_after(error.to_string(), now),
            }
        }
        let Some(policy) = &mut self.policy else {
            return Err(PolicyError::Device(DeviceError::Lost(self.lost.clone())));
        };
        let result = predict(&mut **policy);
        match &result {
            Ok(_) => self.wait = FIRST_WAIT,
            Err(PolicyError::Device(DeviceError::Lost(reason))) => {
                let reason = reason.clone();
                // The device is closed before it can be opened again.
                self.policy = None;
                self.wait_after(reason, now);
            }
            Err(_) => {}
        }
        result
    }

    fn wait_after(&mut self, reason: String, now: Instant) {
        self.lost = format!(
            "{reason}; it is opened again every {} s at most",
            LONGEST_WAIT.as_secs()
        );
        self.next_try = now + self.wait;
        self.wait = LONGEST_WAIT.min(2 * self.wait);
    }
}

impl Policy for ReopenOnLoss {
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        self.with_policy(Instant::now(), |policy| policy.predict(observation))
    }

    fn predict_after(
        &mut self,
        observation: &Observation,
        frozen: &ActionChunk,
    ) -> Result<ActionChunk, PolicyError> {
        self.with_policy(Instant::now(), |policy| policy.predict_after(observation, frozen))
    }

    fn set_denoise_steps(&mut self, steps: Option<NonZeroUsize>) -> Result<(), PolicyError> {
        let policy = self.policy.as_mut();
        policy.map_or(Ok(()), |policy| policy.set_denoise_steps(steps))
    }

    fn warm_up(&mut self, prompt: &str) -> Result<(), PolicyError> {
        let policy = self.policy.as_mut();
        policy.map_or(Ok(()), |policy| policy.warm_up(prompt))
    }

    fn cameras(&self) -> &[String] {
        &self.cameras
    }

    fn state_dim(&self) -> usize {
        self.state_dim
    }

    fn action_dim(&self) -> usize {
        self.action_dim
    }

    fn action_horizon(&self) -> usize {
        self.action_horizon
    }

    fn relative_actions(&self) -> Vec<bool> {
        self.relative_actions.clone()
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    /// Of no device while it is lost.
    fn report(&self) -> PolicyReport {
        self.policy
            .as_ref()
            .map(|policy| policy.report())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Fails as the prompt says.
    struct Simulated;

    impl Policy for Simulated {
        fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
            match observation.prompt.as_str() {
                "lose" => Err(PolicyError::Device(DeviceError::Lost("it hangs".to_owned()))),
                "misshape" => Err(PolicyError::StateLength {
                    found: 1,
                    expected: 2,
                }),
                _ => Ok(ActionChunk::new(vec![0.0; 2], 1)),
            }
        }
        fn cameras(&self) -> &[String] {
            &[]
        }
        fn state_dim(&self) -> usize {
            1
        }
        fn action_dim(&self) -> usize {
            1
        }
        fn action_horizon(&self) -> usize {
            2
        }
        fn description(&self) -> String {
            "simulated".to_owned()
        }
        fn report(&self) -> PolicyReport {
            PolicyReport {
                device: "a card".to_owned(),
                ..PolicyReport::default()
            }
        }
    }

    fn told(prompt: &str) -> Observation {
        Observation {
            images: BTreeMap::new(),
            state: vec![0.0],
            prompt: prompt.to_owned(),
        }
    }

    impl ReopenOnLoss {
        fn predict_at(
            &mut self,
            observation: &Observation,
            now: Instant,
        ) -> Result<ActionChunk, PolicyError> {
            self.with_policy(now, |policy| policy.predict(observation))
        }
    }

    /// A policy, and how often it was opened; it cannot be opened a second and a third time.
    fn reopening() -> (ReopenOnLoss, Arc<Mutex<usize>>) {
        let opened = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&opened);
        let open = move || -> Result<Box<dyn Policy + Send>, OpenError> {
            let mut opened = counter.lock().unwrap();
            *opened += 1;
            match *opened {
                2 | 3 => Err(OpenError::Device(DeviceError::Unavailable("in use".to_owned()))),
                _ => Ok(Box::new(Simulated)),
            }
        };
        (ReopenOnLoss::new(Box::new(open)).unwrap(), opened)
    }

    #[test]
    fn a_lost_device_is_opened_again_after_growing_waits() {
        let (mut policy, opened) = reopening();
        let start = Instant::now();
        let mut works_after = |seconds: u64, prompt: &str| {
            let works = policy
                .predict_at(&told(prompt), start + Duration::from_secs(seconds))
                .is_ok();
            (works, *opened.lock().unwrap())
        };
        assert_eq!(works_after(0, "wave"), (true, 1));
        assert_eq!(works_after(0, "lose"), (false, 1));
        assert_eq!(works_after(0, "wave"), (false, 1), "waits a second");
        assert_eq!(works_after(1, "wave"), (false, 2), "cannot be opened");
        assert_eq!(works_after(2, "wave"), (false, 2), "waits two seconds");
        assert_eq!(works_after(3, "wave"), (false, 3), "cannot be opened");
        assert_eq!(works_after(6, "wave"), (false, 3), "waits four seconds");
        assert_eq!(works_after(7, "wave"), (true, 4));
    }

    #[test]
    fn while_it_is_lost_the_error_says_why() {
        let (mut policy, _) = reopening();
        let now = Instant::now();
        assert_eq!(policy.report().device, "a card");
        let _ = policy.predict_at(&told("lose"), now);
        let error = policy.predict_at(&told("wave"), now).unwrap_err().to_string();
        assert!(error.contains("it hangs"), "{error}");
        assert_eq!(policy.report(), PolicyReport::default());
    }

    #[test]
    fn other_errors_keep_the_device_open() {
        let (mut policy, opened) = reopening();
        let now = Instant::now();
        assert!(policy.predict_at(&told("misshape"), now).is_err());
        assert!(policy.predict_at(&told("wave"), now).is_ok());
        assert_eq!(*opened.lock().unwrap(), 1);
    }
}
