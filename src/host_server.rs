//! The built-in MCP server about the host: what `demo` serves, and a first server to try things on.
//!
//! It speaks MCP over stdin and stdout in both eras: the legacy handshake (2024-11-05 to 2025-11-25)
//! and the stateless requests of 2026-07-28. It reads, it never changes anything, and it shows no
//! command line and no environment of any process, since these hold secrets.
//!
//! One thread reads and answers what is quick; each call that may take time has a thread of its own,
//! so that no call delays another. The number of calls at a time, the length of a message and the
//! length of a call are bounded.

mod call;
mod calls;
mod era;
mod lines;
mod message;
mod output;
mod prompts;
mod resources;
mod rpc;
mod session;
mod stats;
mod tools;

use std::io::{self, BufRead, Write};

use self::lines::{Line, Lines};
use self::output::Output;
use self::session::Session;

/// The longest message that is taken, in bytes without its newline.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Serves MCP until `input` ends, and returns when every call has ended or one second after that.
///
/// Calls that are waiting when the input ends are answered with an error at once. Fails when the
/// input cannot be read or the output not be written.
pub fn serve(input: impl BufRead, output: impl Write + Send + 'static) -> io::Result<()> {
    let output = Output::new(output);
    let mut session = Session::new(output.clone());
    let mut lines = Lines::new(input, MAX_MESSAGE_BYTES);
    while let Some(line) = lines.next_line()? {
        match line {
            Line::Whole(bytes) => session.receive(bytes),
            Line::TooLong => output.send(&rpc::error(None, &rpc::too_long(MAX_MESSAGE_BYTES))),
        }
        output.health()?;
    }
    session.end();
    output.health()
}

#[cfg(test)]
mod tests;
