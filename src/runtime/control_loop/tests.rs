//! Ticks, what they wait for, and what they report.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;
use crate::control::{Blending, PlayerState, TimedChunk};
use crate::observation::{Clock, InputTopics, Inputs, JointStatesTopic};
use crate::parameters::GoalSettings;
use crate::policy::ActionChunk;
use crate::runtime::NewChunk;

const PERIOD: Duration = Duration::from_millis(20);

fn control(clock: Clock, control_period: Duration) -> ControlLoop {
    let settings = RuntimeSettings {
        control_period,
        action_period: Duration::from_millis(20),
        execution_horizon: None,
        blending: Blending::default(),
        control: ControlSettings::unlimited(PERIOD),
        vision_refresh: Arc::default(),
        denoise_steps: None,
        goals: GoalSettings::default(),
        added_inference_latency: Duration::ZERO,
    };
    let inputs = Inputs::new(&InputTopics::default(), &["waist".to_owned()]);
    let state = NodeState::of(clock, inputs, settings);
    state.is_active.store(true, Ordering::Release);
    ControlLoop {
        state: Arc::new(state),
        priority: 0,
        stop: Arc::default(),
        commanded: vec![0],
        axes: ["waist".to_owned()].into(),
    }
}

fn chunk(observed_at: Duration, clock_resets: u64) -> NewChunk {
    NewChunk {
        chunk: TimedChunk {
            actions: ActionChunk::new((0..50).map(|action| action as f32).collect(), 1),
            observed_at,
            action_period: Duration::from_millis(20),
            execution_horizon: None,
            blending: Blending::default(),
        },
        clock_resets,
    }
}

#[test]
fn ticks_keep_the_rate_on_the_systems_clock() {
    let control = control(Clock::system(), Duration::from_millis(5));
    let (stop, state) = (Arc::clone(&control.stop), Arc::clone(&control.state));
    let thread = std::thread::spawn(move || control.run(|_| {}));
    std::thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    let ticks = state.control.lock().ticks;
    assert!(
        (60..=102).contains(&ticks),
        "{ticks} ticks in half a second of 5 ms"
    );
}

