//! One call under way: how it is ended from outside, and what its worker may do meanwhile.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::era::Level;
use super::output::Output;
use super::rpc::{self, RpcError};

/// Why a call is to stop before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client wants no answer any more.
    Cancelled,
    /// The input has ended; the client may still be reading.
    Stopping,
}

/// Why a call has no result.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// An answer for the client.
    Rpc(RpcError),
    /// It was ended from outside.
    Ended(Ended),
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// The switch that ends one call.
#[derive(Debug, Default)]
pub(super) struct Switch {
    ended: Mutex<Option<Ended>>,
    changed: Condvar,
}

impl Switch {
    /// Ends the call; the first reason stays.
    pub(super) fn end(&self, reason: Ended) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.get_or_insert(reason);
        self.changed.notify_all();
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the time to pass, or for the end of the call.
    fn wait(&self, time: Duration) -> Result<(), Ended> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(ended, time, |ended| ended.is_none());
        let (ended, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (*ended).map_or(Ok(()), Err)
    }

    /// Waits until the call is ended.
    fn wait_for_end(&self) -> Ended {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(reason) = *ended {
                return reason;
            }
            let woken = self.changed.wait(ended);
            ended = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What the worker of one call holds.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) switch: Arc<Switch>,
    pub(super) output: Output,
    /// The caller's token, where it wants to hear of progress.
    pub(super) progress_token: Option<Value>,
    /// Log messages at and above this level may be sent; `None`: none at all.
    pub(super) log_level: Option<Level>,
}

impl Call {
    /// Waits for the time to pass, or for the end of the call.
    pub(super) fn wait(&self, time: Duration) -> Result<(), Ended> {
        self.switch.wait(time)
    }

    /// Waits until the call is ended.
    pub(super) fn wait_for_end(&self) -> Ended {
        self.switch.wait_for_end()
    }

    /// Tells the caller how far the call is, if it asked for that and the call has not ended.
    pub(super) fn progress(&self, done: u64, total: u64, message: &str) {
        if let (Some(token), None) = (&self.progress_token, self.switch.ended()) {
            let params = json!({
                "progressToken": token, "progress": done, "total": total, "message": message,
            });
            self.send("notifications/progress", &params);
        }
    }

    /// Logs to the caller, if it asked for messages of this level.
    pub(super) fn log(&self, level: Level, text: &str) {
        if self.log_level.is_some_and(|lowest| level >= lowest) {
            let params = json!({"level": level.as_str(), "logger": "host-server", "data": text});
            self.send("notifications/message", &params);
        }
    }

    /// Sends a notification.
    pub(super) fn send(&self, method: &str, params: &Value) {
        self.output.send(&rpc::notification(method, params));
    }
}
