//! The name of a process in log lines.
//!
//! A server may have several processes at a time, one for each client, or one for each era of the protocol. A line that
//! names the server alone does not say which of them an operator has to look at.

use super::config::Config;
use crate::protocol::Era;
use crate::types::{Incarnation, ServerId};

/// The fields by which every log line about a process names it. What is not known, or does not apply, is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessName<'a> {
    pub(super) server_id: &'a ServerId,
    /// Whose process it is, where not all clients share one.
    pub(super) instance: Option<&'a str>,
    /// The era that it is spoken to in, or started for.
    pub(super) era: Option<&'static str>,
    pub(super) incarnation: u64,
    pub(super) pid: Option<u32>,
}

impl<'a> ProcessName<'a> {
    pub(super) fn new(
        config: &'a Config,
        era: Option<Era>,
        incarnation: Incarnation,
        pid: Option<u32>,
    ) -> Self {
        Self {
            server_id: &config.id,
            instance: config.instance.as_deref(),
            era: era.map(Era::as_str),
            incarnation: incarnation.0,
            pid,
        }
    }
}

/// Logs a line about one process: `log_process!(info, name, field, "text")`.
macro_rules! log_process {
    ($level:ident, $name:expr, $($rest:tt)+) => {{
        let name: $crate::supervisor::process_name::ProcessName<'_> = $name;
        tracing::$level!(
            server_id = %name.server_id,
            instance = name.instance,
            era = name.era,
            incarnation = name.incarnation,
            pid = name.pid,
            $($rest)+
        )
    }};
}
pub(super) use log_process;
