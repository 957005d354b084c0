//! Deeds after which the process, or one of its pipes, is gone.

use std::time::Duration;

use crate::call::Call;
use crate::{Flow, LIFETIME, processes, wire};

/// Exits, before or after the answer is written.
pub(super) fn exit(call: &Call) {
    if call.flag("reply") {
        call.say("goodbye");
    }
    std::process::exit(exit_code(call, "code"));
}

/// Dies of a signal.
pub(super) fn signal(call: &Call) {
    let signal = i32::try_from(call.size("signal")).unwrap_or_default();
    if let Err(fault) = processes::die_of(signal) {
        wire::refuse(&call.id, -32602, &format!("signal {signal}: {fault}"), None);
    }
}

/// Keeps a processor busy: ends with the process, or with its limit of processor time.
pub(super) fn burn() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Writes the first half of the answer, without a newline.
pub(super) fn partial(call: &Call) {
    let whole = wire::response(&call.id, &call.text_result("half of this never comes"));
    let (half, _) = whole.as_bytes().split_at(whole.len() / 2);
    wire::bytes(half);
    if call.number("exit").is_some() {
        std::process::exit(exit_code(call, "exit"));
    }
}

/// Closes stdout; whoever reads it sees its end.
pub(crate) fn close_stdout() {
    if let Err(fault) = processes::close_stdout() {
        wire::complain(&format!("close stdout: {fault}"));
    }
}

/// Closes stdin after the answer; whoever writes to it gets EPIPE. The process stays.
pub(super) fn close_stdin(call: &Call) -> Flow {
    if let Err(fault) = processes::close_stdin() {
        wire::complain(&format!("close stdin: {fault}"));
    }
    call.say("stdin is closed");
    Flow::Pause(LIFETIME)
}

/// Stops reading after the answer, for a time or for good.
pub(super) fn stop_reading(call: &Call) -> Flow {
    call.say("not reading any more");
    Flow::Pause(call.number("ms").map_or(LIFETIME, Duration::from_millis))
}

/// Reads slowly after the answer, for good.
pub(super) fn trickle(call: &Call) -> Flow {
    call.say("reading slowly");
    Flow::Trickle {
        bytes: call.size("bytes").max(1),
        every: Duration::from_millis(call.number("every_ms").unwrap_or(1000)),
    }
}

fn exit_code(call: &Call, name: &str) -> i32 {
    i32::try_from(call.size(name)).unwrap_or(255)
}
