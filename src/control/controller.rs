//! One tick of control: chunks in, what the robot is to do out.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::axes::DistanceKind;
use super::safety::{following_error, limits_hold, workspace_hold};
use super::stop::stop;
use super::supervisor::Supervisor;
use super::takeover::TakeoverState;
use super::twist::{TwistSettings, twists};
use super::{
    Axes, ChunkPlayer, ChunkRefusal, Hold, HoldReason, JointLimits, Limiter, Plan, PlayerState, SafetyInputs,
    SupervisionSettings, TimedChunk, Trajectory, TrajectorySettings,
};

/// Settings of how the robot is moved.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlSettings {
    /// Settings of the published trajectory.
    pub trajectory: TrajectorySettings,
    /// Time between the waypoints of a limited trajectory.
    pub step: Duration,
    /// One per value of the robot's actions; none when no axis has any. Those of a pose are the edges of its workspace, of the
    /// first three values; the velocity and acceleration along its way, of the first one; and those about its axis, of the fourth.
    pub limits: Option<Arc<[JointLimits]>>,
    /// How fast an axis beyond its position limits may move back to them, in its unit per second; with 0 it is held.
    pub limit_return_velocity: f64,
    /// From standstill no axis is sent further than this from where it is, in its unit; one per value, or none for
    /// anywhere. Of a pose the first one is for the distance and the fourth one for the angle.
    pub max_start_jump: Arc<[f32]>,
    /// Largest distance of an axis from its command while a chunk is played, in its unit; as `max_start_jump`, or none
    /// for any distance.
    pub max_following_error: Arc<[f32]>,
    /// How a velocity follows each pose.
    pub twists: Arc<[TwistSettings]>,
    /// Whether an axis beyond that gives the robot to whoever moves it by hand.
    pub yields_to_hand: bool,
    /// Time to come to rest, where the acceleration limits do not ask for longer.
    pub stop_duration: Duration,
    /// Limits of the supervision.
    pub supervision: SupervisionSettings,
}

impl ControlSettings {
    /// Settings of a motion that nothing limits and nothing supervises, published as far as it is planned: for robots
    /// that somebody else watches, and as a beginning for other settings.
    pub fn unlimited(step: Duration) -> Self {
        Self {
            trajectory: TrajectorySettings {
                horizon: NonZeroUsize::MAX,
                look_ahead: Duration::MAX,
                history: Duration::ZERO,
                velocities: false,
            },
            step,
            limits: None,
            limit_return_velocity: 0.1,
            max_start_jump: [].into(),
            max_following_error: [].into(),
            twists: [].into(),
            yields_to_hand: false,
            stop_duration: Duration::from_millis(200),
            supervision: SupervisionSettings {
                max_age: Duration::MAX,
                max_run_time: None,
            },
        }
    }

    /// Velocity limit of a joint, by its index, that leaves a position.
    fn velocity_limit(&self, joint: usize, position: f32) -> f64 {
        self.limits.as_ref().map_or(f64::INFINITY, |limits| {
            limits[joint]
                .around(position.into(), self.limit_return_velocity)
                .velocity
        })
    }

    /// Settings without the limits of joints whose limits are impossible: such a robot is held, and only comes to rest.
    fn without_invalid_limits(&self) -> Self {
        let possible = |limits: &JointLimits| match limits.problem() {
            Some(_) => JointLimits::NONE,
            None => *limits,
        };
        let mut settings = self.clone();
        if let Some(limits) = &mut settings.limits
            && limits.iter().any(|limits| limits.problem().is_some())
        {
            *limits = limits.iter().map(possible).collect();
        }
        settings
    }
}

/// Result of one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Trajectory to publish; none for nothing.
    pub trajectory: Option<Trajectory>,
    /// State of the playback.
    pub state: PlayerState,
    /// Why the robot is held, while it is.
    pub hold: Option<Hold>,
    /// Why the chunk of this tick is not played.
    pub refusal: Option<ChunkRefusal>,
}

/// Plays chunks within the limits while the robot may move, and brings it to rest when it must not.
#[derive(Debug)]
pub struct Controller {
    player: ChunkPlayer,
    limiter: Option<Limiter>,
    /// Whether anything was published.
    has_moved: bool,
    supervisor: Supervisor,
    takeover: TakeoverState,
    hold: Option<Hold>,
    /// Whether the robot is to come to rest, and everything to be forgotten then.
    is_resetting: bool,
    newest_time: Duration,
}

