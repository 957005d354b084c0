//! One life of a server: its guard, its pipes, its handshake, from spawn to the last process gone.

mod ending;
mod pipe_ends;

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::OwnedWriteHalf;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::child::{GuardProcess, Reports, Spawner};
use super::config::Config;
use super::eras::{EraMemory, EraWish};
use super::guard::{Order, Report};
use super::handshake::{self, Shaken};
use super::listener::Listener;
use super::machine::{Event, FirstMessage};
use super::mux::Mux;
use super::pipes::{Reader, WriteEnd, drain_stderr};
use super::status::Exit;
use super::stderr::StderrRing;
use super::stdout::StdoutFault;
use crate::spans::{StartFault, StartSpan};
use crate::types::Incarnation;
use pipe_ends::{Written, lives_on, reached, write};

/// From the end of a pipe to the report that the process ended: a process that closes a pipe and lives
/// on has broken the contract.
const PIPE_CLOSED_GRACE: Duration = Duration::from_millis(500);

/// What every life of a server shares.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) mux: Arc<Mux>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) stderr: Arc<StderrRing>,
    pub(super) stdout: Arc<StdoutFault>,
    pub(super) spawner: Spawner,
    pub(super) eras: EraMemory,
    pub(super) era_wish: Arc<EraWish>,
}

/// What a life tells its actor.
#[derive(Debug)]
pub(super) enum News {
    /// The server's own pid.
    Pid(u32),
    /// The handshake is done.
    Ready(Shaken),
    /// The process ended; `asked` where the gateway had closed its stdin or signalled it before.
    Ended { exit: Exit, asked: bool },
    /// Something else for the machine.
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
    first: FirstMessage,
    ends: Ends,
    news: NewsSender,
) {
    let life = Life {
        shared,
        incarnation,
        ends,
        news,
    };
    life.shared.mux.begin(incarnation);
    life.shared.stdout.clear();
    life.shared.stderr.begin_life(incarnation);
    let start = StartSpan::begin(&life.shared.config.id, incarnation);
    match life.shared.spawner.spawn(&life.shared.config).await {
        Ok(guard) => life.run(guard, first, start).await,
        Err(error) => {
            start.failed(StartFault::CannotStart);
            let reason = format!("the guard process cannot be started: {error}");
            life.tell(Event::CannotStart(reason)).await;
        }
    }
    life.lose();
    life.tell(Event::Gone).await;
}

struct Life {
    shared: Shared,
    incarnation: Incarnation,
    ends: Ends,
    news: NewsSender,
}

impl Life {
    async fn send(&self, news: News) {
        // An actor that is gone needs no news.
        let _ = self.news.send((self.incarnation, news)).await;
    }

    async fn tell(&self, event: Event) {
        self.send(News::Event(event)).await;
    }

    /// Nothing more comes from this life: ends what it left unanswered. Says so once.
    fn lose(&self) {
        if self.shared.mux.lose(self.incarnation) {
            self.shared.listener.lost(self.incarnation);
        }
    }

    async fn run(&self, guard: GuardProcess, first: FirstMessage, start: StartSpan) {
        let mut pipes = Pipes::connect(self, guard, first, start);
        while pipes.turn().await {}
        pipes.close().await;
    }
}

/// The running part of a life: the guard, the tasks on its pipes, and what is known of the process.
struct Pipes<'a> {
    life: &'a Life,
    first: FirstMessage,
    /// Until the process runs, and then the handshake has it.
    start: StartSpan,
    process: Child,
    reports: Reports,
    orders: OwnedWriteHalf,
    /// Ends the writer, and with it closes the server's stdin.
    close_stdin: CancellationToken,
    /// Tells the reader that the process has ended.
    ended: CancellationToken,
    writer: JoinSet<Written>,
    /// How the writing ended, once it has.
    written: Option<Written>,
    reader: JoinSet<()>,
    /// The reader of stderr.
    noise: JoinSet<()>,
    handshake: JoinSet<()>,
    pid: Option<u32>,
    /// The end was told: by the process's own, or because it could not be started.
    told: bool,
    /// A pipe was closed, and by when its process must have ended not to have broken the contract.
    broken: Option<(Instant, &'static str)>,
    stopping: bool,
    killing: bool,
    /// By when the guard must have noted the processes of the server, while the end of its stdin waits for that.
    look_deadline: Option<Instant>,
    /// When the guard must have ended everything, once it was told to.
    guard_deadline: Option<Instant>,
}

/// What a turn has seen.
enum Seen {
    Report(Option<Report>),
    Written(Option<Written>),
    StdoutEnd,
    LivesOn(&'static str),
    Stop,
    Kill,
    LookOverdue,
    GuardOverdue,
}

impl<'a> Pipes<'a> {
    fn connect(life: &'a Life, guard: GuardProcess, first: FirstMessage, start: StartSpan) -> Self {
        let GuardProcess {
            process,
            stdin,
            stdout,
            stderr,
            reports,
            orders,
        } = guard;
        let Shared {
            config,
            mux,
            listener,
            stderr: ring,
            stdout: fault,
            spawner: _,
            eras: _,
            era_wish: _,
        } = &life.shared;
        let (close_stdin, ended) = (CancellationToken::new(), CancellationToken::new());
        let (mut writer, mut reader) = (JoinSet::new(), JoinSet::new());
        let mut noise = JoinSet::new();
        noise.spawn(drain_stderr(stderr, Arc::clone(ring), ended.clone()));
        writer.spawn(write(
            stdin,
            Arc::clone(mux),
            life.incarnation,
            config.stdin_stall,
            close_stdin.clone(),
        ));
        let reading = Reader {
            mux: Arc::clone(mux),
            listener: Arc::clone(listener),
            fault: Arc::clone(fault),
            incarnation: life.incarnation,
            max_line_bytes: config.max_line_bytes,
            ended: ended.clone(),
        };
        reader.spawn(reading.run(stdout));
        Self {
            life,
            first,
            start,
            process,
            reports,
            orders,
            close_stdin,
            ended,
            writer,
            written: None,
            reader,
            noise,
            handshake: JoinSet::new(),
            pid: None,
            told: false,
            broken: None,
            stopping: false,
            killing: false,
            look_deadline: None,
            guard_deadline: None,
        }
    }

