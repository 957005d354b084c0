//! What the tests of this floor and of the one above need: a configuration, a listener, and a server
//! without an actor and without a process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::actor::{Order, OrderKind, Watched};
use super::config::{
    BackoffConfig, Config, Launch, ProbeConfig, RequestConfig, RestartLimit, RestartPolicy,
    StopConfig,
};
use super::eras::{EraChoice, EraMemory, ProgramKey};
use super::handle::{Inner, ServerHandle};
use super::handshake::Handshake;
use super::listener::Listener;
use super::machine::Gate;
use super::pipes::Reader;
use super::stderr::StderrRing;
use super::{Mux, State, Status};
use crate::instruments::DropReason;
use crate::protocol::{Deviation, Envelope};
use crate::state_dir::StateDir;
use crate::types::Incarnation;

/// A server of the name `test` that can never be started, with times a person can multiply.
pub(crate) fn config() -> Config {
    Config {
        id: "test".parse().unwrap(),
        instance: None,
        launch: Launch {
            command: "none".to_owned(),
            program: "/nonexistent/none".into(),
            args: Vec::new(),
            working_dir: None,
            env: Vec::new(),
            withheld: Vec::new(),
        },
        autostart: false,
        disabled: false,
        refused: None,
        restart_policy: RestartPolicy::OnFailure,
        backoff: BackoffConfig {
            first: Duration::from_millis(100),
            max: Duration::from_secs(10),
        },
        restart_limit: RestartLimit {
            count: 5,
            window: Duration::from_secs(10),
        },
        failed_retry: Duration::from_secs(30),
        startup_timeout: Duration::from_secs(2),
        era: EraChoice::Auto,
        era_probe: Duration::from_millis(300),
        client_capabilities: "{}".into(),
        stop: StopConfig {
            grace: Duration::from_millis(200),
            term_grace: Duration::from_millis(500),
        },
        probe: ProbeConfig {
            interval: Duration::from_millis(500),
            timeout: Duration::from_millis(300),
            misses: 3,
        },
        requests: RequestConfig {
            timeout: Duration::from_secs(2),
            max: Duration::from_secs(5),
            hold: Duration::from_secs(1),
            max_in_flight: 4,
            max_queue: 8,
            max_queue_bytes: 1024 * 1024,
            input_wait: Duration::from_secs(1),
            divided: false,
        },
        max_line_bytes: 1024,
        stdin_stall: Duration::from_secs(1),
        drain: Duration::ZERO,
    }
}

/// A listener that writes down what it hears.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn note(&self, what: String) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(what);
    }

    /// What was heard since the last call, in its order.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Listener for Heard {
    fn notification(
        &self,
        _incarnation: Incarnation,
        method: &str,
        _line: &Bytes,
        _envelope: &Envelope,
    ) {
        self.note(format!("notification {method}"));
    }

    fn request(
        &self,
        _incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    ) -> Option<Bytes> {
        let id = String::from_utf8_lossy(envelope.id.unwrap().of(line));
        self.note(format!("request {method} {id}"));
        // What is asked for later is answered later, by the test.
        let now = !method.starts_with("later");
        now.then(|| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n").into())
    }

    fn unexpected_answer(&self, _incarnation: Incarnation, _id: u64) {}

    fn dropped(&self, why: DropReason, bytes: usize) {
        self.note(format!("dropped {} {bytes}", why.as_str()));
    }

    fn tolerated(&self, deviation: Deviation, first: bool) {
        let again = if first { "" } else { " again" };
        self.note(format!("tolerated {}{again}", deviation.as_str()));
    }

    fn is_behind(&self, _waited: Duration) -> bool {
        false
    }

    fn misframed(&self, mistake: crate::protocol::Misframed) {
        self.note(format!("misframed {mistake:?}"));
    }

    fn handshake_completed(&self, incarnation: Incarnation, _handshake: &Handshake) {
        self.note(format!("handshake of {incarnation}"));
    }

    fn ready(&self, incarnation: Incarnation) {
        self.note(format!("ready {incarnation}"));
    }

    fn lost(&self, incarnation: Incarnation) {
        self.note(format!("lost {incarnation}"));
    }
}

