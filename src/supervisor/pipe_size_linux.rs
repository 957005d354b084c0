//! How much a pipe holds that has not been read: on Linux 64 KiB, which is hundreds of small messages.

use std::os::fd::AsFd;

use rustix::pipe::fcntl_setpipe_size;

/// Enough for a write to be worth its while. What is in a pipe cannot be overtaken, so the less it holds the sooner a
/// server reads what one client sends beside another that sends without end.
const SHORT: usize = 16 * 1024;

/// Lets a pipe hold less.
pub(super) fn shorten(pipe: impl AsFd) {
    if let Err(error) = fcntl_setpipe_size(pipe, SHORT) {
        tracing::debug!(%error, "a pipe keeps its size: {error}");
    }
}
