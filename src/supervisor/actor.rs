//! The actor of one server: feeds the machine with what happens and carries out what it decides.

mod liveness;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::handshake::Handshake;
use super::life::{self, Ends, News, NewsSender, Shared};
use super::machine::{Action, Event, Machine, Next, Rest, State};
use super::status::{self, Exit, Status};
use crate::instruments::ServerInstruments;
use crate::protocol::Era;
use crate::types::{Incarnation, wall};

pub(super) use liveness::OVERSLEPT;
use liveness::{Probe, poll_probe};

/// How often deadlines of requests are looked at while there are any, and while there are none.
const SWEEP_BUSY: Duration = Duration::from_millis(50);
const SWEEP_IDLE: Duration = Duration::from_millis(500);
/// News of a life that wait for the actor.
const NEWS_QUEUE: usize = 16;

/// What an operator, or the end of the gateway, wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderKind {
    Start,
    Stop,
    Restart,
    Shutdown,
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
    Kill,
    Timers,
}

/// What an actor lets others see, as of now.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) status: watch::Receiver<Arc<Status>>,
    pub(super) handshake: watch::Receiver<Option<Arc<Handshake>>>,
}

pub(super) struct Actor {
    shared: Shared,
    instruments: ServerInstruments,
    machine: Machine,
    status: watch::Sender<Arc<Status>>,
    handshake: watch::Sender<Option<Arc<Handshake>>>,
    orders: mpsc::Receiver<Order>,
    kill: CancellationToken,
    lives: JoinSet<()>,
    news: (NewsSender, mpsc::Receiver<(Incarnation, News)>),
    ends: Ends,
    era: Option<Era>,
    pid: Option<u32>,
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
    ) -> (Self, Watched) {
        let (handshake, handshakes) = watch::channel(None);
        let (status, statuses) = watch::channel(Arc::new(Status::new()));
        let actor = Self {
            shared,
            instruments,
            machine,
            status,
            handshake,
            orders,
            kill,
            lives: JoinSet::new(),
            news: mpsc::channel(NEWS_QUEUE),
            ends: Ends::default(),
            era: None,
            pid: None,
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
            },
        )
    }

    /// Runs until the shutdown is done.
    pub(super) async fn run(mut self) {
        if self.shared.config.autostart {
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
            Turn::Demand => self.step(Event::Demand),
            Turn::Kill => self.ends.kill.cancel(),
            Turn::Timers => self.timers(),
        }
    }

    fn obey(&mut self, order: Option<Order>) {
        self.step(match order.as_ref().map(|order| order.kind) {
            Some(OrderKind::Start) => Event::Start,
            Some(OrderKind::Stop) => Event::Stop,
            Some(OrderKind::Restart) => Event::Restart,
            // Without a handle left nobody could ever stop the server.
            Some(OrderKind::Shutdown) | None => Event::Shutdown,
        });
        if let Some(order) = order {
            let _ = order.done.send(());
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Pid(pid) => {
                self.pid = Some(pid);
                self.publish();
            }
            News::Ready(handshake) => {
                self.era = Some(handshake.era);
                self.handshake.send_replace(Some(Arc::new(handshake)));
                self.next_probe = Instant::now() + self.shared.config.probe.interval;
                self.step(Event::Ready);
                if let State::Ready { .. } = self.machine.state() {
                    tracing::info!(server_id = %self.shared.config.id, incarnation = self.machine.incarnation().0, "server is ready");
                }
            }
            News::Event(event) => {
                match &event {
                    Event::Ended(exit) => {
                        self.last_exit = Some((*exit, wall::now()));
                        self.pid = None;
                        self.tell_a_hard_end(*exit);
                    }
                    // The era that worked last time may be the reason: the next life is asked anew.
                    Event::CannotStart(_) => self.era = None,
                    Event::Gone => {
                        self.pid = None;
                        self.probe = None;
                    }
                    Event::Demand
                    | Event::Start
                    | Event::Stop
                    | Event::Restart
                    | Event::Shutdown
                    | Event::Ready
                    | Event::Broken(_)
                    | Event::ProbeAnswered
                    | Event::ProbeMissed
                    | Event::Timer => {}
                }
                self.step(event);
            }
        }
    }

    /// A server that had to be killed may have lost what it was about to keep: its operator should know.
    fn tell_a_hard_end(&self, exit: Exit) {
        if exit == Exit::Signal(9) && matches!(self.machine.state(), State::Stopping(_)) {
            let id = &self.shared.config.id;
            tracing::warn!(server_id = %id, "server {id} was stopped by SIGKILL");
        }
    }

    fn timers(&mut self) {
        let now = Instant::now();
        let next_start = match self.machine.state() {
            State::Backoff { until } => Some(*until),
            State::Stopped(_)
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Failed => None,
        };
        self.shared.mux.expire(now, next_start);
        if self
            .machine
            .deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            self.step(Event::Timer);
        }
        self.start_probe(now);
    }

    fn step(&mut self, event: Event) {
        for action in self.machine.step(event, Instant::now()) {
            match action {
                Action::Spawn(incarnation) => self.spawn(incarnation),
                Action::Stop => self.ends.stop.cancel(),
                Action::Gate(gate) => self.shared.mux.set_gate(gate),
                Action::LimitHold(hold) => self.shared.mux.limit_hold(hold),
                Action::Note(reason) => self.note(&reason),
            }
        }
        self.publish();
    }

    fn note(&self, reason: &str) {
        let id = &self.shared.config.id;
        let state = state_word(self.machine.state());
        match self.machine.state() {
            State::Failed => {
                let stderr = self.shared.stderr.tail(5).join("\n");
                tracing::error!(server_id = %id, state, reason, stderr, "server {id} has failed");
            }
            State::Stopped(_)
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Backoff { .. } => {
                tracing::warn!(server_id = %id, state, reason, "server {id} {reason}");
            }
        }
    }

    fn spawn(&mut self, incarnation: Incarnation) {
        self.ends = Ends::default();
        if self.kill.is_cancelled() {
            self.ends.kill.cancel();
        }
        self.session_id = random_id();
        if incarnation > Incarnation(1) {
            self.instruments.restarted();
        }
        let (shared, ends, news) = (self.shared.clone(), self.ends.clone(), self.news.0.clone());
        tracing::info!(server_id = %self.shared.config.id, incarnation = incarnation.0, "starting server");
        self.lives
            .spawn(life::live(shared, incarnation, self.era, ends, news));
        while self.lives.try_join_next().is_some() {}
    }

    fn publish(&self) {
        let state = self.machine.state();
        let handshake = self.handshake.borrow().clone();
        let alive = matches!(
            state,
            State::Starting { .. }
                | State::Ready { .. }
                | State::Unhealthy { .. }
                | State::Stopping(_)
        );
        let status = Status {
            state: state_of(state),
            asleep: matches!(state, State::Stopped(Rest::Asleep)),
            pid: self.pid,
            incarnation: self.machine.incarnation(),
            session_id: self.session_id.clone().filter(|_| alive),
            restart_count: self.machine.incarnation().0.saturating_sub(1),
            ready_since: match state {
                State::Ready { since } | State::Unhealthy { since, .. } => Some(*since),
                State::Stopped(_)
                | State::Starting { .. }
                | State::Stopping(_)
                | State::Backoff { .. }
                | State::Failed => None,
            },
            next_start: match state {
                State::Backoff { until } => Some(*until),
                State::Stopped(_)
                | State::Starting { .. }
                | State::Ready { .. }
                | State::Unhealthy { .. }
                | State::Stopping(_)
                | State::Failed => None,
            },
            last_exit: self.last_exit.map(|(exit, _)| exit),
            last_exit_at: self.last_exit.map(|(_, at)| at),
            last_error: self.machine.last_error().map(str::to_owned),
            protocol: handshake
                .as_ref()
                .map(|handshake| handshake.revision.clone()),
            server_info: handshake.map(|handshake| Arc::clone(&handshake.server_info)),
        };
        self.status.send_replace(Arc::new(status));
    }
}

fn state_of(state: &State) -> status::State {
    match state {
        State::Stopped(_) => status::State::Stopped,
        State::Starting { .. } => status::State::Starting,
        State::Ready { .. } => status::State::Ready,
        State::Unhealthy { .. } => status::State::Unhealthy,
        State::Stopping(Next::Rest(_) | Next::Start | Next::Retry | Next::GiveUp) => {
            status::State::Stopping
        }
        State::Backoff { .. } => status::State::Backoff,
        State::Failed => status::State::Failed,
    }
}

fn state_word(state: &State) -> &'static str {
    state_of(state).as_str()
}

/// 128 random bits as text; `None` only where the system has no randomness.
fn random_id() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

#[cfg(test)]
mod tests;
