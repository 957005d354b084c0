//! The gateway as the first process of a container: pid 1 starts the gateway below itself and stays what pid 1 is, the
//! parent of every orphan.
//!
//! So the orphans of other programs are reaped here and never come to the gateway, and what does come to it was left by a
//! guard: nothing else is killed with a server. The gateway cannot be both. It could not tell the daemon of an entrypoint
//! script from what a server left behind, and reaping every child would take the exits of the guards from the runtime.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::memory;

/// Beyond the number of the signal by which a process has ended: its exit code in a shell.
const BY_SIGNAL: i32 = 128;

/// Runs this program below this process, where that is pid 1, and gives its exit code when it has ended.
///
/// `None` where this process is not pid 1, or the system starts no other one: then it is the gateway itself.
pub fn run_below_init() -> Option<u8> {
    if getpid() != Pid::INIT {
        return None;
    }
    // The tokens are in its environment, too.
    memory::close();
    let signals = Signals::install().ok()?;
    let gateway = start().ok()?;
    Some(signals.serve(gateway))
}

/// Starts the gateway in a process group of its own: what a terminal sends to its foreground reaches pid 1 alone, which
/// passes it on, so that one Ctrl-C is one signal.
fn start() -> io::Result<Pid> {
    let mut args = std::env::args_os();
    #[expect(
        clippy::disallowed_methods,
        reason = "one of the places that start processes"
    )]
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    let gateway = command.args(args).process_group(0).spawn()?;
    let pid = i32::try_from(gateway.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("no pid"))
}

/// The signals of pid 1.
struct Signals {
    /// Becomes readable with every signal.
    woken: UnixStream,
    /// Those that are passed on, and whether one has come.
    passed: [(Signal, Arc<AtomicBool>); 3],
}

impl Signals {
    fn install() -> io::Result<Self> {
        let (woken, wake) = UnixStream::pair()?;
        let passed =
            [Signal::TERM, Signal::INT, Signal::HUP].map(|signal| (signal, Arc::default()));
        // A flag is set before the wake is written: handlers run in the order in which they were registered.
        for (signal, came) in &passed {
            signal_hook::flag::register(signal.as_raw(), Arc::clone(came))?;
        }
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
        }
        Ok(Self { woken, passed })
    }

    /// Passes signals on and reaps whatever ends, until that is the gateway; gives its exit code.
    fn serve(mut self, gateway: Pid) -> u8 {
        let mut woken = [0; 64];
        loop {
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                if pid == gateway {
                    return code_of(status);
                }
            }
            for (signal, came) in &self.passed {
                if came.swap(false, Ordering::SeqCst) {
                    let _ = kill_process(gateway, *signal);
                }
            }
            // An interrupted read has been woken as well.
            let _ = self.woken.read(&mut woken);
        }
    }
}

fn code_of(status: WaitStatus) -> u8 {
    let by_signal = status.terminating_signal().map(|signal| BY_SIGNAL + signal);
    let code = status.exit_status().or(by_signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
