//! One life of a server: its guard, its pipes, its handshake, from spawn to the last process gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::child::{GuardProcess, Reports, Spawner, order};
use super::config::Config;
use super::guard::{Order, Report};
use super::handshake::{self, Handshake};
use super::listener::Listener;
use super::machine::Event;
use super::mux::Mux;
use super::pipes::{Reader, WriteEnd, drain_stderr, write_frames};
use super::status::Exit;
use super::stderr::StderrRing;
use crate::protocol::Era;
use crate::types::Incarnation;

/// From the end of stdout to the report that the process ended: a process that closes its stdout and
/// lives on has broken the contract.
const STDOUT_CLOSED_GRACE: Duration = Duration::from_millis(500);
/// A guard whose socket is closed is about to be gone.
const GUARD_EXIT: Duration = Duration::from_secs(5);

/// What every life of a server shares.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) mux: Arc<Mux>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) stderr: Arc<StderrRing>,
    pub(super) spawner: Spawner,
}

/// What a life tells its actor.
#[derive(Debug)]
pub(super) enum News {
    /// The server's own pid.
    Pid(u32),
    /// The handshake is done.
    Ready(Handshake),
    /// Something for the machine.
    Event(Event),
}

/// How an actor ends a life.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    /// Close stdin and run the stop ladder.
    pub(super) stop: CancellationToken,
    /// Kill everything at once.
    pub(super) kill: CancellationToken,
}

/// The actor's line to one life; news of another life do not come through it.
pub(super) type NewsSender = mpsc::Sender<(Incarnation, News)>;

/// Lives one life. The last news is always `Gone`.
pub(super) async fn live(
    shared: Shared,
    incarnation: Incarnation,
    known: Option<Era>,
    ends: Ends,
    news: NewsSender,
) {
    let life = Life {
        shared,
        incarnation,
        ends,
        news,
    };
    match life.shared.spawner.spawn(&life.shared.config).await {
        Ok(guard) => life.run(guard, known).await,
        Err(error) => {
            life.tell(Event::CannotStart(format!(
                "the guard process cannot be started: {error}"
            )))
            .await
        }
    }
    life.shared.mux.lose(life.incarnation);
    life.tell(Event::Gone).await;
}

struct Life {
    shared: Shared,
    incarnation: Incarnation,
    ends: Ends,
    news: NewsSender,
}

/// What a turn of the life's loop has seen.
enum Seen {
    Report(Option<Report>),
    WriteEnd(Option<WriteEnd>),
    StdoutEnd,
    Stop,
    Kill,
}

impl Life {
    async fn send(&self, news: News) {
        // An actor that is gone needs no news.
        let _ = self.news.send((self.incarnation, news)).await;
    }

    async fn tell(&self, event: Event) {
        self.send(News::Event(event)).await;
    }

