//! A policy whose device can get lost, and is opened again.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::action_prefix::ActionPrefix;
use super::chunk::{ActionChunk, Observation};
use super::error::{OpenError, PolicyError};
use super::report::PolicyReport;
use super::{Policy, PolicyInfo};
use crate::device::DeviceError;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

type Open = Box<dyn FnMut() -> Result<Box<dyn Policy + Send>, OpenError> + Send>;

/// What brings a device back that hangs: opening it again does not.
pub(super) enum Recovery {
    /// This call, before the device is opened again.
    Reset(Box<dyn FnMut() -> Result<(), String> + Send>),
    /// What a person has to do, in words.
    ByHand(String),
}

/// Drops the policy when its device is lost and opens it again, each time after twice the wait; a device that hangs
/// is reset before, if that is allowed, and else stays lost. Until then every prediction fails, so that nothing old
/// is played as new. A policy that was opened again has the denoising steps of the one before, and is warmed up if
/// that one was.
pub(super) struct ReopenOnLoss {
    open: Open,
    recovery: Recovery,
    /// Whether the device hangs, and has not been reset since.
    hangs: bool,
    policy: Option<Box<dyn Policy + Send>>,
    info: PolicyInfo,
    denoise_steps: Option<NonZeroUsize>,
    client: u64,
    /// Prompt of the newest chunk, once the policy was warmed up.
    warm_prompt: Option<String>,
    /// Why there is no policy.
    loss: String,
    next_attempt: Instant,
    wait: Duration,
}

impl ReopenOnLoss {
    /// Opens the policy the first time.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn new(mut open: Open, recovery: Recovery) -> Result<Self, OpenError> {
        let policy = open()?;
        Ok(Self {
            info: policy.info().clone(),
            policy: Some(policy),
            open,
            recovery,
            hangs: false,
            denoise_steps: None,
            client: 0,
            warm_prompt: None,
            loss: String::new(),
            next_attempt: Instant::now(),
            wait: FIRST_WAIT,
        })
    }

    /// Predicts with the policy, which is opened again if it is lost and `now` is late enough.
    fn predict_with<T>(
        &mut self,
        now: Instant,
        prompt: &str,
        predict: impl FnOnce(&mut dyn Policy) -> Result<T, PolicyError>,
    ) -> Result<T, PolicyError> {
        let is_for_good = self.hangs && matches!(self.recovery, Recovery::ByHand(_));
        if self.policy.is_none() && now >= self.next_attempt && !is_for_good {
            match self.recover().and_then(|()| self.reopen()) {
                Ok(policy) => self.policy = Some(policy),
                Err(reason) => self.wait_after(reason, now),
            }
        }
        let Some(policy) = &mut self.policy else {
            return Err(PolicyError::Device(DeviceError::Lost(self.loss.clone())));
        };
        let result = predict(&mut **policy);
        if result.is_ok() {
            self.wait = FIRST_WAIT;
            if let Some(warm_prompt) = &mut self.warm_prompt
                && warm_prompt != prompt
            {
                prompt.clone_into(warm_prompt);
            }
        }
        self.watched(result, now)
    }

    /// Resets a device that hangs.
    fn recover(&mut self) -> Result<(), String> {
        if let Recovery::Reset(reset) = &mut self.recovery
            && self.hangs
        {
            tracing::warn!("the device is reset, for it hangs: {}", self.loss);
            reset()?;
            self.hangs = false;
        }
        Ok(())
    }

    /// Opens the policy in the state of the one that was lost.
    fn reopen(&mut self) -> Result<Box<dyn Policy + Send>, String> {
        let opened = (self.open)();
        if let Err(OpenError::Device(DeviceError::Hung(_))) = &opened {
            self.hangs = true;
        }
        let mut policy = opened.map_err(|error| error.to_string())?;
        policy.select_client(self.client);
        let prepared = policy
            .set_denoise_steps(self.denoise_steps)
            .and_then(|()| match &self.warm_prompt {
                Some(prompt) => policy.warm_up(prompt),
                None => Ok(()),
            });
        if let Err(PolicyError::Device(DeviceError::Hung(_))) = &prepared {
            self.hangs = true;
        }
        prepared.map_err(|error| error.to_string())?;
        Ok(policy)
    }

    /// Returns a result of the policy, which is dropped if its device is lost.
    fn watched<T>(&mut self, result: Result<T, PolicyError>, now: Instant) -> Result<T, PolicyError> {
        if let Err(PolicyError::Device(error @ (DeviceError::Lost(reason) | DeviceError::Hung(reason)))) =
            &result
        {
            // The device is closed before it can be reset or opened again.
            self.policy = None;
            self.hangs = matches!(error, DeviceError::Hung(_));
            self.wait_after(reason.clone(), now);
        }
        result
    }

    fn wait_after(&mut self, reason: String, now: Instant) {
        let seconds = LONGEST_WAIT.as_secs();
        self.loss = match (self.hangs, &self.recovery) {
            (true, Recovery::ByHand(remedy)) => format!("{reason}; {remedy}"),
            (true, Recovery::Reset(_)) => {
                format!("{reason}; it is reset and opened again every {seconds} s at most")
            }
            (false, _) => format!("{reason}; it is opened again every {seconds} s at most"),
        };
        self.next_attempt = now + self.wait;
        self.wait = LONGEST_WAIT.min(2 * self.wait);
    }
}