#[test]
fn nothing_is_published_before_the_first_chunk_and_a_tick_follows_simulated_time() {
    let control = control(Clock::simulated(), Duration::from_millis(20));
    let (stop, state) = (Arc::clone(&control.stop), Arc::clone(&control.state));
    let (sender, published) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        control.run(|trajectory| sender.send(trajectory).unwrap());
    });
    let step = |milliseconds| {
        let before = state.control.lock().ticks;
        state.clock.set(Duration::from_millis(milliseconds));
        while state.control.lock().ticks == before {
            std::thread::yield_now();
        }
    };
    step(0);
    step(20);
    assert!(published.try_recv().is_err());
    state.chunks.put(chunk(Duration::from_millis(20), 0));
    step(40);
    step(60);
    let patience = Duration::from_secs(5);
    for (milliseconds, position) in [(40, 0.0), (60, 1.0)] {
        let trajectory = published.recv_timeout(patience).unwrap();
        assert_eq!(trajectory.start, Duration::from_millis(milliseconds));
        assert_eq!(trajectory.present, [position]);
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

#[test]
fn every_change_of_the_reason_for_a_hold_is_reported_once() {
    let control = control(Clock::simulated(), Duration::from_millis(20));
    let mut ticking = control.begin();
    let mut tick = |milliseconds| control.tick(&mut ticking, Duration::from_millis(milliseconds));
    tick(0);
    control.state.command.set(Command::Stopped);
    (1..100).for_each(|number| drop(tick(20 * number)));
    control.state.command.set(Command::Enabled);
    (100..200).for_each(|number| drop(tick(20 * number)));
    let holds = control.state.control.lock().holds_begun.clone();
    let codes: Vec<&str> = holds.iter().map(|hold| hold.reason.code()).collect();
    assert_eq!(codes, ["NO_CHUNK_YET", "STOPPED", "NO_CHUNK_YET"]);
}

#[test]
fn limits_of_the_description_and_of_the_parameters_count_together() {
    let described = JointLimits {
        upper: 1.0,
        velocity: 3.0,
        ..JointLimits::NONE
    };
    let of_description = Some(Arc::from([described]));
    let alone = limited(&ControlSettings::unlimited(PERIOD), of_description.as_ref());
    assert_eq!(alone.limits.unwrap()[..], [described]);
    let set = JointLimits {
        upper: 2.0,
        velocity: 0.5,
        ..JointLimits::NONE
    };
    let settings = ControlSettings {
        limits: Some([set].into()),
        ..ControlSettings::unlimited(PERIOD)
    };
    let both = JointLimits {
        velocity: 0.5,
        ..described
    };
    assert_eq!(
        limited(&settings, of_description.as_ref()).limits.unwrap()[..],
        [both]
    );
}

#[test]
fn a_chunk_from_before_a_reset_of_the_clock_is_not_played() {
    let control = control(Clock::simulated(), Duration::from_millis(20));
    control.state.clock.set(Duration::from_millis(100));
    control.state.clock.set(Duration::from_millis(90));
    let mut ticking = control.begin();
    control.state.chunks.put(chunk(Duration::from_millis(90), 0));
    let now = Duration::from_millis(90);
    assert_eq!(control.tick(&mut ticking, now), None);
    control.state.chunks.put(chunk(Duration::from_millis(90), 1));
    assert!(control.tick(&mut ticking, now).is_some());
}

#[test]
fn a_tick_on_the_systems_clock_waits_for_nobody_and_the_next_one_makes_up_for_it() {
    let control = control(Clock::system(), Duration::from_millis(20));
    let mut ticking = control.begin();
    let mut now = Duration::from_secs(50);
    let mut tick = || {
        control.look_at_settings(&mut ticking);
        now += Duration::from_millis(20);
        control.tick(&mut ticking, now)
    };
    control.state.chunks.put(chunk(Duration::from_secs(50), 0));
    {
        let _report = control.state.control.lock();
        let _settings = control.state.settings.locked();
        let _command = control.state.command.locked();
        let _limits = control.state.described_limits.locked();
        let _others = control.state.other_publishers.locked();
        assert!(tick().is_some());
    }
    assert_eq!(control.state.control.lock().ticks, 0);
    assert!(
        control.state.chunks.is_pending(),
        "the report does not speak of the chunk yet"
    );
    tick();
    let report = control.state.control.lock().clone();
    assert_eq!((report.ticks, report.state), (2, PlayerState::Playing));
    assert!(!control.state.chunks.is_pending());

    control.state.chunks.put(chunk(Duration::from_secs(50), 0));
    let inputs = control.state.inputs.locked();
    assert!(tick().is_some());
    drop(inputs);
    assert!(
        control.state.chunks.is_pending(),
        "nobody could say where the robot is"
    );
    let slot = control.state.chunks.locked();
    assert!(tick().is_some());
    drop(slot);
    assert!(control.state.chunks.is_pending());
    tick();
    assert!(!control.state.chunks.is_pending());
    assert_eq!(control.state.control.lock().ticks, 5);
}

/// Holds a lock of the state for some milliseconds, each of them in its turn.
fn hold_a_lock(state: &NodeState, number: usize) {
    let milliseconds = Duration::from_millis(7);
    let hold = || std::thread::sleep(milliseconds);
    match number % 10 {
        0 => drop((state.settings.locked(), hold())),
        1 => drop((state.command.locked(), hold())),
        2 => drop((state.goal_over.locked(), hold())),
        3 => drop((state.takeover.locked(), hold())),
        4 => drop((state.described_limits.locked(), hold())),
        5 => drop((state.other_publishers.locked(), hold())),
        6 => drop((state.server_lost.locked(), hold())),
        7 => drop((state.chunks.locked(), hold())),
        8 => drop((state.control.lock(), hold())),
        _ => drop((state.inputs.locked(), hold())),
    }
}

#[test]
fn ticks_keep_the_rate_while_many_threads_hold_every_lock_of_the_state() {
    const WRITERS: usize = 20;
    let period = Duration::from_millis(5);
    let duration = Duration::from_secs(2);
    let control = control(Clock::system(), period);
    let (stop, state) = (Arc::clone(&control.stop), Arc::clone(&control.state));
    let [published, slept] = [(), ()].map(|()| AtomicUsize::new(0));
    let now = state.clock.now().unwrap();
    state.chunks.put(chunk(now, 0));
    let ticks = std::thread::scope(|scope| {
        scope.spawn(|| {
            control.run(|_| {
                published.fetch_add(1, Ordering::Relaxed);
            });
        });
        while published.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        for writer in 0..WRITERS {
            let (state, stop) = (&state, &stop);
            scope.spawn(move || {
                (writer..)
                    .take_while(|_| !stop.load(Ordering::Relaxed))
                    .for_each(|number| hold_a_lock(state, number));
            });
        }
        // What a thread that shares nothing gets of this machine meanwhile.
        scope.spawn(|| {
            let (began, mut schedule) = (Instant::now(), TickSchedule::new(period));
            while !stop.load(Ordering::Relaxed) {
                if schedule.is_due(began.elapsed()) {
                    slept.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(schedule.until_due(began.elapsed()));
            }
        });
        let counts = || [&published, &slept].map(|count| count.load(Ordering::Relaxed));
        let before = counts();
        std::thread::sleep(duration);
        let after = counts();
        stop.store(true, Ordering::Relaxed);
        [after[0] - before[0], after[1] - before[1]]
    });
    let [published, slept] = ticks;
    assert!(
        published * 10 >= slept * 9,
        "{published} ticks of control, {slept} of a thread that only sleeps"
    );
}

#[test]
fn only_the_joints_that_are_told_to_move_are_compared_with_the_first_action() {
    let joints = ["finger", "waist"].map(str::to_owned);
    let topics = InputTopics {
        joint_states: vec![JointStatesTopic::default()],
        ..InputTopics::default()
    };
    let mut control = control(Clock::simulated(), Duration::from_millis(20));
    let mut settings = control.state.settings.get();
    settings.control.max_start_jump = [1.5].into();
    let inputs = Inputs::new(&topics, &joints);
    control.state = Arc::new(NodeState::of(Clock::simulated(), inputs, settings));
    control.state.is_active.store(true, Ordering::Release);
    control.commanded = vec![1];
    let first_hold = |waist: f32| {
        let now = Duration::from_millis(100);
        control
            .state
            .inputs
            .take_joint_positions(0, Ok(vec![(0, 9.0), (1, waist)]), now);
        let mut ticking = control.begin();
        control.state.chunks.put(chunk(now, 0));
        control.tick(&mut ticking, now);
        let hold = control.state.control.lock().hold.clone();
        hold.map(|hold| hold.reason.code())
    };
    assert_eq!(first_hold(0.9), None);
    assert_eq!(first_hold(1.6), Some("START_JUMP"));
}

#[test]
fn the_end_of_a_run_holds_only_until_the_next_prompt_and_played_actions_are_counted() {
    let control = control(Clock::simulated(), Duration::from_millis(20));
    let mut ticking = control.begin();
    let mut tick = |number: u64| {
        drop(control.tick(&mut ticking, Duration::from_millis(20 * number)));
        control.state.control.lock().clone()
    };
    let number = control.state.inputs.take_prompt("wave");
    tick(0);
    control.state.chunks.put(chunk(Duration::from_millis(20), 0));
    (1..=10).for_each(|number| drop(tick(number)));
    let report = tick(11);
    assert_eq!(
        (report.prompt_generation, report.state),
        (number, PlayerState::Playing)
    );
    assert!(
        (report.played_actions - 10.0).abs() < 1e-6,
        "{}",
        report.played_actions
    );

    let prompt_generation = control.state.inputs.withdraw_prompt(number).unwrap();
    let detail = "cancelled".to_owned();
    control.state.goal_over.set(Some(GoalOver {
        prompt_generation,
        detail,
    }));
    let report = tick(12);
    assert_eq!(report.hold.unwrap().reason.code(), "GOAL_OVER");
    assert!(
        (report.played_actions - 10.0).abs() < 1e-6,
        "nothing is played from then on"
    );
    assert_eq!(
        control.state.inputs.withdraw_prompt(number),
        None,
        "another one came since"
    );
    control.state.inputs.take_prompt("dance");
    assert_ne!(tick(13).hold.map(|hold| hold.reason.code()), Some("GOAL_OVER"));
}
