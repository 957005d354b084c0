//! Values that are allowed and make a gateway that is of no use: a bound that no message fits in, a time in which nothing
//! can be done.

use super::file::File;
use super::limits::{Limits, ServerLimits};
use super::reader::{Field, Scope};
use super::servers::Server;
use super::values::{Count, Memory, Millis, MillisOrDefault};

/// The smallest useful bound of a message: a list of tools, or a call with a page of text.
const MESSAGE_BYTES: u64 = 64 * 1024;
/// The smallest useful budget of memory: some messages of the default size, and what answers them.
const MEMORY_BYTES: u64 = 16 * 1024 * 1024;
/// The shortest time in which a program or a person at the other end of a connection can do anything.
const REACTION_MS: u64 = 100;
/// The shortest useful time of what is done again and again, or kept for later.
const PERIOD_MS: u64 = 1000;

/// A kind of number that can be compared with the smallest useful one.
trait Number: Copy {
    fn number(self) -> u64;
}

impl Number for Count {
    fn number(self) -> u64 {
        self.0
    }
}

impl Number for Memory {
    fn number(self) -> u64 {
        u64::try_from(self.size()).unwrap_or(u64::MAX)
    }
}

impl Number for Millis {
    fn number(self) -> u64 {
        self.0
    }
}

impl Number for MillisOrDefault {
    fn number(self) -> u64 {
        // 0 stands for the default.
        if self.0 == 0 { u64::MAX } else { self.0 }
    }
}

/// Warns of a value that stands in the file and is below the smallest useful one.
fn check<T: Number>(field: &Field<T>, least: u64, scope: &mut Scope<'_>) {
    let given = field.get().filter(|_| field.is_given());
    if let Some(number) = given.map(|value| value.number())
        && number < least
    {
        let text = format!(
            "is {number}, which is too little to work with: the smallest useful value is {least}"
        );
        scope.warn(&field.place, text);
    }
}

/// Checks these keys of a section against one smallest useful value.
macro_rules! check_all {
    ($section:expr, $scope:expr, $least:expr, [$($key:ident),* $(,)?]) => {
        $(check(&$section.$key, $least, $scope);)*
    };
}

/// Warns of the values of the file as a whole.
pub(super) fn check_file(file: &File, scope: &mut Scope<'_>) {
    check_all!(
        file,
        scope,
        REACTION_MS,
        [request_timeout_ms, request_max_ms]
    );
    if let Some(limits) = file.limits.get() {
        check_limits(limits, scope);
    }
}

fn check_limits(limits: &Limits, scope: &mut Scope<'_>) {
    check(&limits.memory_bytes, MEMORY_BYTES, scope);
    check_all!(
        limits,
        scope,
        MESSAGE_BYTES,
        [
            max_body_bytes,
            max_line_bytes,
            max_queue_bytes,
            stream_queue_bytes
        ]
    );
    check_all!(
        limits,
        scope,
        REACTION_MS,
        [
            first_byte_ms,
            headers_ms,
            body_ms,
            stdin_stall_ms,
            probe_timeout_ms,
            era_probe_ms
        ]
    );
    check_all!(
        limits,
        scope,
        PERIOD_MS,
        [
            idle_ms,
            input_wait_ms,
            probe_interval_ms,
            failed_retry_ms,
            instance_idle_ms,
            session_idle_ms,
            silence_ms
        ]
    );
}

/// Warns of the values of one server.
pub(super) fn check_server(server: &Server, scope: &mut Scope<'_>) {
    check_all!(
        server,
        scope,
        REACTION_MS,
        [request_timeout_ms, request_max_ms, startup_timeout_ms]
    );
    if let Some(limits) = server.limits.get() {
        check_server_limits(limits, scope);
    }
}

fn check_server_limits(limits: &ServerLimits, scope: &mut Scope<'_>) {
    check_all!(
        limits,
        scope,
        MESSAGE_BYTES,
        [max_line_bytes, max_queue_bytes]
    );
    check_all!(
        limits,
        scope,
        REACTION_MS,
        [stdin_stall_ms, probe_timeout_ms, era_probe_ms]
    );
    check_all!(
        limits,
        scope,
        PERIOD_MS,
        [
            input_wait_ms,
            probe_interval_ms,
            failed_retry_ms,
            instance_idle_ms
        ]
    );
}
