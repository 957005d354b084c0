//! Log lines on their way to stderr: a bounded queue and the one thread that writes.
//!
//! A full, closed or blocked stderr never holds up the thread that logs: a line that does not fit is
//! counted and dropped.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes that wait to be written.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How long a write waits for a non-blocking stderr (one that shares its terminal with such a process)
/// before its lines are given up.
const UNWRITABLE: Duration = Duration::from_secs(1);

/// A handle on the queue; a clone is a handle on the same one.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Something was pushed, or the queue was closed.
    filled: Condvar,
    /// Everything that was pushed has been written or given up.
    idle: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<String>,
    bytes: usize,
    writing: bool,
    closed: bool,
}

impl Queue {
    /// Starts the thread that writes to `sink`; it ends after [`Queue::close`].
    ///
    /// `report` makes the line that says how many lines are missing.
    pub(super) fn start(
        sink: impl Sink,
        report: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self(Arc::new(Shared {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            idle: Condvar::new(),
            dropped: AtomicU64::new(0),
        }));
        let of_thread = queue.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_thread.write_to(sink, &report))?;
        Ok(queue)
    }

    /// Hands one line over, its newline included; never blocks on the sink.
    pub(super) fn push(&self, line: String) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.bytes + line.len() > MAX_BYTES {
            drop(waiting);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Lines that were dropped so far, because the queue was full or the sink failed.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written or given up, at most for `limit`, then takes no more.
    pub(super) fn close(&self, limit: Duration) {
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let (mut waiting, _) = self
            .0
            .idle
            .wait_timeout_while(self.lock(), limit, busy)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        drop(waiting);
        self.0.filled.notify_one();
    }

    fn write_to(&self, mut sink: impl Sink, report: &dyn Fn(u64) -> String) {
        let mut reported = 0;
        while let Some(lines) = self.take() {
            let mut batch = lines.iter().fold(String::new(), |batch, line| batch + line);
            let dropped = self.dropped();
            if dropped > reported {
                batch.push_str(&report(dropped - reported));
                reported = dropped;
            }
            if write_patiently(&mut sink, batch.as_bytes()).is_err() {
                // Not logged: there is nowhere to log to. The metric shows it.
                let lost = u64::try_from(lines.len()).unwrap_or(u64::MAX);
                self.0.dropped.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    /// The lines that wait, as soon as there are any; `None` when the queue is closed and empty.
    fn take(&self) -> Option<VecDeque<String>> {
        let mut waiting = self.lock();
        waiting.writing = false;
        if waiting.lines.is_empty() {
            self.0.idle.notify_all();
        }
        while waiting.lines.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self
                .0
                .filled
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.bytes = 0;
        waiting.writing = true;
        Some(std::mem::take(&mut waiting.lines))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where lines end up.
pub trait Sink: Write + Send + 'static {
    /// Waits until a write may succeed again, after one that would have blocked.
    fn wait_writable(&self, limit: Duration) -> io::Result<()>;
}

impl Sink for std::fs::File {
    fn wait_writable(&self, limit: Duration) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(self, PollFlags::OUT)];
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&limit))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

fn write_patiently(sink: &mut impl Sink, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sink.wait_writable(UNWRITABLE)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use tokio::time::Instant;

    fn pipe() -> (File, File) {
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        (read.into(), write.into())
    }

    const SOON: Duration = Duration::from_secs(5);

    fn start(sink: File) -> Queue {
        Queue::start(sink, |count| format!("{count} are missing\n")).expect("thread")
    }

    #[test]
    fn lines_are_written_in_order_before_close_returns() {
        let (read, write) = pipe();
        let queue = start(write);
        for i in 0..100 {
            queue.push(format!("{i}\n"));
        }
        queue.close(SOON);
        let text = io::read_to_string(read).expect("the writer closed its end");
        let numbers: Vec<_> = text.lines().map(str::parse).collect();
        assert_eq!(numbers, (0..100).map(Ok::<i32, _>).collect::<Vec<_>>());
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_pipe_that_nobody_reads_costs_lines_and_no_time() {
        let (read, write) = pipe();
        let queue = start(write);
        let line = "x".repeat(64 * 1024) + "\n";
        let before = Instant::now();
        for _ in 0..200 {
            queue.push(line.clone());
        }
        assert!(queue.dropped() > 50, "dropped {}", queue.dropped());
        queue.close(Duration::from_millis(50));
        assert!(before.elapsed() < SOON);
        // Read at last, the queue empties, and says wherever something is missing how much it is.
        let text = io::read_to_string(read).expect("text");
        let (written, reports): (Vec<_>, Vec<_>) = text.lines().partition(|l| l.starts_with('x'));
        let missing = reports.iter().map(|report| {
            let count = report.strip_suffix(" are missing").expect("a report");
            count.parse::<usize>().expect("a number")
        });
        assert_eq!(written.len() + missing.sum::<usize>(), 200);
    }

    #[test]
    fn a_sink_that_fails_is_counted_and_survived() {
        let full = File::options().write(true).open("/dev/full");
        let (read, closed) = pipe();
        drop(read);
        for sink in [
            full.unwrap_or_else(|_| closed.try_clone().expect("fd")),
            closed,
        ] {
            let queue = start(sink);
            queue.push("lost\n".to_owned());
            queue.push("lost too\n".to_owned());
            queue.close(SOON);
            assert_eq!(queue.dropped(), 2);
        }
    }

    #[test]
    fn a_non_blocking_sink_is_waited_for() {
        let (mut read, write) = pipe();
        rustix::fs::fcntl_setfl(&write, rustix::fs::OFlags::NONBLOCK).expect("fcntl");
        let queue = start(write);
        let line = "y".repeat(256 * 1024) + "\n";
        queue.push(line.clone());
        let mut text = vec![0; line.len()];
        read.read_exact(&mut text).expect("all of it");
        queue.close(SOON);
        assert_eq!(text, line.as_bytes());
        assert_eq!(queue.dropped(), 0);
    }
}
