//! gremlin: a stdio MCP server that misbehaves when it is told to. It exists for the tests and is not installed.
//!
//! What it does wrong is chosen for one call (`tools/call` of the tool `gremlin` with `{"do": …}`, see
//! [`deeds`]) or for the whole process (the variable `GREMLIN`, a JSON object, see [`orders`]). With
//! `GREMLIN_JOURNAL` set, every frame it reads is appended to that file (see [`journal`]), so that a
//! test can count how often a request arrived.
//!
//! Frames are read by the main thread, in order. A deed that takes time gets a thread of its own, so
//! answers may overtake each other.

#![expect(
    clippy::disallowed_methods,
    clippy::exit,
    reason = "the fixture sleeps on its own threads, starts its own grandchildren, and exits on order"
)]

mod call;
mod deeds;
mod journal;
mod orders;
mod processes;
mod protocol;
mod state;
mod wire;

use std::io::BufRead as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use orders::Orders;
use state::Gremlin;

/// No gremlin outlives this, unless it was told another lifetime: a broken test must not litter the machine for ever.
const LIFETIME: Duration = Duration::from_mins(5);

/// What the reading loop does after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Read the next frame.
    Continue,
    /// Read nothing for this long.
    Pause(Duration),
    /// Read so many bytes at a time and so seldom, and heed nothing of it any more.
    Trickle {
        /// At a time; at least 1.
        bytes: usize,
        /// From one time to the next.
        every: Duration,
    },
}

fn main() -> ExitCode {
    let orders = match Orders::from_env() {
        Ok(orders) => orders,
        Err(fault) => {
            wire::complain(&format!("GREMLIN: {fault}"));
            return ExitCode::from(64);
        }
    };
    let lifetime = orders.lifetime_s.map_or(LIFETIME, Duration::from_secs);
    std::thread::spawn(move || {
        std::thread::sleep(lifetime);
        std::process::exit(70);
    });
    if orders.ignore_term {
        processes::ignore_term();
    }
    if let Some(grandchild) = &orders.grandchild {
        processes::live_as_grandchild(grandchild);
    }
    orders.at_start();
    serve(&Arc::new(Gremlin::new(orders)));
    ExitCode::SUCCESS
}

fn serve(gremlin: &Arc<Gremlin>) {
    let mut input = std::io::stdin().lock();
    let mut frame = Vec::new();
    loop {
        frame.clear();
        match input.read_until(b'\n', &mut frame) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if frame.last() == Some(&b'\n') {
            frame.pop();
        }
        gremlin.journal.record(&frame);
        match protocol::handle(gremlin, &frame) {
            Flow::Continue => {}
            Flow::Pause(pause) => std::thread::sleep(pause),
            Flow::Trickle { bytes, every } => {
                processes::trickle(bytes, every);
                break;
            }
        }
    }
    for id in gremlin.refused_at_eof() {
        // As the Python SDK does it.
        wire::refuse(&id, -32000, "Connection closed", None);
    }
    if gremlin.orders.ignore_eof {
        std::thread::sleep(LIFETIME);
    }
}
