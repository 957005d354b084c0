//! The tests that run real processes: the gateway as it is shipped, real MCP servers, and the gremlin.
//!
//! One binary, so that there is one thing to link. `support` holds what tests stand on; every other module
//! holds the promises of one subject.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report; processes and threads here are the test's own"
)]
#![expect(
    dead_code,
    reason = "the support is a kit; the tests that use the rest of it come with the gateway's behaviour"
)]

mod collector;
mod fixture;
mod real_servers;
mod support;
mod support_itself;
mod telemetry;
