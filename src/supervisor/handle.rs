//! What the rest of the gateway holds of a server: orders to its actor, and the view of it.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use super::actor::{OVERSLEPT, Order, OrderKind, Pace, Watched};
use super::config::Config;
use super::eras::{EraFacts, EraMemory, EraWish};
use super::handshake::Handshake;
use super::mux::{Load, Mux};
use super::status::{State, Status};
use super::stderr::{OutputLine, StderrRing};
use super::stdout::StdoutFault;
use super::{faults, machine};
use crate::fault::{Delivered, Fault};
use crate::instruments::Seen;
use crate::protocol::Era;
use crate::types::ServerId;

/// Lines of stderr that are shown with a status.
const TAIL_LINES: usize = 20;

/// A handle on one server's actor; cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerHandle(pub(super) Arc<Inner>);

impl PartialEq for ServerHandle {
    /// Two handles are equal if they are on the same actor.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ServerHandle {}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: ServerId,
    pub(super) mux: Arc<Mux>,
    pub(super) stderr: Arc<StderrRing>,
    pub(super) stdout: Arc<StdoutFault>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) era_wish: Arc<EraWish>,
    pub(super) eras: EraMemory,
    pub(super) watched: Watched,
}

impl Inner {
    /// How the server is, for whoever measures it; `None` once its actor is done.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.watched.status.has_changed().ok()?;
        let Load { in_flight, queued } = self.mux.load();
        Some(Seen {
            state: self.watched.status.borrow().state.as_str(),
            in_flight: in_flight as u64,
            queued: queued as u64,
        })
    }
}

impl ServerHandle {
    /// The server's id.
    pub fn id(&self) -> &ServerId {
        &self.0.id
    }

