//! Runs in simulated time, with control's report as a test sets it.

use super::*;
use crate::control::{Blending, ControlSettings};
use crate::observation::{Clock, InputTopics, Inputs, JointStatesTopic};
use crate::parameters::{GoalSettings, RuntimeSettings};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A node of one joint that plays a chunk at 10 s.
fn node() -> Arc<NodeState> {
    let settings = RuntimeSettings {
        control_period: ms(20),
        action_period: ms(20),
        execution_horizon: None,
        blending: Blending::default(),
        control: ControlSettings::unlimited(ms(20)),
        vision_refresh: Arc::default(),
        denoise_steps: None,
        goals: GoalSettings::default(),
        added_inference_latency: Duration::ZERO,
    };
    let topics = InputTopics {
        joint_states: vec![JointStatesTopic::default()],
        ..InputTopics::default()
    };
    let clock = Clock::simulated();
    clock.set(ms(10_000));
    let state = NodeState::of(clock, Inputs::new(&topics, &["waist".to_owned()]), settings);
    state.is_active.store(true, Ordering::Release);
    Arc::new(state)
}

fn request() -> RunRequest {
    RunRequest::new("wave".to_owned(), 0.0, 0.0, 0.0).unwrap()
}

fn begun(state: &Arc<NodeState>, request: RunRequest) -> Run {
    let run = Run::begin(state, request, &[0].into()).unwrap();
    ticks(state, PlayerState::Playing, None);
    run
}

/// Control reports a tick for the newest prompt.
fn ticks(state: &NodeState, player: PlayerState, hold: Option<HoldReason>) {
    let now = state.clock.now();
    let mut control = state.control.lock();
    control.ticks += 1;
    control.prompt_generation = state.inputs.at_a_tick(Locking::Wait).unwrap().prompt_generation;
    control.state = player;
    control.hold = hold.map(|reason| Hold::new(reason, "a test"));
    control.standstill_since = now.filter(|_| player != PlayerState::Playing);
}

fn prompt_of(state: &NodeState) -> Option<String> {
    let inputs = state.inputs.report().into_iter();
    inputs
        .filter(|input| input.age.is_some())
        .find_map(|input| input.prompt)
}

/// The outcome of a run that has ended, once the robot rests.
fn outcome(state: &NodeState, run: &mut Run) -> RunOutcome {
    ticks(state, PlayerState::Holding, Some(HoldReason::GoalOver));
    match run.look() {
        RunLook::Over(outcome) => outcome,
        RunLook::Going(progress) => panic!("it goes on: {progress:?}"),
    }
}

fn progress(run: &mut Run) -> RunProgress {
    match run.look() {
        RunLook::Going(progress) => *progress,
        RunLook::Over(outcome) => panic!("it is over: {outcome:?}"),
    }
}

fn measured(state: &NodeState, position: f32) {
    let now = state.clock.now().unwrap();
    state.inputs.take_joint_positions(0, Ok(vec![(0, position)]), now);
}

#[test]
fn a_run_does_not_begin_while_the_node_must_not_move_the_robot() {
    let state = node();
    state.is_active.store(false, Ordering::Release);
    let refused = || {
        Run::begin(&state, request(), &[0].into())
            .map(|_| ())
            .unwrap_err()
    };
    assert_eq!(refused(), RunRefusal::Inactive);
    state.is_active.store(true, Ordering::Release);
    for command in [Command::Disabled, Command::Stopped] {
        state.command.set(command);
        assert_eq!(refused(), RunRefusal::NotEnabled(command));
    }
    assert_eq!(prompt_of(&state), None, "no refused run gives its prompt");
    let without_time = NodeState::of(
        Clock::simulated(),
        Inputs::new(&InputTopics::default(), &[]),
        state.settings.get(),
    );
    without_time.is_active.store(true, Ordering::Release);
    assert!(matches!(Run::check(&without_time), Err(RunRefusal::NoTime(why)) if why.contains("/clock")));
}

#[test]
fn a_run_ends_at_its_longest_duration_and_its_result_waits_for_the_rest() {
    let state = node();
    let mut run = begun(&state, RunRequest::new("wave".to_owned(), 1.5, 0.0, 0.0).unwrap());
    assert_eq!(prompt_of(&state).as_deref(), Some("wave"));
    assert_eq!(progress(&mut run).status, RunStatus::Playing);
    state.clock.set(ms(11_400));
    assert_eq!(progress(&mut run).elapsed, ms(1400));
    state.clock.set(ms(11_600));
    assert_eq!(progress(&mut run).status, RunStatus::Stopping);
    assert_eq!(prompt_of(&state), None);
    let over = state.goal_over.get().unwrap();
    assert!(over.detail.contains("timeout"), "{over:?}");
    let outcome = outcome(&state, &mut run);
    assert_eq!(
        (outcome.termination, outcome.elapsed),
        (Termination::Timeout, ms(1600))
    );
}

#[test]
fn simulated_time_that_jumps_back_does_not_lengthen_a_run() {
    let state = node();
    let mut run = begun(&state, request());
    progress(&mut run);
    for now in [ms(11_000), ms(2000), ms(2500)] {
        state.clock.set(now);
        progress(&mut run);
    }
    assert_eq!(progress(&mut run).elapsed, ms(1500));
}