impl Controller {
    /// A controller that waits for its first chunk. `axes`: of every action.
    pub fn new(axes: Axes) -> Self {
        Self {
            player: ChunkPlayer::new(axes),
            limiter: None,
            has_moved: false,
            supervisor: Supervisor::default(),
            takeover: TakeoverState::default(),
            hold: None,
            is_resetting: false,
            newest_time: Duration::ZERO,
        }
    }

    /// Brings the robot to rest, and forgets everything then: the next run begins where the robot is measured.
    pub fn reset(&mut self) {
        self.is_resetting = true;
    }

    /// The command from `now` on. `chunk` is one that arrived since the previous tick.
    pub fn tick(
        &mut self,
        now: Duration,
        chunk: Option<TimedChunk>,
        safety_inputs: &SafetyInputs,
        settings: &ControlSettings,
    ) -> Tick {
        if now < self.newest_time {
            *self = Self::new(self.player.axes().clone());
        }
        if self.is_resetting && self.published().is_none_or(|plan| plan.rests_from(now)) {
            let has_stopped = self
                .hold
                .as_ref()
                .is_some_and(|hold| hold.reason == HoldReason::Reset);
            *self = Self::new(self.player.axes().clone());
            if has_stopped {
                self.player.refuse_observations_before(now);
            }
        }
        self.newest_time = now;
        let published = self.published();
        let was_at_rest = published.as_ref().is_none_or(|plan| plan.rests_from(now));
        let told = published.map(|plan| plan.positions(now));
        let held_before = self.is_blocked();
        let was_taken_over = self.takeover.is_active;
        let hold = self.cause_to_hold(now, told, safety_inputs, settings);
        if was_taken_over
            && !self.takeover.is_active
            && let Some(measured) = &safety_inputs.measured
        {
            // From where it was left, the robot joins the next chunk as it would from a chunk before.
            self.player.hold(self.standstill(measured.clone(), now), now);
        }
        let settings = &settings.without_invalid_limits();
        let mut refusal = None;
        if let Some(hold) = hold {
            self.begin_hold(hold, now, settings);
        } else {
            if held_before {
                self.player.refuse_observations_before(now);
                self.hold = None;
            }
            if let Some(chunk) = chunk {
                refusal = self.offer(chunk, now, safety_inputs, settings).err();
                match &refusal {
                    None => self.hold = None,
                    Some(refused) => self.hold_for(refused, now, settings),
                }
            }
        }
        let mut plan = self.follow(now, safety_inputs, settings);
        if let Some(hold) = self.workspace_hold(now, plan.as_ref(), settings) {
            self.begin_hold(hold, now, settings);
            plan = self.follow(now, safety_inputs, settings);
        }
        let state = self.player.state();
        let others_may_move =
            safety_inputs.is_inactive || safety_inputs.other_publishers.is_some() || self.takeover.is_active;
        // A motion that was published and has not begun is ended by a stop, as is one that has.
        if others_may_move && was_at_rest && plan.as_ref().is_none_or(|plan| plan.rests_from(now)) {
            // The last command is not where the robot will be: the next run begins from where others leave it.
            plan = None;
            self.player = ChunkPlayer::new(self.player.axes().clone());
            self.limiter = None;
            self.has_moved = false;
        }
        self.has_moved |= plan.is_some();
        if state == PlayerState::Playing {
            self.supervisor.moves(now, safety_inputs.prompt_generation);
        }
        let why = match state {
            PlayerState::Playing => None,
            PlayerState::Waiting => Some(Hold::new(HoldReason::NoChunkYet, "waiting for the first chunk")),
            PlayerState::Holding => Some(Hold::new(
                HoldReason::ChunkSpent,
                "every action of the last chunk is played and no other one came",
            )),
        };
        Tick {
            trajectory: plan.map(|plan| {
                let velocity_limit = |joint, position| settings.velocity_limit(joint, position);
                let twists = twists(
                    &plan,
                    now,
                    settings.step,
                    safety_inputs.measured.as_deref(),
                    &settings.twists,
                    settings.limits.as_deref(),
                );
                Trajectory {
                    twists,
                    ..Trajectory::of(&plan, now, &settings.trajectory, velocity_limit)
                }
            }),
            state,
            hold: self.hold.clone().or(why),
            refusal,
        }
    }