/// A handle on a server that nobody runs: the test is its actor and its child.
pub(crate) struct Unattended {
    pub(crate) handle: ServerHandle,
    mux: Arc<Mux>,
    status: watch::Sender<Arc<Status>>,
    done: watch::Sender<Option<Arc<Handshake>>>,
    _config: watch::Sender<Arc<Config>>,
    _program: watch::Sender<ProgramKey>,
    orders: Mutex<mpsc::Receiver<Order>>,
}

impl Unattended {
    /// A server that is ready, by this handshake.
    pub(crate) fn ready(handshake: Handshake) -> Self {
        let this = Self::asleep();
        this.shake(handshake);
        this
    }

    /// A server that sleeps and takes requests all the same.
    pub(crate) fn asleep() -> Self {
        let (orders, taken) = mpsc::channel(1);
        let (status, statuses) = watch::channel(Arc::new(Status::new()));
        let (done, handshakes) = watch::channel(None);
        let (configured, configs) = watch::channel(Arc::new(config()));
        let (program, programs) = watch::channel(ProgramKey::of(&config().id, &config().launch));
        let mux = Arc::new(Mux::new(config().requests, Gate::Open));
        mux.begin(Incarnation(1));
        let inner = Inner {
            mux: Arc::clone(&mux),
            id: config().id,
            stderr: Arc::new(StderrRing::new()),
            stdout: Arc::default(),
            orders,
            era_wish: Arc::default(),
            eras: EraMemory::open(StateDir::in_memory()),
            watched: Watched {
                status: statuses,
                handshake: handshakes,
                config: configs,
                program: programs,
            },
        };
        Self {
            handle: ServerHandle(Arc::new(inner)),
            mux,
            status,
            done,
            _config: configured,
            _program: program,
            orders: Mutex::new(taken),
        }
    }

    /// Shows another state.
    pub(crate) fn set_state(&self, state: State) {
        self.status.send_modify(|status| {
            let status = Arc::make_mut(status);
            status.state = state;
            status.awaits_first_start = state == State::Stopped;
        });
    }

    /// Shows that a request waits as for a first start, in the state that is shown.
    pub(crate) fn await_first_start(&self, incarnation: Incarnation) {
        self.status.send_modify(|status| {
            let status = Arc::make_mut(status);
            status.incarnation = incarnation;
            status.awaits_first_start = true;
        });
    }

    /// Completes a handshake.
    pub(crate) fn shake(&self, handshake: Handshake) {
        self.done.send_replace(Some(Arc::new(handshake)));
        self.set_state(State::Ready);
    }

    /// True where it was told to end for good since it was last looked at.
    pub(crate) fn was_dismissed(&self) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let order = orders.try_recv().map(|order| order.kind);
        matches!(order, Ok(OrderKind::Retire(_)))
    }

    /// What the child can read by now, line by line.
    pub(crate) fn read(&self) -> Vec<String> {
        let mut batch = Vec::new();
        // What is not there now is not waited for.
        let _ = self
            .handle
            .mux()
            .next_batch(Incarnation(1), &mut batch)
            .now_or_never();
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        batch.iter().map(|frame| text(&frame.bytes)).collect()
    }

    /// What the child writes.
    pub(crate) async fn write(&self, listener: &Arc<dyn Listener>, lines: &str) {
        let reader = Reader {
            mux: Arc::clone(&self.mux),
            listener: Arc::clone(listener),
            fault: Arc::default(),
            incarnation: Incarnation(1),
            max_line_bytes: self.handle.config().max_line_bytes,
            ended: CancellationToken::new(),
        };
        reader.run(lines.as_bytes()).await;
    }
}