    /// What the server is configured to be as of now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.0.watched.config.borrow())
    }

    /// The state as of now.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.0.watched.status.borrow())
    }

    /// The table of requests, where messages enter.
    pub fn mux(&self) -> &Mux {
        &self.0.mux
    }

    /// What the child said of itself in the last handshake that was done; `None` before the first.
    pub fn handshake(&self) -> Option<Arc<Handshake>> {
        self.0.watched.handshake.borrow().clone()
    }

    /// The era of the last handshake that was done; `None` before the first.
    pub fn era(&self) -> Option<Era> {
        let handshake = self.0.watched.handshake.borrow();
        handshake.as_ref().map(|handshake| handshake.era)
    }

    /// The era that the server is spoken to in: that of the last handshake, or before the first the one that it is
    /// started for.
    pub fn spoken_era(&self) -> Option<Era> {
        self.era().or_else(|| self.0.era_wish.get())
    }

    /// The era that a process that was never ready is started for: this one, where the caller is the first who
    /// asks.
    pub fn wish_era(&self, era: Era) -> Era {
        self.0.era_wish.settle(era)
    }

    /// What is known of the eras that the server speaks, from all its processes and from earlier gateways.
    pub fn era_facts(&self) -> EraFacts {
        self.0.eras.facts(&self.0.watched.program.borrow())
    }

    /// The handshake of the first start, or `None` as soon as that has failed; wakes the server if it sleeps.
    /// Cancel safe.
    pub async fn first_start(&self) -> Option<Arc<Handshake>> {
        let mut handshake = self.0.watched.handshake.clone();
        let mut status = self.0.watched.status.clone();
        let known = handshake.borrow().clone();
        if known.is_some() {
            return known;
        }
        self.0.mux.knock().ok()?;
        loop {
            {
                let status = status.borrow_and_update();
                if status.has_ended() || status.next_start.is_some() {
                    return None;
                }
            }
            tokio::select! {
                known = handshake.wait_for(Option::is_some) => return known.ok()?.clone(),
                changed = status.changed() => changed.ok()?,
            }
        }
    }

    /// Has the server stopped for good once the requests under way are answered or have had `drain_ms`, and waits for
    /// nothing; `why` goes to the log. `false` where its actor is too busy to take that.
    pub fn dismiss(&self, why: &'static str) -> bool {
        let (done, _taken) = oneshot::channel();
        let kind = OrderKind::Retire(why);
        match self.0.orders.try_send(Order { kind, done }) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }

    /// True where no process of it is left and none will come.
    pub fn is_gone(&self) -> bool {
        self.0.orders.is_closed()
    }

    /// The first handshake, waking the server if it sleeps; waits as long as a request would, and fails
    /// as a request would. Cancel safe.
    pub async fn wait_for_handshake(&self) -> Result<Arc<Handshake>, Fault> {
        let mut handshake = self.0.watched.handshake.clone();
        let known = handshake.borrow().clone();
        if let Some(handshake) = known {
            return Ok(handshake);
        }
        let patience = self.0.mux.knock()?;
        let mut deadline = Instant::now() + patience;
        let mut status = self.0.watched.status.clone();
        loop {
            let next_start = {
                let status = status.borrow_and_update();
                if status.has_ended() {
                    return Err(self
                        .0
                        .mux
                        .knock()
                        .err()
                        .unwrap_or_else(|| self.0.mux.explain(faults::starting(None))));
                }
                status.next_start
            };
            if next_start.is_some() {
                // The start that this waited for has failed: what is left is a restart's patience.
                deadline = deadline.min(Instant::now() + self.config().requests.hold);
            }
            tokio::select! {
                known = handshake.wait_for(Option::is_some) => {
                    return known.ok().and_then(|known| known.clone()).ok_or_else(gone);
                }
                changed = status.changed() => changed.map_err(|_closed| gone())?,
                () = tokio::time::sleep_until(deadline) => {
                    if deadline.elapsed() > OVERSLEPT {
                        // The gateway slept: a start that went on meanwhile is yet to be heard of.
                        deadline = Instant::now() + patience;
                        continue;
                    }
                    let wait = next_start.map(|at| at.saturating_duration_since(Instant::now()));
                    return Err(self.0.mux.explain(faults::starting(wait)));
                }
            }
        }
    }

    /// Starts the server, also out of `failed`; returns once the order is taken. With `wait`, returns
    /// when the server is ready, or with the fault that it cannot be.
    pub async fn start(&self, wait: bool) -> Result<(), Fault> {
        self.order(OrderKind::Start).await?;
        if wait {
            self.until_ready().await
        } else {
            Ok(())
        }
    }

    /// Stops the server and keeps it stopped; with `wait`, returns when no process of it is left.
    pub async fn stop(&self, pace: Pace, wait: bool) -> Result<(), Fault> {
        self.order(OrderKind::Stop(pace)).await?;
        if wait {
            let mut status = self.0.watched.status.clone();
            status
                .wait_for(|status| status.state != State::Stopping)
                .await
                .map_err(|_closed| gone())?;
        }
        Ok(())
    }

    /// Stops the server and starts it anew; `wait` as in [`ServerHandle::start`].
    pub async fn restart(&self, pace: Pace, wait: bool) -> Result<(), Fault> {
        self.order(OrderKind::Restart(pace)).await?;
        if wait {
            self.until_ready().await
        } else {
            Ok(())
        }
    }

    /// Makes the server another from now on: deadlines and policies at once, and by a new process in the place
    /// of one that would not be the same. Returns once the order is taken. The id must be the same.
    pub async fn configure(&self, config: Config) -> Result<(), Fault> {
        // The file does not say whose process this is.
        let instance = self.config().instance.clone();
        let config = Config { instance, ..config };
        self.order(OrderKind::Configure(Arc::new(config))).await
    }

    /// Stops the server for good and waits until no process of it is left; its supervisor knows it no
    /// more. Requests under way have `drain_ms` to be answered, and those that wait or come now end with
    /// `shutting_down`. `why` goes to the log. If the future is dropped before it is done, the server may live on.
    pub async fn retire(&self, why: &'static str) {
        // An actor that is gone has nothing to shut down.
        let _ = self.order(OrderKind::Retire(why)).await;
        let mut status = self.0.watched.status.clone();
        while status.changed().await.is_ok() {}
    }

    /// The newest lines of the server's stderr, oldest first.
    pub fn stderr_tail(&self) -> Vec<String> {
        self.0.stderr.tail(TAIL_LINES)
    }

    /// What is wrong with how the server writes its messages, where its present or last life made a mistake
    /// that is known.
    pub fn stdout_fault(&self) -> Option<String> {
        self.0.stdout.told()
    }

    /// All lines of stderr that are kept, oldest first.
    pub fn stderr_kept(&self) -> Vec<String> {
        self.0.stderr.tail(usize::MAX)
    }

    /// The newest lines of stderr, and of stdout those that are no messages, marked as such; oldest first.
    pub fn output_tail(&self) -> Vec<OutputLine> {
        self.0.stderr.all(TAIL_LINES)
    }

    /// These lines from now on; slow readers lose the oldest.
    pub fn output_follow(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.stderr.follow()
    }

    pub(super) async fn order(&self, kind: OrderKind) -> Result<(), Fault> {
        let (done, taken) = oneshot::channel();
        self.0
            .orders
            .send(Order { kind, done })
            .await
            .map_err(|_closed| gone())?;
        taken.await.map_err(|_closed| gone())
    }

    async fn until_ready(&self) -> Result<(), Fault> {
        let mut status = self.0.watched.status.clone();
        let settled = status
            .wait_for(|status| !matches!(status.state, State::Starting | State::Stopping))
            .await
            .map_err(|_closed| gone())?
            .state;
        let fault = match settled {
            State::Ready | State::Unhealthy => return Ok(()),
            State::Backoff | State::Starting | State::Stopping => faults::starting(None),
            State::Stopped => faults::refused(machine::Gate::Stopped),
            State::Failed => faults::refused(machine::Gate::Failed),
        };
        Err(self.0.mux.explain(fault))
    }
}

fn gone() -> Fault {
    faults::shutting_down(Delivered::No)
}