    /// Since when the robot is commanded to stand still; none while a chunk is played.
    pub fn standstill_since(&self) -> Option<Duration> {
        self.player.standstill_since()
    }

    /// From when on an observation is to become the next chunk; never, while nothing but the end of its cause ends the
    /// hold.
    pub fn next_observation_due(&self) -> Duration {
        if self.is_blocked() {
            Duration::MAX
        } else {
            self.player.next_observation_due()
        }
    }

    /// The planned motion from the chunks, before limits; none while waiting.
    pub fn plan(&self) -> Option<&Plan> {
        self.player.plan()
    }

    /// The most actions that were played between an observation and the arrival of its chunk, of the newest chunks.
    pub fn played_before_arrival(&self) -> usize {
        self.player.played_before_arrival()
    }

    /// The highest-priority reason to hold that no chunk ends. `told`: where the axes are commanded to be.
    fn cause_to_hold(
        &mut self,
        now: Duration,
        told: Option<Vec<f32>>,
        safety_inputs: &SafetyInputs,
        settings: &ControlSettings,
    ) -> Option<Hold> {
        let supervised = self.supervisor.hold(now, safety_inputs, settings.supervision);
        let not_finite = safety_inputs.not_finite.clone();
        let not_finite = not_finite.map(|detail| Hold::new(HoldReason::NotFinite, detail));
        let plays = self.player.state() == PlayerState::Playing;
        let axes = self.player.axes();
        // While a chunk is played the sensors' noise at a limit is no reason to stop.
        let measured = safety_inputs.measured.as_deref().filter(|_| !plays);
        let known = [told.as_deref(), measured];
        let limits = limits_hold(axes, known.into_iter().flatten(), safety_inputs, settings);
        // After a hold for this reason, the joint has to reach its command.
        let lagged = self.hold.as_ref().map(|hold| hold.reason) == Some(HoldReason::FollowingError);
        let lags = match (&told, &safety_inputs.measured) {
            (Some(told), Some(measured)) if plays || lagged => {
                following_error(axes, told, measured, &settings.max_following_error)
            }
            _ => None,
        };
        let lags = match lags {
            Some(following_error) if settings.yields_to_hand => {
                self.takeover.moved_by_hand(&following_error, safety_inputs);
                None
            }
            lags => lags,
        };
        let takeover = self.takeover.hold(safety_inputs);
        let reset = self.is_resetting.then(|| {
            Hold::new(
                HoldReason::Reset,
                "the service ~/reset was called; the robot comes to rest, and waits for new inputs then",
            )
        });
        let causes = [supervised, takeover, reset, limits, lags, not_finite];
        causes.into_iter().flatten().min_by_key(|hold| hold.reason)
    }

    fn is_blocked(&self) -> bool {
        self.hold
            .as_ref()
            .is_some_and(|hold| !hold.reason.ends_with_a_chunk())
    }

    fn offer(
        &mut self,
        chunk: TimedChunk,
        now: Duration,
        safety_inputs: &SafetyInputs,
        settings: &ControlSettings,
    ) -> Result<(), ChunkRefusal> {
        self.player.advance(now);
        if let Some(measured) = &safety_inputs.measured
            && self.player.state() != PlayerState::Playing
        {
            let [alone, joined] = self.player.plans_with(&chunk, now)?;
            let takeover = alone.begin();
            self.check_start(measured, &alone.positions(takeover), settings)?;
            let published = match self.limiter(&joined, now, safety_inputs, settings) {
                Some((mut limiter, limits)) => {
                    let steps = (takeover - now).as_secs_f64() / settings.step.as_secs_f64();
                    let beyond = NonZeroUsize::MIN.saturating_add(steps as usize + 3);
                    limiter.follow(now, &joined, limits, settings.limit_return_velocity, beyond)
                }
                None => joined,
            };
            for time in [takeover, takeover + settings.step] {
                self.check_start(measured, &published.positions(time), settings)?;
            }
        }
        self.player.offer(chunk, now)
    }

