//! The guard: the process between the gateway and one server, which outlives the gateway by as long as
//! it takes to end the server and everything that the server started.
//!
//! The gateway starts its own binary under the name `hmg-guard`, with the id of the server as its one argument. The guard
//! is told through its control socket what to do, makes a session of its own, becomes the
//! reaper of its descendants (Linux), starts the server, and then waits for three things: a word from
//! the gateway, the end of the server, and the end of the gateway itself, which closes the control
//! socket whatever way the gateway dies. A parent-death signal would not do: it is bound to a thread,
//! reaches only the direct child, and is lost on a change of privileges (`PR_SET_PDEATHSIG`(2const)).
//!
//! | descriptor | of the guard | of the server |
//! | --- | --- | --- |
//! | 0 | control socket: orders in, reports out | its stdin |
//! | 1, 2 | the server's stdout and stderr until it is started, then `/dev/null` | its stdout, stderr |
//! | 3 | read end of the server's stdin, closed once the server has it | closed |
//!
//! SIGHUP, SIGINT and SIGTERM do nothing to a guard: they are the gateway's business, and whoever sends them to every
//! process that it can find must not end servers by that.
//!
//! The guard runs before any runtime, argument parser or logger of the daemon is built, so that it
//! stays small: it is one thread and a loop around `poll`.

mod control;
mod ladder;
#[cfg_attr(not(target_os = "linux"), path = "guard/oom_score_unix.rs")]
#[cfg_attr(target_os = "linux", path = "guard/oom_score_linux.rs")]
mod oom_score;
mod tree;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use super::platform::PLAIN_UNIX;
use super::{descriptor_limit, script};

pub(super) use control::{Order, Report};
pub(super) use tree::{ProcessTable, children_of, parents, with_descendants};
#[cfg(target_os = "linux")]
pub(super) use tree::{Stat, stat};

/// Where the guard finds the read end of the server's stdin.
pub(super) const STDIN_FD: i32 = 3;
/// The name of a guard, in its command line and in the list of processes: a signal to every process of the gateway's
/// name (`pkill host-mcp-gateway`) is for the gateway alone.
pub const NAME: &str = "hmg-guard";
/// The longest that a guard is told to do; the system itself takes no longer command line and environment.
const MAX_ORDERS: usize = 16 * 1024 * 1024;

/// What the guard was told to do.
struct Orders {
    /// The soft limit of descriptors for the server; `None` is without a limit.
    descriptors: Option<u64>,
    stop_grace: Duration,
    term_grace: Duration,
    working_dir: Option<PathBuf>,
    program: OsString,
    args: Vec<OsString>,
}

/// What a guard is told first, as it goes through the control socket: its length, then every field with a NUL behind it.
/// Not by its command line, which anybody on the machine may read, and which `pkill -f` looks into.
pub(super) fn orders(config: &super::Config) -> io::Result<Vec<u8>> {
    let graces = [config.stop.grace, config.stop.term_grace];
    let graces = graces.map(|grace| OsString::from(grace.as_millis().to_string()));
    let working_dir = config.launch.working_dir.clone().unwrap_or_default();
    let descriptors = descriptor_limit::inherited().map(|limit| limit.to_string());
    let mut fields = vec![OsString::from(descriptors.unwrap_or_default())];
    fields.extend(graces);
    fields.push(working_dir.into());
    fields.push(config.launch.program.clone().into());
    fields.extend(config.launch.args.iter().map(OsString::from));
    let mut text = Vec::new();
    for field in fields {
        if field.as_bytes().contains(&0) {
            return Err(io::Error::other("a NUL in the command or its arguments"));
        }
        text.extend_from_slice(field.as_bytes());
        text.push(0);
    }
    let len = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok([&len.to_be_bytes()[..], &text].concat())
}

