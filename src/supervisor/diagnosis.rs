//! Why a server does not serve, for those who asked something of it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::echo::quotable;
use super::stderr::StderrRing;
use crate::fault::{Fault, FaultKind};
use crate::types::ServerId;

/// Longest cause in a fault, in characters.
const MAX_CAUSE: usize = 400;
/// Longest line of stderr in a fault, in characters.
const MAX_LINE: usize = 200;

/// The last error of a server and its last words, kept up to date by its actor.
#[derive(Debug)]
pub(super) struct Diagnosis {
    server: ServerId,
    stderr: Arc<StderrRing>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_error: Option<String>,
    next_start: Option<Instant>,
}

impl Diagnosis {
    pub(super) fn new(server: ServerId, stderr: Arc<StderrRing>) -> Self {
        Self {
            server,
            stderr,
            state: Mutex::default(),
        }
    }

    /// Takes what the status says by now.
    pub(super) fn note(&self, last_error: Option<&str>, next_start: Option<Instant>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last_error.as_deref() != last_error {
            state.last_error = last_error.map(str::to_owned);
        }
        state.next_start = next_start;
    }

    /// The fault with the cause, the last line of stderr and the way to more; as it is where it does not say
    /// that the server cannot be reached.
    pub(super) fn explain(&self, mut fault: Fault) -> Fault {
        if !matches!(
            fault.kind,
            FaultKind::ServerStarting | FaultKind::ServerFailed | FaultKind::ServerStopped
        ) {
            return fault;
        }
        let mut text = fault.message.into_owned();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &state.last_error {
            text = format!("{text}: {}", shortened(error, MAX_CAUSE));
        }
        if let (FaultKind::ServerFailed, Some(at)) = (fault.kind, state.next_start) {
            fault.retry_after = Some(at.saturating_duration_since(Instant::now()));
        }
        drop(state);
        let last = self.stderr.tail(1).pop();
        // What an operator stopped has nothing to complain of.
        if let Some(line) = last.filter(|_| fault.kind != FaultKind::ServerStopped) {
            let line = shortened(quotable(&line), MAX_LINE);
            text = format!("{text}; its last line on stderr: \"{line}\"");
        }
        text = format!("{text}; more by: host-mcp-gateway status {}", self.server);
        fault.message = text.into();
        fault
    }
}

/// The text without what is beyond a length.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::supervisor::faults;
    use crate::supervisor::machine::Gate;
    use crate::types::Incarnation;

    /// RB05: the cause, the last words and the way to more, in bounds; nothing of it where the server has
    /// nothing to do with the fault.
    #[tokio::test(start_paused = true)]
    async fn a_fault_says_why_the_server_cannot_be_reached() {
        let stderr = Arc::new(StderrRing::new());
        let diagnosis = Diagnosis::new("s".parse().unwrap(), Arc::clone(&stderr));
        let told = |fault| diagnosis.explain(fault).message.into_owned();
        assert_eq!(
            told(faults::starting(None)),
            "the server is starting and was not ready in time; more by: host-mcp-gateway status s"
        );
        stderr.take(b"one\nno module \x1b[31m\n");
        let until = Instant::now() + Duration::from_secs(7);
        diagnosis.note(Some("cannot execute nodee"), Some(until));
        assert_eq!(
            told(faults::starting(None)),
            "the server is starting and was not ready in time: cannot execute nodee; its last line on \
             stderr: \"no module \\u{1b}[31m\"; more by: host-mcp-gateway status s"
        );
        let failed = diagnosis.explain(faults::refused(Gate::Failed));
        assert_eq!(failed.retry_after, Some(Duration::from_secs(7)));
        assert!(!told(faults::refused(Gate::Stopped)).contains("no module"));
        let lost = faults::lost();
        assert_eq!(told(faults::lost()), lost.message);
        // What an earlier process has said is not why this one is not ready.
        stderr.begin_life(Incarnation(2));
        assert!(!told(faults::starting(None)).contains("no module"));
        stderr.take(br#"{"id":1,"method":"initialize"}"#);
        stderr.take(b"\n");
        let echoed = told(faults::starting(None));
        assert!(echoed.contains("echoes its input"), "{echoed}");
        assert!(!echoed.contains("jsonrpc"), "{echoed}");
        diagnosis.note(Some(&"ä".repeat(1000)), None);
        stderr.take("ä".repeat(900).as_bytes());
        stderr.take(b"\n");
        assert!(told(faults::starting(None)).chars().count() < 800);
    }
}
