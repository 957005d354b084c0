//! What the tests stand on: a gateway to start, servers to put behind it, clients to talk to it, and eyes on its processes.

pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod journal;
pub(crate) mod logs;
pub(crate) mod mcp;
pub(crate) mod oracle;
pub(crate) mod places;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod sse;
pub(crate) mod stdio;
pub(crate) mod terminal;
pub(crate) mod wait;
pub(crate) mod wire;

pub(crate) use gateway::Gateway;
pub(crate) use server::Server;
pub(crate) use stdio::StdioServer;