fn parse(text: &[u8]) -> Option<Orders> {
    let mut fields = text.strip_suffix(&[0])?.split(|byte| *byte == 0);
    let descriptors = std::str::from_utf8(fields.next()?).ok()?;
    let mut millis = || {
        let text = std::str::from_utf8(fields.next()?).ok()?;
        text.parse().ok().map(Duration::from_millis)
    };
    let (stop_grace, term_grace) = (millis()?, millis()?);
    let mut fields = fields.map(|field| OsString::from_vec(field.to_vec()));
    Some(Orders {
        descriptors: match descriptors {
            "" => None,
            number => Some(number.parse().ok()?),
        },
        stop_grace,
        term_grace,
        working_dir: fields
            .next()
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from),
        program: fields.next()?,
        args: fields.collect(),
    })
}

/// Runs as the guard.
pub fn main() -> ExitCode {
    // Where it cannot be set, signals to this process still do nothing: see `Wakes`.
    let _ = std::fs::write("/proc/self/comm", NAME);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            control::report(&Report::CannotStart(error));
            ExitCode::FAILURE
        }
    }
}

/// Has the system write no core file of this process and of what it starts: a core file holds the secrets
/// of the memory and of the environment.
pub fn forbid_core_files() -> io::Result<()> {
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(rustix::process::setrlimit(
        rustix::process::Resource::Core,
        none,
    )?)
}

fn run() -> Result<(), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let server_stdin = take_server_stdin().map_err(failed("no stdin for the server"))?;
    // Before it waits for anything: from here on nobody's signal but SIGKILL ends the guard before its work is done.
    let wakes = control::Wakes::install().map_err(failed("no signal handling"))?;
    let orders = control::read_orders(MAX_ORDERS).map_err(failed("no orders of a gateway"))?;
    let orders = parse(&orders).ok_or("the guard is started by the gateway only")?;
    rustix::process::setsid()
        .map_err(io::Error::from)
        .map_err(failed("no session of its own"))?;
    tree::adopt_descendants().map_err(failed("not the reaper of its descendants"))?;
    forbid_core_files().map_err(failed("core limit"))?;
    descriptor_limit::restore(orders.descriptors);
    let server = start(&orders, server_stdin)?;
    let silence = File::options()
        .write(true)
        .open("/dev/null")
        .map_err(failed("/dev/null"))?;
    // From here on the server alone holds its stdout and stderr, so that their end can be seen.
    rustix::stdio::dup2_stdout(&silence)
        .map_err(io::Error::from)
        .map_err(failed("stdout"))?;
    rustix::stdio::dup2_stderr(&silence)
        .map_err(io::Error::from)
        .map_err(failed("stderr"))?;
    control::report(&Report::Started(server.as_raw_nonzero().get()));
    ladder::watch(server, orders.stop_grace, orders.term_grace, &wakes);
    Ok(())
}

/// Opens the server's stdin anew, and closes every descriptor that the guard has no business with: what
/// the gateway itself had inherited without a close-on-exec mark must not reach a server.
fn take_server_stdin() -> io::Result<File> {
    let stdin = File::open(format!("/dev/fd/{STDIN_FD}"))?;
    let own = std::os::fd::AsRawFd::as_raw_fd(&stdin);
    let open: Vec<i32> = std::fs::read_dir("/dev/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd >= STDIN_FD && *fd != own) {
        // The listing's own descriptor is among them and already closed.
        let _ = nix::unistd::close(fd);
    }
    Ok(stdin)
}

fn start(orders: &Orders, stdin: File) -> Result<rustix::process::Pid, String> {
    if let Some(dir) = &orders.working_dir {
        // Told apart here: a failing change of directory and a missing program give the same error.
        let dir_name = dir.display();
        let meta =
            std::fs::metadata(dir).map_err(|error| format!("working_dir {dir_name}: {error}"))?;
        if !meta.is_dir() {
            return Err(format!("working_dir {dir_name}: not a directory"));
        }
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "one of the two places that start processes"
    )]
    let mut command = Command::new(&orders.program);
    command
        .args(&orders.args)
        .stdin(Stdio::from(stdin))
        .process_group(0)
        // A switch of our own tests is not the server's business.
        .env_remove(PLAIN_UNIX);
    if let Some(dir) = &orders.working_dir {
        command.current_dir(dir);
    }
    let child = oom_score::raised(|| command.spawn())
        .map_err(|error| script::cannot_execute(Path::new(&orders.program), &error))?;
    i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(|| "no pid".to_owned())
}
