//! The ends of a process's pipes: what it has left unread, and when closing one breaks the contract.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::supervisor::mux::Mux;
use crate::supervisor::pipes::{WriteEnd, write_frames};
use crate::types::Incarnation;

/// How the writing to a process ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) end: WriteEnd,
    /// Nothing was written, or some of it is still in the pipe. The latter is known on Linux; elsewhere what is
    /// written counts as read.
    pub(super) unread: bool,
}

/// Writes what the mux has for this life, and looks at the end at what the process has left in the pipe.
pub(super) async fn write(
    stdin: pipe::Sender,
    mux: Arc<Mux>,
    incarnation: Incarnation,
    stall: Duration,
    close: CancellationToken,
) -> Written {
    let mut stdin = NotingPipe {
        pipe: stdin,
        wrote: false,
    };
    let end = write_frames(&mut stdin, mux, incarnation, stall, close).await;
    let left = rustix::io::ioctl_fionread(&stdin.pipe).is_ok_and(|bytes| bytes > 0);
    Written {
        end,
        unread: left || !stdin.wrote,
    }
}

/// A pipe that notes whether anything was written to it.
struct NotingPipe {
    pipe: pipe::Sender,
    wrote: bool,
}

impl AsyncWrite for NotingPipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.pipe).poll_write(context, bytes);
        self.wrote |= matches!(written, Poll::Ready(Ok(count)) if count > 0);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

/// Resolves when a process whose pipe was closed should have ended.
pub(super) async fn lives_on(broken: Option<(Instant, &'static str)>) -> &'static str {
    reached(broken.map(|(until, _)| until)).await;
    broken.map_or("", |(_, what)| what)
}

/// Resolves at this time; never where there is none.
pub(super) async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
