//! The words between the gateway and a guard, and what wakes the guard.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::supervisor::status::Exit;

/// What the gateway tells a guard: one byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Order {
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

/// What ends a wait of the guard.
#[derive(Debug)]
pub(super) struct Wakes {
    /// Becomes readable on SIGCHLD.
    child: UnixStream,
    /// Becomes readable on SIGTERM, SIGINT and SIGHUP.
    asked_to_end: UnixStream,
}

impl Wakes {
    pub(super) fn install() -> io::Result<Self> {
        let (child, child_end) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGCHLD, child_end)?;
        let (asked_to_end, end) = UnixStream::pair()?;
        // SIGTERM by systemd to the whole control group, or by a person; SIGINT and SIGHUP by a terminal.
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, end.try_clone()?)?;
        }
        child.set_nonblocking(true)?;
        asked_to_end.set_nonblocking(true)?;
        Ok(Self {
            child,
            asked_to_end,
        })
    }

    /// Waits for an order, for a signal, or until the timeout; gives the order.
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
            PollFd::new(&self.asked_to_end, PollFlags::IN),
            PollFd::new(&control, events),
        ];
        let watched = if orphaned {
            fds.get_mut(..2).unwrap_or_default()
        } else {
            &mut fds[..]
        };
        // A signal may interrupt the wait, which is what it is for.
        let _ = poll(watched, timeout.as_ref());
        let [child, asked, control] = fds.map(|fd| !fd.revents().is_empty());
        if child {
            drain(&self.child);
        }
        if asked {
            drain(&self.asked_to_end);
            return Some(Order::Stop);
        }
        (control && !orphaned).then(read_order)
    }
}

fn read_order() -> Order {
    let mut byte = [0];
    match rustix::io::read(io::stdin(), &mut byte) {
        Ok(1) if byte == [Order::Kill.byte()] => Order::Kill,
        Ok(1) => Order::Stop,
        Ok(_) | Err(_) => Order::Orphaned,
    }
}

fn drain(stream: &UnixStream) {
    let mut buffer = [0; 64];
    while let Ok(1..) = rustix::io::read(stream.as_fd(), &mut buffer) {}
}
