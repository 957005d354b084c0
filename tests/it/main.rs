//! The tests that run real processes: the gateway as it is shipped, real MCP servers, and the gremlin.
//!
//! One binary, so that there is one thing to link. `support` holds what tests stand on; every other module
//! holds the promises of one subject.

// `cfg(test)` is always on here; the lints that let tests panic look for it.
#![expect(
    clippy::disallowed_methods,
    reason = "processes and threads here are the test's own"
)]
#![expect(
    dead_code,
    reason = "the support is a kit; the tests that use the rest of it come with the gateway's behaviour"
)]

#[cfg(test)]
mod aggregate;
#[cfg(test)]
mod alone;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod bursts;
#[cfg(test)]
mod checking;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod collector;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod conformance_server;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod door;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fidelity;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod gateway_starts;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod mcp_attribution;
#[cfg(test)]
mod mcp_batches;
#[cfg(test)]
mod mcp_endpoint;
#[cfg(test)]
mod mcp_lifetimes;
#[cfg(test)]
mod mcp_modern;
#[cfg(test)]
mod mcp_order;
#[cfg(test)]
mod mcp_questions;
#[cfg(test)]
mod mcp_restarts;
#[cfg(test)]
mod mcp_revival;
#[cfg(test)]
mod mcp_sessions;
#[cfg(test)]
mod mcp_states;
#[cfg(test)]
mod memory_budget;
#[cfg(test)]
mod notices;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod notified;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod other_notifications;
#[cfg(test)]
mod own_answers;
#[cfg(test)]
mod process_log;
#[cfg(test)]
mod process_pairs;
#[cfg(test)]
mod real_servers;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod server_sdks;
#[cfg(test)]
mod shared_tasks;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod start_trouble;
#[cfg(test)]
mod status;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod support;
#[cfg(test)]
mod support_itself;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod telemetry_cost;
#[cfg(test)]
mod telemetry_served;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod two_clients;
#[cfg(test)]
mod verbs;
#[cfg(test)]
mod waking;
#[cfg(test)]
mod withdrawn_questions;