#[test]
fn joints_that_come_to_rest_after_a_motion_are_a_success() {
    let state = node();
    let mut run = begun(&state, RunRequest::new("wave".to_owned(), 0.0, 0.5, 0.0).unwrap());
    for (now, position) in [(10_000, 0.0), (11_000, 0.0), (11_500, 1.0), (11_900, 1.005)] {
        state.clock.set(ms(now));
        measured(&state, position);
        assert_eq!(progress(&mut run).status, RunStatus::Playing, "{now}");
    }
    state.clock.set(ms(12_000));
    run.look();
    let outcome = outcome(&state, &mut run);
    assert_eq!(outcome.termination, Termination::Completed);
    assert!(outcome.message.contains("0.5 s"), "{outcome:?}");
}

#[test]
fn a_robot_that_rests_because_it_is_held_is_no_success() {
    let state = node();
    let mut run = begun(&state, RunRequest::new("wave".to_owned(), 0.0, 0.5, 0.0).unwrap());
    for (now, position) in [(10_000, 0.0), (10_500, 1.0)] {
        state.clock.set(ms(now));
        measured(&state, position);
        progress(&mut run);
    }
    ticks(&state, PlayerState::Holding, Some(HoldReason::StaleCamera));
    state.clock.set(ms(13_000));
    let progress = progress(&mut run);
    assert_eq!(progress.hold.unwrap().reason, HoldReason::StaleCamera);
}

#[test]
fn stop_disable_and_deactivation_end_a_run() {
    type End = fn(&NodeState);
    let ends: [(End, Termination); 3] = [
        (|state| state.command.set(Command::Stopped), Termination::Stopped),
        (|state| state.command.set(Command::Disabled), Termination::Stopped),
        (
            |state| state.is_active.store(false, Ordering::Release),
            Termination::NodeDeactivated,
        ),
    ];
    for (end, expected) in ends {
        let state = node();
        let mut run = begun(&state, request());
        progress(&mut run);
        end(&state);
        run.look();
        assert_eq!(
            prompt_of(&state),
            None,
            "nothing goes on by itself after {expected:?}"
        );
        assert_eq!(outcome(&state, &mut run).termination, expected);
    }
}

#[test]
fn another_prompt_ends_a_run_at_once_and_is_played() {
    let state = node();
    let mut run = begun(&state, request());
    state.inputs.take_prompt("dance");
    assert!(matches!(run.look(), RunLook::Over(over) if over.termination == Termination::PromptChanged));
    assert_eq!(prompt_of(&state).as_deref(), Some("dance"));
    assert_eq!(
        state.goal_over.get(),
        None,
        "the robot goes on with the new prompt"
    );
}

#[test]
fn a_run_that_is_replaced_leaves_the_robot_to_the_next_one_without_a_hold() {
    let state = node();
    let mut run = begun(&state, request());
    assert!(run.end(Termination::Replaced, "another goal came"));
    assert!(
        !run.end(Termination::Cancelled, "too late"),
        "the first reason counts"
    );
    assert_eq!(state.goal_over.get(), None);
    let next = begun(&state, request());
    assert_eq!(run.outcome().unwrap().termination, Termination::Replaced);
    assert_eq!(next.outcome(), None);
}

#[test]
fn a_hold_that_only_a_person_ends_ends_a_run_and_another_one_when_it_lasts() {
    for (reason, expected) in [
        (HoldReason::OutsideLimits, Some(Termination::Held)),
        (HoldReason::InvalidLimits, Some(Termination::Held)),
        (HoldReason::RunTimeOver, Some(Termination::Timeout)),
        (HoldReason::StaleCamera, None),
        (HoldReason::NoChunkYet, None),
    ] {
        let state = node();
        let mut run = begun(&state, request());
        ticks(&state, PlayerState::Holding, Some(reason));
        run.look();
        let found = run.outcome().map(|outcome| outcome.termination);
        assert_eq!(found, expected, "{reason:?}");
    }
    let state = node();
    let mut settings = state.settings.get();
    settings.goals.hold_limit = Some(ms(30));
    state.settings.set(settings);
    let mut run = begun(&state, request());
    ticks(&state, PlayerState::Holding, Some(HoldReason::StaleCamera));
    progress(&mut run);
    std::thread::sleep(ms(40));
    ticks(&state, PlayerState::Playing, None);
    assert_eq!(
        progress(&mut run).status,
        RunStatus::Playing,
        "the hold is over in time"
    );
    ticks(&state, PlayerState::Holding, Some(HoldReason::StaleCamera));
    progress(&mut run);
    std::thread::sleep(ms(40));
    run.look();
    let outcome = outcome(&state, &mut run);
    assert_eq!(outcome.termination, Termination::Held);
    assert!(outcome.message.contains("STALE_CAMERA"), "{outcome:?}");
}

#[test]
fn a_hold_of_the_prompt_before_does_not_count() {
    let state = node();
    ticks(&state, PlayerState::Holding, Some(HoldReason::RunTimeOver));
    let mut run = Run::begin(&state, request(), &[0].into()).unwrap();
    assert_eq!(progress(&mut run).hold, None);
}

#[test]
fn counts_are_those_of_the_run_alone() {
    let state = node();
    let set = |chunks, refused_chunks, played_actions| {
        state.inference.lock().chunks = chunks;
        state.inference.lock().observed_at = Some(ms(9000));
        let mut control = state.control.lock();
        (control.refused_chunks, control.played_actions) = (refused_chunks, played_actions);
    };
    set(7, 2, 100.0);
    let mut run = begun(&state, request());
    let before = progress(&mut run);
    assert_eq!((before.counts, before.chunk_age), (RunCounts::default(), None));
    set(9, 3, 150.5);
    let after = progress(&mut run);
    let expected = RunCounts {
        chunks: 2,
        refused_chunks: 1,
        played_actions: 50.5,
    };
    assert_eq!((after.counts, after.chunk_age), (expected, Some(ms(1000))));
}
