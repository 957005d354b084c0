//! The actor of one server: feeds the machine with what happens and carries out what it decides.

mod ends;
mod eras;
mod liveness;
mod shown;
mod start;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::eras::ProgramKey;
use super::handshake::Handshake;
use super::life::{Ends, News, NewsSender, Shared};
use super::machine::{Action, Change, Event, Machine, Rest, State};
use super::process_name::log_process;
use super::script;
use super::status::{Exit, Status};
use crate::instruments::ServerInstruments;
use crate::protocol::Era;
use crate::types::{Incarnation, wall};
#[cfg(test)]
use shown::state_word;

pub(super) use liveness::OVERSLEPT;
use liveness::{Probe, poll_probe};
use start::all_ended;

/// How often deadlines of requests are looked at while there are any, and while there are none.
const SWEEP_BUSY: Duration = Duration::from_millis(50);
const SWEEP_IDLE: Duration = Duration::from_millis(500);
/// News of a life that wait for the actor.
const NEWS_QUEUE: usize = 16;

/// What an operator, the config, or the end of the gateway wants of a server.
#[derive(Clone, Debug)]
pub(super) enum OrderKind {
    Start,
    /// With what becomes of the requests under way.
    Stop(Pace),
    Restart(Pace),
    /// To be another from now on; the id is the same.
    Configure(Arc<Config>),
    /// To end for good, for this reason, once the requests under way are answered.
    Retire(&'static str),
    Shutdown,
}

/// How soon an order ends the process that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// When the requests under way are answered, or have had their time (`drain_ms`).
    Drain,
    /// At once.
    Now,
}

/// An order, and who wants to know that it was taken.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) kind: OrderKind,
    pub(super) done: oneshot::Sender<()>,
}

/// What ends a turn of an actor.
enum Turn {
    Order(Option<Order>),
    News(Incarnation, News),
    Probed(bool),
    Demand,
    PredecessorGone,
    Kill,
    Timers,
}

/// What an actor lets others see, as of now.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) status: watch::Receiver<Arc<Status>>,
    pub(super) handshake: watch::Receiver<Option<Arc<Handshake>>>,
    pub(super) config: watch::Receiver<Arc<Config>>,
    /// The program of the present life, or of the next.
    pub(super) program: watch::Receiver<ProgramKey>,
}

pub(super) struct Actor {
    shared: Shared,
    instruments: ServerInstruments,
    machine: Machine,
    status: watch::Sender<Arc<Status>>,
    handshake: watch::Sender<Option<Arc<Handshake>>>,
    config: watch::Sender<Arc<Config>>,
    program: watch::Sender<ProgramKey>,
    orders: mpsc::Receiver<Order>,
    kill: CancellationToken,
    /// Cancelled when no process of the predecessors is left; empty where there is nothing to wait for.
    predecessors: Vec<CancellationToken>,
    lives: JoinSet<()>,
    news: (NewsSender, mpsc::Receiver<(Incarnation, News)>),
    ends: Ends,
    era: Option<Era>,
    /// Started by an order and not by a request: in the era that was spoken last.
    ordered: bool,
    /// The present life is told of no client capabilities.
    is_bare: bool,
    /// Up to which restart they are counted.
    counted_restarts: u64,
    pid: Option<u32>,
    /// The same, also after its end: what is logged of a life names it.
    named_pid: Option<u32>,
    /// Why the present life is being ended by the gateway.
    end_reason: Cow<'static, str>,
    last_exit: Option<(Exit, std::time::SystemTime)>,
    session_id: Option<String>,
    probe: Option<Probe>,
    probe_sent: Option<Instant>,
    next_probe: Instant,
}

impl Actor {
    pub(super) fn new(
        shared: Shared,
        instruments: ServerInstruments,
        machine: Machine,
        orders: mpsc::Receiver<Order>,
        kill: CancellationToken,
        predecessors: Vec<CancellationToken>,
    ) -> (Self, Watched) {
        let (handshake, handshakes) = watch::channel(None);
        let (status, statuses) = watch::channel(Arc::new(Status::new()));
        let (config, configs) = watch::channel(Arc::clone(&shared.config));
        let (program, programs) =
            watch::channel(ProgramKey::of(&shared.config.id, &shared.config.launch));
        let actor = Self {
            shared,
            instruments,
            machine,
            status,
            handshake,
            config,
            program,
            orders,
            kill,
            predecessors,
            lives: JoinSet::new(),
            news: mpsc::channel(NEWS_QUEUE),
            ends: Ends::default(),
            era: None,
            ordered: false,
            is_bare: false,
            counted_restarts: 0,
            pid: None,
            named_pid: None,
            end_reason: Cow::default(),
            last_exit: None,
            session_id: None,
            probe: None,
            probe_sent: None,
            next_probe: Instant::now(),
        };
        actor.publish();
        (
            actor,
            Watched {
                status: statuses,
                handshake: handshakes,
                config: configs,
                program: programs,
            },
        )
    }

    /// Runs until the shutdown is done.
    pub(super) async fn run(mut self) {
        if self.shared.config.autostart {
            self.ordered = true;
            self.step(Event::Start);
        }
        while self.machine.state() != &State::Stopped(Rest::Shutdown) {
            self.turn().await;
        }
        while self.lives.join_next().await.is_some() {}
    }