impl Policy for ReopenOnLoss {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        self.predict_with(Instant::now(), &observation.prompt, |policy| {
            policy.predict(observation)
        })
    }

    fn predict_after(
        &mut self,
        observation: &Observation,
        prefix: &ActionPrefix,
    ) -> Result<ActionChunk, PolicyError> {
        self.predict_with(Instant::now(), &observation.prompt, |policy| {
            policy.predict_after(observation, prefix)
        })
    }

    fn set_denoise_steps(&mut self, steps: Option<NonZeroUsize>) -> Result<(), PolicyError> {
        self.denoise_steps = steps;
        let policy = self.policy.as_mut();
        let set = policy.map_or(Ok(()), |policy| policy.set_denoise_steps(steps));
        self.watched(set, Instant::now())
    }

    fn warm_up(&mut self, prompt: &str) -> Result<(), PolicyError> {
        let policy = self.policy.as_mut();
        let warm = policy.map_or(Ok(()), |policy| policy.warm_up(prompt));
        if warm.is_ok() {
            self.warm_prompt = Some(prompt.to_owned());
        }
        self.watched(warm, Instant::now())
    }

    fn compile_ahead(&mut self, begin: &mut dyn FnMut(&str)) -> Result<(), PolicyError> {
        let policy = self.policy.as_mut();
        let compiled = policy.map_or(Ok(()), |policy| policy.compile_ahead(begin));
        self.watched(compiled, Instant::now())
    }

    fn select_client(&mut self, client: u64) {
        self.client = client;
        if let Some(policy) = &mut self.policy {
            policy.select_client(client);
        }
    }

    fn forget_client(&mut self, client: u64) {
        if let Some(policy) = &mut self.policy {
            policy.forget_client(client);
        }
    }

    /// Nothing is known while the device is lost.
    fn report(&self) -> PolicyReport {
        self.policy
            .as_ref()
            .map(|policy| policy.report())
            .unwrap_or_default()
    }

    fn flow_matching_loss(
        &mut self,
        observation: &Observation,
        recorded: &ActionChunk,
        noise: u64,
    ) -> Result<Vec<[f64; 2]>, PolicyError> {
        self.predict_with(Instant::now(), &observation.prompt, |policy| {
            policy.flow_matching_loss(observation, recorded, noise)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex, MutexGuard};

    use super::*;

    /// Calls of all policies that were opened one after the other.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl Log {
        fn note(&self, call: impl Into<String>) {
            self.calls().push(call.into());
        }

        fn calls(&self) -> MutexGuard<'_, Vec<String>> {
            self.0.lock().unwrap()
        }

        fn opened(&self) -> usize {
            self.calls().iter().filter(|call| *call == "open").count()
        }
    }

    /// Fails as the prompt demands.
    struct Simulated {
        info: PolicyInfo,
        log: Log,
    }

    impl Policy for Simulated {
        fn info(&self) -> &PolicyInfo {
            &self.info
        }
        fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
            self.log.note("predict");
            match observation.prompt.as_str() {
                "lose" => Err(PolicyError::Device(DeviceError::Lost("it hangs".to_owned()))),
                "hang" => Err(PolicyError::Device(DeviceError::Hung("no answer".to_owned()))),
                "misshape" => Err(PolicyError::StateLength {
                    found: 1,
                    expected: 2,
                }),
                _ => Ok(ActionChunk::new(vec![0.0; 2], 1)),
            }
        }
        fn set_denoise_steps(&mut self, steps: Option<NonZeroUsize>) -> Result<(), PolicyError> {
            match steps {
                Some(NonZeroUsize::MAX) => Err(PolicyError::Device(DeviceError::Lost("it hangs".to_owned()))),
                _ => {
                    let steps = steps.map_or(0, NonZeroUsize::get);
                    self.log.note(format!("{steps} steps"));
                    Ok(())
                }
            }
        }
        fn warm_up(&mut self, prompt: &str) -> Result<(), PolicyError> {
            self.log.note(format!("warm up to {prompt}"));
            Ok(())
        }
        fn select_client(&mut self, client: u64) {
            self.log.note(format!("client {client}"));
        }
        fn report(&self) -> PolicyReport {
            PolicyReport {
                device: "a card".to_owned(),
                ..PolicyReport::default()
            }
        }
    }

    fn observation(prompt: &str) -> Observation {
        Observation {
            images: BTreeMap::new(),
            state: vec![0.0],
            prompt: prompt.to_owned(),
        }
    }

    impl ReopenOnLoss {
        fn predict_at(&mut self, prompt: &str, now: Instant) -> Result<ActionChunk, PolicyError> {
            self.predict_with(now, prompt, |policy| policy.predict(&observation(prompt)))
        }
    }

    /// A policy that cannot be opened a second and a third time.
    fn reopening() -> (ReopenOnLoss, Log) {
        recovering(Recovery::ByHand("reset it".to_owned()))
    }

    fn recovering(recovery: Recovery) -> (ReopenOnLoss, Log) {
        let log = Log::default();
        let noted = log.clone();
        let open = move || -> Result<Box<dyn Policy + Send>, OpenError> {
            noted.note("open");
            match noted.opened() {
                2 | 3 => Err(OpenError::Device(DeviceError::Unavailable("in use".to_owned()))),
                _ => Ok(Box::new(Simulated {
                    info: PolicyInfo::default(),
                    log: noted.clone(),
                })),
            }
        };
        (ReopenOnLoss::new(Box::new(open), recovery).unwrap(), log)
    }

    #[test]
    fn a_lost_device_is_opened_again_after_growing_waits() {
        let (mut policy, log) = reopening();
        let start = Instant::now();
        let mut works_after = |seconds: u64, prompt: &str| {
            let works = policy
                .predict_at(prompt, start + Duration::from_secs(seconds))
                .is_ok();
            (works, log.opened())
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
    fn a_device_that_is_opened_again_keeps_its_denoising_steps_and_is_warmed_up_before_it_predicts() {
        let (mut policy, log) = reopening();
        let start = Instant::now();
        policy.warm_up("wave").unwrap();
        policy.set_denoise_steps(NonZeroUsize::new(5)).unwrap();
        policy.predict_at("point", start).unwrap();
        policy.predict_at("lose", start).unwrap_err();
        policy.set_denoise_steps(NonZeroUsize::new(7)).unwrap();
        for seconds in [1, 3] {
            let now = start + Duration::from_secs(seconds);
            policy.predict_at("wave", now).unwrap_err();
        }
        log.calls().clear();
        // The log is empty, so that this is the first time.
        policy.predict_at("wave", start + Duration::from_secs(7)).unwrap();
        assert_eq!(
            *log.calls(),
            ["open", "client 0", "7 steps", "warm up to point", "predict"]
        );
    }

    #[test]
    fn a_device_that_was_not_warmed_up_is_not_when_it_is_opened_again() {
        let (mut policy, log) = reopening();
        let start = Instant::now();
        policy.predict_at("lose", start).unwrap_err();
        log.calls().clear();
        policy.predict_at("wave", start + Duration::from_secs(1)).unwrap();
        assert_eq!(*log.calls(), ["open", "client 0", "0 steps", "predict"]);
    }

    #[test]
    fn a_device_that_is_lost_while_its_steps_are_set_is_opened_again() {
        let (mut policy, log) = reopening();
        assert!(policy.set_denoise_steps(Some(NonZeroUsize::MAX)).is_err());
        policy.set_denoise_steps(None).unwrap();
        log.calls().clear();
        policy
            .predict_at("wave", Instant::now() + Duration::from_secs(1))
            .unwrap();
        assert_eq!(*log.calls(), ["open", "client 0", "0 steps", "predict"]);
    }

    #[test]
    fn a_device_that_is_opened_again_serves_the_client_that_was_selected() {
        let (mut policy, log) = reopening();
        policy.select_client(4);
        policy.predict_at("lose", Instant::now()).unwrap_err();
        policy.select_client(5);
        log.calls().clear();
        policy
            .predict_at("wave", Instant::now() + Duration::from_secs(1))
            .unwrap();
        assert_eq!(*log.calls(), ["open", "client 5", "0 steps", "predict"]);
    }

    #[test]
    fn a_device_that_hangs_is_not_opened_again_where_it_may_not_be_reset() {
        let (mut policy, log) = reopening();
        let start = Instant::now();
        policy.predict_at("hang", start).unwrap_err();
        log.calls().clear();
        let error = policy
            .predict_at("wave", start + Duration::from_secs(3600))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no answer; reset it"), "{error}");
        assert_eq!(log.opened(), 0);
    }

    #[test]
    fn a_device_that_hangs_is_reset_before_it_is_opened_again_where_that_is_allowed() {
        let resets = Log::default();
        let noted = resets.clone();
        let reset = move || {
            noted.note("open");
            match noted.opened() {
                1 => Err("no such program".to_owned()),
                _ => Ok(()),
            }
        };
        let (mut policy, log) = recovering(Recovery::Reset(Box::new(reset)));
        let start = Instant::now();
        let mut after = |seconds: u64, prompt: &str| {
            let predicted = policy.predict_at(prompt, start + Duration::from_secs(seconds));
            let why = predicted.err().map(|error| error.to_string());
            (why, resets.opened(), log.opened())
        };
        let (_, reset, opened) = after(0, "hang");
        assert_eq!((reset, opened), (0, 1));
        let (why, reset, opened) = after(1, "wave");
        assert!(
            why.unwrap()
                .contains("no such program; it is reset and opened again")
        );
        assert_eq!((reset, opened), (1, 1), "not opened while it hangs");
        let (_, reset, opened) = after(3, "wave");
        assert_eq!((reset, opened), (2, 2), "reset, and cannot be opened yet");
        let (_, reset, opened) = after(7, "wave");
        assert_eq!((reset, opened), (2, 3), "reset once");
        assert_eq!(after(15, "wave"), (None, 2, 4));
    }

    #[test]
    fn a_device_that_is_lost_and_does_not_hang_is_not_reset() {
        let reset = || -> Result<(), String> { panic!("it does not hang") };
        let (mut policy, log) = recovering(Recovery::Reset(Box::new(reset)));
        let start = Instant::now();
        policy.predict_at("lose", start).unwrap_err();
        policy
            .predict_at("wave", start + Duration::from_secs(1))
            .unwrap_err();
        assert_eq!(log.opened(), 2);
    }

    #[test]
    fn while_it_is_lost_the_error_says_why() {
        let (mut policy, _) = reopening();
        let now = Instant::now();
        assert_eq!(policy.report().device, "a card");
        let _ = policy.predict_at("lose", now);
        let error = policy.predict_at("wave", now).unwrap_err().to_string();
        assert!(error.contains("it hangs"), "{error}");
        assert_eq!(policy.report(), PolicyReport::default());
    }

    #[test]
    fn other_errors_keep_the_device_open() {
        let (mut policy, log) = reopening();
        let now = Instant::now();
        assert!(policy.predict_at("misshape", now).is_err());
        assert!(policy.predict_at("wave", now).is_ok());
        assert_eq!(log.opened(), 1);
    }
}
