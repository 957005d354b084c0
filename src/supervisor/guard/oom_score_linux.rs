//! The order in which Linux kills processes when memory runs out: servers before the gateway and its guards.

use std::fs;

const OWN_SCORE: &str = "/proc/self/oom_score_adj";

/// The handicap of a server, in thousandths of the machine's memory: one that uses next to nothing goes before a gateway
/// that uses half of everything.
const HANDICAP: i32 = 500;
/// The largest value that the system takes (`proc_pid_oom_score_adj`(5)).
const MAX_SCORE: i32 = 1000;

/// Runs a start of a process, which inherits the handicap together with all that it starts itself.
///
/// The guard's own score is raised meanwhile and lowered again, which anybody may who has not raised the minimum. Where the
/// system does not let us, the server has the score of the gateway.
pub(super) fn raised<T>(start: impl FnOnce() -> T) -> T {
    let own = fs::read_to_string(OWN_SCORE).ok();
    let own = own.and_then(|text| text.trim().parse::<i32>().ok());
    let Some(own) = own else {
        return start();
    };
    let set = |score: i32| fs::write(OWN_SCORE, score.to_string());
    let is_raised = set((own + HANDICAP).min(MAX_SCORE)).is_ok();
    let started = start();
    if is_raised {
        // What could be raised without a privilege can be lowered to what it was.
        let _ = set(own);
    }
    started
}
