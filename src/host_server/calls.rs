//! The calls under way: one thread each, a bound on their number, cancellation by id.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::call::{Call, Ended, Failure, Switch};
use super::output::Output;
use super::rpc;

/// How many calls may be under way; each costs a thread.
pub(super) const MAX_CALLS: usize = 64;

/// How long [`Calls::end`] waits. A worker that hangs in the system (a dead network mount) must not
/// keep the process; the gateway sends SIGTERM after 2 s by default.
const END_WAIT: Duration = Duration::from_secs(1);

/// The table of calls under way.
#[derive(Debug)]
pub(super) struct Calls {
    output: Output,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    /// By the JSON text of the id, so that `1` and `"1"` differ.
    open: HashMap<String, Arc<Switch>>,
    /// Threads that have not ended; an id leaves `open` a moment before its thread ends.
    running: usize,
}

/// How one call is set up.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) id: Value,
    pub(super) progress_token: Option<Value>,
    pub(super) log_level: Option<super::era::Level>,
}

impl Calls {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            shared: Arc::default(),
        }
    }

    /// Whether a call with this id is under way.
    pub(super) fn is_open(&self, id: &Value) -> bool {
        self.shared.lock().open.contains_key(&id.to_string())
    }

    /// Runs `work` on a thread of its own and sends its response, unless it is cancelled.
    pub(super) fn start(
        &self,
        setup: Setup,
        work: impl FnOnce(&Call) -> Result<Value, Failure> + Send + 'static,
    ) {
        let switch = Arc::new(Switch::default());
        {
            let mut table = self.shared.lock();
            if table.running >= MAX_CALLS {
                drop(table);
                let error = rpc::error(Some(&setup.id), &rpc::busy(MAX_CALLS));
                return self.output.send(&error);
            }
            table.running += 1;
            table.open.insert(setup.id.to_string(), Arc::clone(&switch));
        }
        let call = Call {
            switch: Arc::clone(&switch),
            output: self.output.clone(),
            progress_token: setup.progress_token,
            log_level: setup.log_level,
        };
        let ticket = Ticket {
            id: setup.id,
            shared: Arc::clone(&self.shared),
            switch,
            output: self.output.clone(),
            outcome: None,
        };
        let thread = thread::Builder::new().name("call".to_owned());
        // Where no thread can be had the closure is dropped, and the ticket in it answers.
        drop(thread.spawn(move || ticket.settle(work(&call))));
    }

    /// Cancels a call; an unknown id is none of our business (it may have ended just now).
    pub(super) fn cancel(&self, id: &Value) {
        if let Some(switch) = self.shared.lock().open.get(&id.to_string()) {
            switch.end(Ended::Cancelled);
        }
    }

    /// Ends every call and waits until their answers are written, at most [`END_WAIT`].
    pub(super) fn end(&self) {
        let table = self.shared.lock();
        for switch in table.open.values() {
            switch.end(Ended::Stopping);
        }
        let waited = self
            .shared
            .idle
            .wait_timeout_while(table, END_WAIT, |table| table.running > 0);
        drop(waited);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to answer one call. Dropping it answers, also when the worker panicked.
struct Ticket {
    id: Value,
    shared: Arc<Shared>,
    switch: Arc<Switch>,
    output: Output,
    outcome: Option<Result<Value, Failure>>,
}

impl Ticket {
    /// Answers with this outcome.
    fn settle(mut self, outcome: Result<Value, Failure>) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The id first: the client may use it again as soon as it has read the answer.
        self.shared.lock().open.remove(&self.id.to_string());
        let response = match self.outcome.take() {
            _ if self.switch.ended() == Some(Ended::Cancelled) => None,
            Some(Err(Failure::Ended(Ended::Cancelled))) => None,
            Some(Ok(result)) => Some(rpc::result(&self.id, &result)),
            Some(Err(Failure::Rpc(error))) => Some(rpc::error(Some(&self.id), &error)),
            Some(Err(Failure::Ended(Ended::Stopping))) => {
                Some(rpc::error(Some(&self.id), &rpc::stopping()))
            }
            None => Some(rpc::error(
                Some(&self.id),
                &rpc::internal("the call could not be carried out"),
            )),
        };
        if let Some(response) = response {
            self.output.send(&response);
        }
        self.shared.lock().running -= 1;
        self.shared.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufRead as _, BufReader};

    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_whose_worker_panics_is_answered_and_frees_its_place() {
        let (reader, writer) = io::pipe().unwrap();
        let calls = Calls::new(Output::new(writer));
        let setup = Setup {
            id: json!("a"),
            progress_token: None,
            log_level: None,
        };
        calls.start(setup, |_| panic!("a fault in a tool"));
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], "a");
        assert_eq!(answer["error"]["code"], -32603);
        calls.end();
        let table = calls.shared.lock();
        assert_eq!((table.open.len(), table.running), (0, 0));
    }
}
