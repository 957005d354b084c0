//! The words between the gateway and a guard, and what wakes the guard.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::supervisor::status::Exit;

/// What the gateway tells a guard: one byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Order {
    /// The server's stdin is about to be closed: note its processes, and say so.
    Look,
    /// The server's stdin was closed: run the stop ladder.
    Stop,
    /// End everything at once.
    Kill,
    /// The gateway is gone (the socket's end); never sent.
    Orphaned,
}

impl Order {
    /// The byte on the socket.
    pub(in crate::supervisor) fn byte(self) -> u8 {
        match self {
            Self::Look => b'l',
            Self::Stop => b's',
            Self::Kill => b'k',
            Self::Orphaned => b'o',
        }
    }
}

/// What a guard tells the gateway: one line of JSON each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::supervisor) enum Report {
    /// The server runs, with this pid.
    Started(i32),
    /// The server could not be started.
    CannotStart(String),
    /// The processes of the server were noted.
    Looked,
    /// The server ended.
    Ended(Exit),
}

/// Tells the gateway something. Where it cannot be told it is gone, and that is noticed elsewhere.
pub(super) fn report(report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        // A report is far smaller than the socket's buffer: it is written whole or not at all.
        let _ = rustix::io::write(io::stdin(), &line);
    }
}

/// Reads what the guard is told first (`guard::orders`), unless it is longer than `most`.
pub(super) fn read_orders(most: usize) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    read_exact(&mut len)?;
    let len = usize::try_from(u32::from_be_bytes(len)).map_err(io::Error::other)?;
    if len > most {
        return Err(io::Error::other(format!(
            "{len} bytes, at most {most} can be taken"
        )));
    }
    let mut orders = vec![0; len];
    read_exact(&mut orders)?;
    Ok(orders)
}

/// Reads from the control socket itself: a buffer would take what comes after it, too.
fn read_exact(mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match rustix::io::read(io::stdin(), &mut *into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => into = into.get_mut(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What ends a wait of the guard.
#[derive(Debug)]
pub(super) struct Wakes {
    /// Becomes readable on SIGCHLD.
    child: UnixStream,
}

impl Wakes {
    pub(super) fn install() -> io::Result<Self> {
        let (child, child_end) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGCHLD, child_end)?;
        // They are for the gateway: systemd sends SIGTERM to a whole control group, and a person SIGHUP to whatever
        // looks like the gateway. Handled and not ignored: what is ignored stays so in the server (execve(2)).
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::flag::register(signal, Arc::default())?;
        }
        child.set_nonblocking(true)?;
        Ok(Self { child })
    }

    /// Waits for an order, for the end of a child, or until the timeout; gives the order.
    pub(super) fn wait(
        &self,
        timeout: Option<std::time::Duration>,
        orphaned: bool,
    ) -> Option<Order> {
        let control = io::stdin();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // Once the gateway is gone the control socket is readable for ever: it is left out then.
        let events = if orphaned {
            PollFlags::empty()
        } else {
            PollFlags::IN
        };
        let mut fds = [
            PollFd::new(&self.child, PollFlags::IN),
            PollFd::new(&control, events),
        ];
        let watched = if orphaned {
            fds.get_mut(..1).unwrap_or_default()
        } else {
            &mut fds[..]
        };
        // A signal may interrupt the wait, which is what it is for.
        let _ = poll(watched, timeout.as_ref());
        let [child, control] = fds.map(|fd| !fd.revents().is_empty());
        if child {
            drain(&self.child);
        }
        (control && !orphaned).then(read_order)
    }
}

fn read_order() -> Order {
    let mut byte = [0];
    match rustix::io::read(io::stdin(), &mut byte) {
        Ok(1) if byte == [Order::Kill.byte()] => Order::Kill,
        Ok(1) if byte == [Order::Look.byte()] => Order::Look,
        Ok(1) => Order::Stop,
        Ok(_) | Err(_) => Order::Orphaned,
    }
}

fn drain(stream: &UnixStream) {
    let mut buffer = [0; 64];
    while let Ok(1..) = rustix::io::read(stream.as_fd(), &mut buffer) {}
}