    /// Waits for one thing to happen and deals with it; `false` when the guard is gone.
    async fn turn(&mut self) -> bool {
        let ends = &self.life.ends;
        let seen = tokio::select! {
            // After a sleep of the gateway all of them may be there at once, and a report explains a closed pipe.
            biased;
            report = self.reports.next() => Seen::Report(report),
            Some(written) = self.writer.join_next() => Seen::Written(written.ok()),
            Some(_) = self.reader.join_next() => Seen::StdoutEnd,
            what = lives_on(self.broken) => Seen::LivesOn(what),
            () = ends.stop.cancelled(), if !self.stopping => Seen::Stop,
            () = ends.kill.cancelled(), if !self.killing => Seen::Kill,
            () = reached(self.look_deadline) => Seen::LookOverdue,
            () = reached(self.guard_deadline) => Seen::GuardOverdue,
        };
        match seen {
            Seen::Report(Some(Report::Started(pid))) => self.started(pid).await,
            Seen::Report(Some(Report::CannotStart(reason))) => {
                self.told = true;
                take(&mut self.start).failed(StartFault::CannotStart);
                self.life.tell(Event::CannotStart(reason)).await;
            }
            Seen::Report(Some(Report::Looked)) | Seen::LookOverdue => self.close_and_stop().await,
            Seen::Report(Some(Report::Ended(exit))) => self.process_ended(exit).await,
            Seen::Report(None) => return false,
            Seen::Written(written) => self.writing_ended(written).await,
            Seen::StdoutEnd => self.pipe_closed("closed its stdout and lives on"),
            Seen::LivesOn(what) => {
                self.broken = None;
                self.life.tell(Event::Broken(what)).await;
                if self.reader.is_empty() {
                    // What it still does, nobody will hear of.
                    self.life.lose();
                }
            }
            Seen::Stop => {
                self.stopping = true;
                self.life.shared.mux.closes(self.life.incarnation);
                self.look_then_stop().await;
            }
            Seen::Kill => {
                self.killing = true;
                self.life.shared.mux.closes(self.life.incarnation);
                self.close_stdin.cancel();
                self.order_guard(Order::Kill, ending::MARGIN).await;
            }
            Seen::GuardOverdue => self.kill_guard().await,
        }
        true
    }

    async fn writing_ended(&mut self, written: Option<Written>) {
        self.written = written;
        match written.map(|written| written.end) {
            Some(WriteEnd::Closed) | None => {}
            Some(WriteEnd::Broken) => self.pipe_closed("closed its stdin and lives on"),
            Some(WriteEnd::Stalled) => {
                self.life
                    .tell(Event::Broken("did not read its stdin for stdin_stall_ms"))
                    .await;
            }
        }
    }

    /// A process that ends closes its pipes too: only one that lives on has broken the contract.
    fn pipe_closed(&mut self, what: &'static str) {
        if !self.told && !self.stopping && self.broken.is_none() {
            self.broken = Some((Instant::now() + PIPE_CLOSED_GRACE, what));
        }
    }

    async fn started(&mut self, pid: i32) {
        self.pid = u32::try_from(pid).ok();
        let start = take(&mut self.start);
        if let Some(pid) = self.pid {
            start.runs(pid);
            self.life.send(News::Pid(pid)).await;
        }
        self.life.tell(Event::Running).await;
        let Life {
            shared,
            incarnation,
            news,
            ends: _,
        } = self.life;
        let (shared, incarnation, news, first) =
            (shared.clone(), *incarnation, news.clone(), self.first);
        let span = start.span();
        let shake = async move {
            let said = match handshake::shake(&shared.mux, &shared.config, first).await {
                Ok(shaken) => {
                    start.ready(&shaken.handshake.revision);
                    shared
                        .listener
                        .handshake_completed(incarnation, &shaken.handshake);
                    News::Ready(shaken)
                }
                Err(reason) => {
                    start.failed(StartFault::Handshake);
                    News::Event(Event::CannotStart(format!("handshake failed: {reason}")))
                }
            };
            let _ = news.send((incarnation, said)).await;
        };
        self.handshake.spawn(shake.instrument(span));
    }

    /// The process ended: reads what it had written, then ends what it left unanswered.
    async fn process_ended(&mut self, exit: Exit) {
        self.told = true;
        self.broken = None;
        self.close_stdin.cancel();
        while let Some(written) = self.writer.join_next().await {
            self.written = written.ok();
        }
        self.read_to_the_end().await;
        if self.written.is_some_and(|written| written.unread) {
            self.life.tell(Event::Unread).await;
        }
        // First the machine, so that nothing new is written to this life; then what was.
        let asked = self.stopping || self.killing;
        self.life.send(News::Ended { exit, asked }).await;
        self.life.lose();
    }

    /// Reads what is left in the pipes: the last answers, and the last words.
    async fn read_to_the_end(&mut self) {
        self.ended.cancel();
        while self.reader.join_next().await.is_some() {}
        while self.noise.join_next().await.is_some() {}
    }
}
