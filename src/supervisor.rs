//! One actor for each server: it starts the process, keeps it alive by policy, and tells the truth
//! about its state.

mod config;
mod memory;
mod status;

pub use config::{
    BackoffConfig, Config, Launch, ProbeConfig, RequestConfig, RestartLimit, RestartPolicy,
    StopConfig,
};
pub use memory::resident_bytes;
pub use status::{Exit, State, Status};

use std::sync::Arc;

use crate::fault::Fault;
use crate::types::ServerId;

/// A handle on one server's actor; cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerHandle {}

impl ServerHandle {
    /// The server's id.
    pub fn id(&self) -> &ServerId {
        unimplemented!()
    }

    /// What the server was configured to be.
    pub fn config(&self) -> &Config {
        unimplemented!()
    }

    /// The state as of now.
    pub fn status(&self) -> Arc<Status> {
        unimplemented!()
    }

    /// Starts the server, also out of `failed`; returns once the order is taken. With `wait`, returns
    /// when the server is ready, or with the fault that it cannot be.
    pub async fn start(&self, _wait: bool) -> Result<(), Fault> {
        unimplemented!()
    }

    /// Stops the server and keeps it stopped; with `wait`, returns when no process of it is left.
    pub async fn stop(&self, _wait: bool) -> Result<(), Fault> {
        unimplemented!()
    }

    /// Stops the server and starts it anew.
    pub async fn restart(&self, _wait: bool) -> Result<(), Fault> {
        unimplemented!()
    }

    /// The newest lines of the server's stderr, oldest first.
    pub fn stderr_tail(&self) -> Vec<String> {
        unimplemented!()
    }

    /// The lines of stderr from now on; slow readers lose the oldest.
    pub fn stderr_follow(&self) -> tokio::sync::broadcast::Receiver<Arc<str>> {
        unimplemented!()
    }
}
