//! Starting the guard of one server, and the ends of its pipes that the gateway keeps.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::config::Config;
use super::{guard, orphans, pipe_size, platform, program};
use crate::shards::in_thread;

/// How many guards are started at the same time; each start blocks a thread for a fork and an exec.
const CONCURRENT_SPAWNS: usize = 4;
/// How long a guard may take to read what it is to do.
const ORDERS_TAKEN: Duration = Duration::from_secs(5);

/// Limits how many processes are started at once. Shared by all servers of a supervisor.
#[derive(Clone, Debug)]
pub(super) struct Spawner(Arc<Semaphore>);

/// A started guard. Dropping it closes the control socket, which makes the guard end everything.
#[derive(Debug)]
pub(super) struct GuardProcess {
    pub(super) process: Child,
    pub(super) stdin: pipe::Sender,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
    pub(super) reports: Reports,
    pub(super) orders: OwnedWriteHalf,
}

/// What the guard tells us.
#[derive(Debug)]
pub(super) struct Reports(Lines<BufReader<OwnedReadHalf>>);

impl Reports {
    /// The next report; `None` when the guard is gone. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<guard::Report> {
        let line = self.0.next_line().await.ok().flatten()?;
        serde_json::from_str(&line).ok()
    }
}

impl Spawner {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CONCURRENT_SPAWNS)))
    }

    /// Starts the guard of a server. The error is that of the system, such as a thread or a process that
    /// it does not grant.
    pub(super) async fn spawn(&self, config: &Config) -> io::Result<GuardProcess> {
        let (env, id) = (config.launch.env.clone(), config.id.to_string());
        let orders = guard::orders(config)?;
        let is_divided = config.requests.divided;
        let started = self.in_turn(move || start(env, &id, &orders, is_divided));
        started.await?
    }

    /// Runs a start when it is its turn.
    async fn in_turn<T: Send + 'static>(
        &self,
        start: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let _permit = self.0.acquire().await.map_err(io::Error::other)?;
        let runtime = Handle::current();
        // The fork copies page tables and the exec reads a file. Where nobody waits for it any more what was started is
        // dropped, which ends the guard.
        let started = in_thread("spawn", move || {
            let _entered = runtime.enter();
            start()
        })?;
        started.await.map_err(io::Error::other)
    }
}

/// Starts a guard and tells it what to do; blocks. `is_divided` where several principals may use the server.
fn start(
    env: Vec<(OsString, OsString)>,
    id: &str,
    orders: &[u8],
    is_divided: bool,
) -> io::Result<GuardProcess> {
    let (stdin_read, stdin_write) = io::pipe()?;
    if is_divided {
        pipe_size::shorten(&stdin_write);
    }
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "one of the places that start processes"
    )]
    let mut command = Command::new(program::path()?);
    command
        // What people see in `ps`, and what makes the program a guard.
        .arg0(guard::NAME)
        .arg(id)
        .env_clear()
        .envs(env)
        .envs(platform::selection())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mapping = FdMapping {
        parent_fd: OwnedFd::from(stdin_read),
        child_fd: guard::STDIN_FD,
    };
    command
        .fd_mappings(vec![mapping])
        .map_err(io::Error::other)?;
    let process = orphans::start_guard(|| command.spawn())?;
    // The command still holds our copies of the guard's ends.
    drop(command);
    let guard = pid_of(&process);
    let told = ours
        .set_write_timeout(Some(ORDERS_TAKEN))
        .and_then(|()| ours.write_all(orders));
    let connected = told.and_then(|()| connect(process, ours, stdin_write));
    // One that is left to itself ends, and is reaped by the runtime.
    connected.inspect_err(|_| orphans::forget_guard(guard))
}

/// Takes the gateway's ends of what connects it with a guard.
fn connect(
    mut process: Child,
    control: std::os::unix::net::UnixStream,
    stdin: io::PipeWriter,
) -> io::Result<GuardProcess> {
    let missing = || io::Error::other("a pipe of the guard is missing");
    control.set_nonblocking(true)?;
    let (reports, orders) = UnixStream::from_std(control)?.into_split();
    Ok(GuardProcess {
        stdin: pipe::Sender::from_owned_fd(OwnedFd::from(stdin))?,
        stdout: process.stdout.take().ok_or_else(missing)?,
        stderr: process.stderr.take().ok_or_else(missing)?,
        reports: Reports(BufReader::new(reports).lines()),
        orders,
        process,
    })
}

/// The pid of a guard that was not waited for yet.
pub(super) fn pid_of(guard: &Child) -> Option<Pid> {
    guard.id().and_then(|id| Pid::from_raw(id.try_into().ok()?))
}

/// Tells a guard something. One that cannot be told is gone.
pub(super) async fn order(orders: &mut OwnedWriteHalf, order: guard::Order) {
    let _ = orders.write_all(&[order.byte()]).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// F36: of two hundred starts at once, four are under way, never more and never fewer.
    #[tokio::test]
    async fn starts_take_turns() {
        let spawner = Spawner::new();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Nobody passes it before as many are there.
        let barrier = Arc::new(Barrier::new(CONCURRENT_SPAWNS));
        let starts = (0..200).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let barrier = Arc::clone(&barrier);
            spawner.in_turn(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                barrier.wait();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        for done in join_all(starts).await {
            done.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), CONCURRENT_SPAWNS);
    }
}
