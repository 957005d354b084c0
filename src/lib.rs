//! host-mcp-gateway: stdio MCP servers on one machine, their clients on others.
//!
//! The crate is a house of seven floors; a floor uses only the floors below it, and a test reads the
//! `use` lines to keep it so.
//!
//! | floor | module | what lives there |
//! | --- | --- | --- |
//! | 6 face | `cli`, `host_server` | the verbs of the command line, all printing, every exit code; the built-in MCP server |
//! | 5 assembly | [`config`], `telemetry`, [`lifecycle`] | the config file; logs, OTLP and metrics; signals, drain and exit |
//! | 4 edge | [`http`] | the accept loop, who may enter, one file an endpoint family, fault to status |
//! | 3 relay | [`relay`] | which message goes to which server, and what the gateway answers itself |
//! | 2 supervision | [`supervisor`] | the actor of one server, its pure state machine, pipes, guard, pending answers |
//! | 1 protocol | [`protocol`], [`spans`], [`audit`], [`shards`], [`state_dir`] | bytes: envelope scan, line framing, id and token rewriting, eras; the threads they travel on; files that outlive the process |
//! | 0 words | [`types`], [`fault`], [`instruments`], [`memory_budget`], [`minute_counts`] | parsed newtypes, the closed catalogue of faults, names of what is measured, the bytes that all stores may hold, events per key and minute |
//!
//! A request travels down the floors once and its answer up once. The edge decides who is speaking,
//! the protocol floor finds where the id stands in the bytes without building a tree, the relay picks
//! the server, and the supervisor writes one line to the child with an id of its own. What the child
//! answers is matched by that id, gets the client's id back, and leaves as it came. Every request that
//! was let in is held in exactly one table until exactly one of four things happens to it: it is
//! answered, it times out, it is cancelled, or the child is lost.

pub mod audit;
pub mod cli;
pub mod config;
pub mod fault;
pub mod host_server;
pub mod http;
pub mod instruments;
pub mod lifecycle;
pub mod memory_budget;
pub mod minute_counts;
pub mod protocol;
pub mod relay;
pub mod shards;
pub mod spans;
pub mod state_dir;
pub mod supervisor;
pub mod telemetry;
pub mod types;
