//! The end of a life: what the guard is told, and what the gateway does where the guard does not, or is lost.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::{Instant, timeout};

use super::Pipes;
use crate::supervisor::child::{order, pid_of};
use crate::supervisor::guard::Order;
use crate::supervisor::machine::Event;
use crate::supervisor::process_name::{ProcessName, log_process};
use crate::supervisor::status::Exit;
use crate::supervisor::{orphans, platform};

/// Beyond the time of the ladder, and for a kill alone: how long a guard may take to end everything before the gateway
/// does that itself. A server can stop its own guard (SIGSTOP), again and again.
pub(super) const MARGIN: Duration = Duration::from_secs(1);
/// How long the end of stdin waits for the guard to note the processes of the server.
const LOOK: Duration = Duration::from_secs(1);
/// A guard whose socket is closed is about to be gone.
const GUARD_EXIT: Duration = Duration::from_secs(5);

impl Pipes<'_> {
    /// Begins the stop. Where a process is found by its parents only, the guard notes those of the server first: it may
    /// end at once when its stdin does, and what it started then has no parents any more.
    pub(super) async fn look_then_stop(&mut self) {
        self.look_deadline = Some(Instant::now() + LOOK);
        if platform::finds_descendants() || self.told {
            self.close_and_stop().await;
        } else {
            order(&mut self.orders, Order::Look).await;
            self.wake_guard();
        }
    }

    /// Closes the server's stdin and has the guard run the stop ladder; does nothing the second time.
    pub(super) async fn close_and_stop(&mut self) {
        if self.look_deadline.take().is_none() {
            return;
        }
        self.close_stdin.cancel();
        while let Some(written) = self.writer.join_next().await {
            self.written = written.ok();
        }
        let stop = self.life.shared.config.stop;
        let ladder = stop.grace + stop.term_grace;
        self.order_guard(Order::Stop, ladder + MARGIN).await;
    }

    /// Tells the guard to end everything within this time. It is woken: its server may have stopped it.
    pub(super) async fn order_guard(&mut self, what: Order, within: Duration) {
        order(&mut self.orders, what).await;
        self.wake_guard();
        let deadline = Instant::now() + within;
        let earlier = self.guard_deadline.filter(|known| *known < deadline);
        self.guard_deadline = Some(earlier.unwrap_or(deadline));
    }

    fn wake_guard(&self) {
        if let Some(guard) = pid_of(&self.process) {
            let _ = kill_process(guard, Signal::CONT);
        }
    }

    /// Does the work of a guard that does not do it; the end of the guard is noticed as any other is.
    pub(super) async fn kill_guard(&mut self) {
        self.guard_deadline = None;
        let id = &self.life.shared.config.id;
        log_process!(
            warn,
            self.name(),
            "the guard of server {id} did not end it in time; killing both"
        );
        if let Some(guard) = pid_of(&self.process) {
            // Once the server was reaped its number may be a stranger's.
            let server = self.server().filter(|_| !self.told);
            orphans::kill_guard(guard, server).await;
        }
    }

    fn name(&self) -> ProcessName<'_> {
        let shared = &self.life.shared;
        ProcessName::new(
            &shared.config,
            shared.era_wish.get(),
            self.life.incarnation,
            self.pid,
        )
    }

    /// The server's own process, which leads its process group.
    fn server(&self) -> Option<Pid> {
        self.pid.and_then(|pid| Pid::from_raw(pid.try_into().ok()?))
    }

    /// Waits for the guard, and for the tasks on the pipes.
    pub(super) async fn close(mut self) {
        let guard = pid_of(&self.process);
        let exit = match timeout(GUARD_EXIT, self.process.wait()).await {
            Ok(exit) => exit,
            Err(_elapsed) => {
                let _ = self.process.start_kill();
                self.process.wait().await
            }
        };
        orphans::forget_guard(guard);
        let group = self.server();
        // A guard that was killed may have been in the middle of ending what the server had left.
        let killed = exit.map_or(true, |exit| exit.code().is_none());
        if killed || (group.is_some() && !self.told) {
            log_process!(
                warn,
                self.name(),
                "the guard of the server was lost; killing what it has left behind"
            );
            if let Some(group) = group.filter(|_| !self.told) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            orphans::end().await;
        }
        match (self.told, group) {
            (true, _) => {}
            (false, Some(_)) => self.process_ended(Exit::Signal(9)).await,
            (false, None) => {
                let reason = "the guard process ended before it started the server";
                self.life.tell(Event::CannotStart(reason.to_owned())).await;
            }
        }
        self.close_stdin.cancel();
        while let Some(written) = self.writer.join_next().await {
            self.written = written.ok();
        }
        self.read_to_the_end().await;
        self.handshake.abort_all();
        while self.handshake.join_next().await.is_some() {}
    }
}
