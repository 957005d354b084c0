//! Processes that the benchmark started: what they use, and their end.
//!
//! What is read of them stands in `/proc` (proc(5)); on other systems there is nothing, and tables show a dash.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// From the start of a process to its first accepted connection.
const START: Duration = Duration::from_mins(1);
/// From SIGTERM to SIGKILL.
const STOP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_micros(200);

/// A process that is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    watched: Watched,
}

/// A process that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched(u32);

impl Running {
    /// Starts a process with its output in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} could not be started", command.get_program().display()))?;
        let watched = Watched(child.id());
        Ok(Self { child, watched })
    }

    /// Waits until it accepts connections.
    pub(crate) async fn listens(&mut self, port: u16, log: &Path) -> anyhow::Result<()> {
        let end = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > end {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("a process does not listen on port {port}: {said}");
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    pub(crate) fn watched(&self) -> Watched {
        self.watched
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(mut self, patience: Duration) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "a process ended with {status}");
                return Ok(());
            }
            sleep(Duration::from_millis(2)).await;
        }
        bail!("a process did not end within {patience:?}")
    }
}

impl Drop for Running {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing else is done while a process ends"
    )]
    fn drop(&mut self) {
        // Once its end was waited for, its number may be another's.
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap_or_default();
        let end = Instant::now() + STOP;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Watched {
    /// User and system time: the fields 14 and 15 of `stat`, in hundredths of a second.
    pub(crate) fn cpu(self) -> Option<Duration> {
        let stat = self.read("stat")?;
        // The fields behind the name begin with the third.
        let (_, rest) = stat.rsplit_once(") ")?;
        let ticks = rest.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Duration::from_millis(ticks * 10))
    }

    /// What it holds in memory.
    pub(crate) fn resident_kib(self) -> Option<u64> {
        kib(&self.read("status")?, "VmRSS:")
    }

    /// What of that is its own and stands in no file.
    pub(crate) fn anonymous_kib(self) -> Option<u64> {
        kib(&self.read("status")?, "RssAnon:")
    }

    /// What nobody shares with it; where only root may know, what is anonymous.
    pub(crate) fn private_kib(self) -> Option<u64> {
        let Some(sums) = self.read("smaps_rollup") else {
            return self.anonymous_kib();
        };
        Some(kib(&sums, "Private_Clean:")? + kib(&sums, "Private_Dirty:")?)
    }

    /// The processes that it started and that still run.
    pub(crate) fn children(self) -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let processes = processes.map(Self);
        let own = format!("PPid:\t{}", self.0);
        processes
            .filter(|process| {
                process
                    .read("status")
                    .is_some_and(|status| status.lines().any(|line| line == own))
            })
            .collect()
    }

    fn read(self, file: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).ok()
    }
}

/// A line of `status` or `smaps_rollup`.
fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many descriptors each process may have from now on: as many as the system lets it.
pub(crate) fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where that is refused, it stays what it was.
    setrlimit(Resource::Nofile, most).unwrap_or_default();
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |current| {
        usize::try_from(current).unwrap_or(usize::MAX)
    })
}

/// A port of loopback that is free now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