    async fn turn(&mut self) {
        let sweep = Instant::now()
            + if self.shared.mux.is_idle() {
                SWEEP_IDLE
            } else {
                SWEEP_BUSY
            };
        let due = self.machine.deadline().unwrap_or(sweep).min(sweep);
        let mux = Arc::clone(&self.shared.mux);
        let turn = tokio::select! {
            biased;
            order = self.orders.recv() => Turn::Order(order),
            Some((incarnation, news)) = self.news.1.recv() => Turn::News(incarnation, news),
            alive = poll_probe(&mut self.probe) => Turn::Probed(alive),
            () = mux.demanded() => Turn::Demand,
            () = all_ended(&self.predecessors) => Turn::PredecessorGone,
            () = self.kill.cancelled(), if !self.ends.kill.is_cancelled() => Turn::Kill,
            () = sleep_until(due) => Turn::Timers,
        };
        self.forgive_sleep(due);
        match turn {
            Turn::Order(order) => self.obey(order),
            // News of an earlier life are old news.
            Turn::News(incarnation, news) if incarnation == self.machine.incarnation() => {
                self.hear(news);
            }
            Turn::News(..) => {}
            Turn::Probed(alive) => self.probed(alive),
            Turn::Demand => {
                self.ordered = false;
                self.step(Event::Demand);
            }
            Turn::PredecessorGone => self.end_wait(),
            Turn::Kill => self.ends.kill.cancel(),
            Turn::Timers => self.timers(),
        }
    }

    fn obey(&mut self, order: Option<Order>) {
        let (kind, done) = order.map(|Order { kind, done }| (kind, done)).unzip();
        self.ordered = true;
        let was_stopping = matches!(self.machine.state(), State::Stopping(_));
        let reason = ends::reason_of(kind.as_ref());
        match kind {
            Some(OrderKind::Start) => self.step(Event::Start),
            Some(OrderKind::Stop(pace)) => self.end_process(Event::Stop, pace),
            Some(OrderKind::Restart(pace)) => self.end_process(Event::Restart, pace),
            Some(OrderKind::Retire(_)) => {
                self.step(Event::Retire);
                self.end_wait();
            }
            Some(OrderKind::Configure(config)) => self.configure(config),
            // Without a handle left nobody could ever stop the server.
            Some(OrderKind::Shutdown) | None => {
                self.step(Event::Shutdown);
                self.end_wait();
            }
        }
        if !was_stopping && matches!(self.machine.state(), State::Stopping(_)) {
            self.end_reason = reason.into();
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// A life that is under way keeps the config that it was started with.
    fn configure(&mut self, config: Arc<Config>) {
        let change = if config.starts_the_same(&self.shared.config) {
            Change::None
        } else {
            // Another program may say other things of itself.
            self.era = None;
            self.handshake.send_replace(None);
            Change::Process
        };
        self.shared.mux.configure(config.requests);
        self.shared.config = Arc::clone(&config);
        let actions = self.machine.configure(&config, change, Instant::now());
        self.config.send_replace(config);
        self.carry_out(actions);
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Pid(pid) => {
                self.pid = Some(pid);
                self.named_pid = self.pid;
                self.publish();
            }
            News::Ready(shaken) => {
                self.learn(&shaken);
                self.era = Some(shaken.handshake.era);
                self.shared.stdout.serve();
                let handshake = Some(Arc::new(shaken.handshake));
                self.handshake.send_replace(handshake);
                self.next_probe = Instant::now() + self.shared.config.probe.interval;
                self.step(Event::Ready);
                if let State::Ready { .. } = self.machine.state() {
                    self.shared.listener.ready(self.machine.incarnation());
                    log_process!(info, self.name(), "server is ready");
                }
            }
            News::Ended { exit, asked } => {
                self.last_exit = Some((exit, wall::now()));
                self.pid = None;
                self.tell_end_of_stop(exit, asked);
                self.step(Event::Ended(exit));
            }
            News::Event(event) => {
                if let Event::Gone = event {
                    (self.pid, self.probe) = (None, None);
                }
                self.step(event);
            }
        }
    }

    fn timers(&mut self) {
        let now = Instant::now();
        let next_start = self.machine.state().next_start();
        self.shared.mux.expire(now, next_start);
        if self
            .machine
            .deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            self.step(Event::Timer);
        }
        self.end_idle_drain();
        self.start_probe(now);
    }

    fn step(&mut self, event: Event) {
        if let State::Starting { .. } = self.machine.state() {
            let remark = self.shared.stdout.remark();
            self.machine
                .note_remark(remark.or_else(|| self.script_fault(&event)));
        }
        let actions = self.machine.step(event, Instant::now());
        self.carry_out(actions);
    }

    /// What is wrong with the program of a server that ended as one does whose interpreter is not found.
    fn script_fault(&self, event: &Event) -> Option<String> {
        let Event::Ended(Exit::Code(126 | 127)) = event else {
            return None;
        };
        script::fault_of(&self.shared.config.launch.program)
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        // Before requests are refused for it.
        let next_start = self.machine.state().next_start();
        let mux = &self.shared.mux;
        mux.note_cause(self.machine.last_error(), next_start);
        for action in actions {
            match action {
                Action::Spawn(incarnation) => self.spawn(incarnation),
                Action::Stop => self.ends.stop.cancel(),
                Action::Gate(gate) => self.shared.mux.set_gate(gate),
                Action::LimitHold(hold) => self.shared.mux.limit_hold(hold),
                Action::Note(reason) => {
                    self.note(&reason);
                    self.end_reason = reason.into();
                }
            }
        }
        self.publish();
        self.end_idle_drain();
    }
}

#[cfg(test)]
mod tests;
