//! The priority of the control thread.

use thread_priority::{
    Error, NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// On the library's scale, which runs from nice 20 at 0 to nice −20 at 99: nice −10.
const NICE_MINUS_10: u8 = 74;

/// Asks for the real-time priority `priority` (SCHED_FIFO, 1 to 99) for this thread and, where the system does not grant
/// it, for a nice value of −10. Says what was granted; a priority of 0 asks for nothing.
pub fn raise_this_thread(priority: u8) -> String {
    if priority == 0 {
        return "no priority was asked for".to_owned();
    }
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let Err(fifo_denied) = ask(priority, fifo) else {
        return format!("SCHED_FIFO {priority} was granted");
    };
    let normal = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    match ask(NICE_MINUS_10, normal) {
        Ok(()) => format!("SCHED_FIFO {priority} was not granted ({fifo_denied}), nice -10 was"),
        Err(denied) => format!(
            "neither SCHED_FIFO {priority} ({fifo_denied}) nor nice -10 ({denied}) was granted; docs/control.md says how \
             to permit it"
        ),
    }
}

fn ask(priority: u8, policy: ThreadSchedulePolicy) -> Result<(), String> {
    let value = ThreadPriorityValue::try_from(priority).map_err(|problem| problem.to_string())?;
    let priority = ThreadPriority::Crossplatform(value);
    set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(|error| match error {
        Error::OS(code) => std::io::Error::from_raw_os_error(code).to_string(),
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_granted_is_said_and_nothing_is_asked_for_at_priority_0() {
        let in_its_own_thread = |priority| {
            std::thread::spawn(move || raise_this_thread(priority))
                .join()
                .unwrap()
        };
        assert_eq!(in_its_own_thread(0), "no priority was asked for");
        let said = in_its_own_thread(1);
        assert!(
            said.contains("SCHED_FIFO 1") && said.contains("granted"),
            "{said}"
        );
    }
}