    /// Compares where the robot would be sent first with where it is.
    fn check_start(
        &self,
        measured: &[f32],
        first: &[f32],
        settings: &ControlSettings,
    ) -> Result<(), ChunkRefusal> {
        let axes = self.player.axes();
        for (index, distance) in axes.layout().distances(measured, first) {
            let longest = settings.max_start_jump.get(index);
            let Some(&longest) = longest.filter(|&&longest| distance > longest) else {
                continue;
            };
            let of = axes.distance(index);
            return Err(match of.kind {
                DistanceKind::Joint => ChunkRefusal::StartJump {
                    joint: axes.names()[index].clone(),
                    from: measured[index],
                    to: first[index],
                    longest,
                },
                DistanceKind::Position | DistanceKind::Rotation => ChunkRefusal::StartDistance {
                    of: of.of,
                    distance,
                    unit: of.unit,
                    longest,
                    parameter: of.kind.max_start(),
                },
            });
        }
        Ok(())
    }

    /// A plan that stays at these positions.
    fn standstill(&self, positions: Vec<f32>, since: Duration) -> Plan {
        Plan::of(self.player.axes().layout().clone(), vec![(since, positions)])
    }

    /// The hold for a chunk that leads beyond a workspace, once the robot (`published`) is at its edge.
    fn workspace_hold(
        &self,
        now: Duration,
        published: Option<&Plan>,
        settings: &ControlSettings,
    ) -> Option<Hold> {
        let wanted = self
            .player
            .plan()
            .filter(|_| self.player.state() == PlayerState::Playing)?;
        let limits = settings.limits.as_deref()?;
        workspace_hold(
            self.player.axes(),
            &wanted.positions(now),
            &published?.positions(now),
            limits,
        )
    }

    fn hold_for(&mut self, refused: &ChunkRefusal, now: Duration, settings: &ControlSettings) {
        let reason = match refused {
            ChunkRefusal::NotFinite { .. } => HoldReason::NotFinite,
            ChunkRefusal::StartJump { .. } | ChunkRefusal::StartDistance { .. } => HoldReason::StartJump,
            _ => return,
        };
        self.begin_hold(Hold::new(reason, refused.to_string()), now, settings);
    }

    /// Brings the robot to rest, unless it is held already.
    fn begin_hold(&mut self, hold: Hold, now: Duration, settings: &ControlSettings) {
        let is_held = self.hold.replace(hold).is_some();
        if let Some(published) = self.published()
            && !is_held
        {
            let limits = settings.limits.as_deref().unwrap_or_default();
            let stop = stop(&published, now, limits, settings.stop_duration, settings.step);
            self.player.hold(published.until(now, stop), now);
        }
    }

    /// The motion commanded last.
    fn published(&self) -> Option<Plan> {
        let limited = self.limiter.as_ref().map(Limiter::published);
        limited.or_else(|| self.player.plan().cloned())
    }

    /// The motion from `now` on, within the limits; none while waiting.
    fn follow(
        &mut self,
        now: Duration,
        safety_inputs: &SafetyInputs,
        settings: &ControlSettings,
    ) -> Option<Plan> {
        self.player.advance(now);
        let wanted = self.player.plan();
        let limiter = wanted.and_then(|wanted| self.limiter(wanted, now, safety_inputs, settings));
        let Some((mut limiter, limits)) = limiter else {
            self.limiter = None;
            return self.player.plan().cloned();
        };
        let return_velocity = settings.limit_return_velocity;
        let plan = limiter.follow(now, wanted?, limits, return_velocity, settings.trajectory.horizon);
        self.limiter = Some(limiter);
        Some(plan)
    }

    /// The limiter of a plan, continuing the last command or, without one, from the measured position; none
    /// without limits.
    fn limiter<'a>(
        &self,
        wanted: &Plan,
        now: Duration,
        safety_inputs: &SafetyInputs,
        settings: &'a ControlSettings,
    ) -> Option<(Limiter, &'a [JointLimits])> {
        let limits = settings.limits.as_deref()?;
        let limiter = match &self.limiter {
            Some(limiter) if limiter.step() == settings.step => limiter.clone(),
            Some(limiter) => Limiter::going_on(&limiter.published(), now, settings.step),
            None if self.has_moved => Limiter::going_on(wanted, now, settings.step),
            None => {
                let measured = safety_inputs.measured.clone();
                let begin = wanted.begin().max(now);
                let told = self.standstill(measured.unwrap_or_else(|| wanted.positions(begin)), begin);
                Limiter::going_on(&told, begin, settings.step)
            }
        };
        Some((limiter, limits))
    }
}

#[cfg(test)]
mod tests;
