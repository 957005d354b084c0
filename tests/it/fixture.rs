//! The gremlin does what it is told: what other tests build on it is no accident.

mod endings;
mod handshakes;
mod processes;
mod replies;
mod timing;