    async fn run(&self, guard: GuardProcess, known: Option<Era>) {
        let GuardProcess {
            mut process,
            stdin,
            stdout,
            stderr,
            mut reports,
            mut orders,
        } = guard;
        let Shared {
            config,
            mux,
            listener,
            stderr: ring,
            ..
        } = &self.shared;
        let close = CancellationToken::new();
        let ended = CancellationToken::new();
        let mut tasks: JoinSet<()> = JoinSet::new();
        tasks.spawn(drain_stderr(stderr, Arc::clone(ring)));
        let mut writer: JoinSet<WriteEnd> = JoinSet::new();
        writer.spawn(write_frames(
            stdin,
            Arc::clone(mux),
            self.incarnation,
            config.stdin_stall,
            close.clone(),
        ));
        let mut reader: JoinSet<()> = JoinSet::new();
        let reading = Reader {
            mux: Arc::clone(mux),
            listener: Arc::clone(listener),
            max_line_bytes: config.max_line_bytes,
            ended: ended.clone(),
        };
        reader.spawn(reading.run(stdout));
        let (mut exit, mut pid, mut stopping, mut killing) = (None, None, false, false);
        loop {
            let seen = tokio::select! {
                report = reports.next() => Seen::Report(report),
                Some(end) = writer.join_next() => Seen::WriteEnd(end.ok()),
                Some(_) = reader.join_next() => Seen::StdoutEnd,
                () = self.ends.stop.cancelled(), if !stopping => Seen::Stop,
                () = self.ends.kill.cancelled(), if !killing => Seen::Kill,
            };
            match seen {
                Seen::Report(Some(Report::Started(started))) => {
                    pid = u32::try_from(started).ok();
                    self.started(pid, known, &mut tasks).await;
                }
                Seen::Report(Some(Report::CannotStart(reason))) => {
                    self.tell(Event::CannotStart(reason)).await
                }
                Seen::Report(Some(Report::Ended(how))) => {
                    exit = Some(how);
                    close.cancel();
                    self.ended(how, &ended, &mut reader).await;
                }
                // The guard is gone, or about to be.
                Seen::Report(None) => break,
                Seen::WriteEnd(Some(WriteEnd::Stalled)) => {
                    self.tell(Event::Broken("did not read its stdin for stdin_stall_ms"))
                        .await
                }
                Seen::WriteEnd(Some(WriteEnd::Broken)) => {
                    self.broken_pipe(&mut reports, "closed its stdin", &mut exit)
                        .await
                }
                Seen::StdoutEnd if exit.is_none() => {
                    self.broken_pipe(&mut reports, "closed its stdout", &mut exit)
                        .await
                }
                Seen::WriteEnd(_) | Seen::StdoutEnd => {}
                Seen::Stop => {
                    stopping = true;
                    close.cancel();
                    while writer.join_next().await.is_some() {}
                    order(&mut orders, Order::Stop).await;
                }
                Seen::Kill => {
                    killing = true;
                    close.cancel();
                    order(&mut orders, Order::Kill).await;
                }
            }
        }
        close.cancel();
        self.reap(&mut process, pid, exit).await;
        if exit.is_none() && pid.is_some() {
            self.ended(Exit::Signal(9), &ended, &mut reader).await;
        }
        ended.cancel();
        while reader.join_next().await.is_some() {}
        // A process that got away may hold stderr open: what it writes is of no interest.
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    }

    async fn started(&self, pid: Option<u32>, known: Option<Era>, tasks: &mut JoinSet<()>) {
        if let Some(pid) = pid {
            self.send(News::Pid(pid)).await;
        }
        let (shared, news, incarnation) =
            (self.shared.clone(), self.news.clone(), self.incarnation);
        tasks.spawn(async move {
            let shaken = handshake::shake(&shared.mux, shared.config.era_probe, known).await;
            let said = match shaken {
                Ok(handshake) => {
                    shared.listener.ready(incarnation, &handshake);
                    News::Ready(handshake)
                }
                Err(reason) => {
                    News::Event(Event::CannotStart(format!("handshake failed: {reason}")))
                }
            };
            let _ = news.send((incarnation, said)).await;
        });
    }

    /// The process ended: reads what it had written, then ends what it left unanswered.
    async fn ended(&self, exit: Exit, ended: &CancellationToken, reader: &mut JoinSet<()>) {
        ended.cancel();
        while reader.join_next().await.is_some() {}
        // First the machine, so that nothing new is written to this life; then what was.
        self.tell(Event::Ended(exit)).await;
        self.shared.mux.lose(self.incarnation);
    }

    /// A pipe was closed: by the end of the process, which is then reported within a moment, or by a
    /// process that lives on, which is of no use.
    async fn broken_pipe(
        &self,
        reports: &mut Reports,
        what: &'static str,
        exit: &mut Option<Exit>,
    ) {
        match timeout(STDOUT_CLOSED_GRACE, reports.next()).await {
            Ok(Some(Report::Ended(how))) => {
                *exit = Some(how);
                self.tell(Event::Ended(how)).await;
            }
            Ok(Some(Report::CannotStart(reason))) => self.tell(Event::CannotStart(reason)).await,
            Ok(Some(Report::Started(_)) | None) => {}
            Err(_elapsed) => self.tell(Event::Broken(what)).await,
        }
        self.shared.mux.lose(self.incarnation);
    }

    /// Waits for the guard. One that was killed left the server behind, which is killed here.
    async fn reap(&self, process: &mut Child, pid: Option<u32>, exit: Option<Exit>) {
        if timeout(GUARD_EXIT, process.wait()).await.is_err() {
            let _ = process.start_kill();
            let _ = process.wait().await;
        }
        let pid = pid
            .filter(|_| exit.is_none())
            .and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().ok()?));
        if let Some(group) = pid {
            tracing::warn!(server_id = %self.shared.config.id, "the guard of the server was lost; killing the server's process group");
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}
