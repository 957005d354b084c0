//! What a server says that it can do, as text that crosses to clients unchanged.

use std::ops::Deref;
use std::sync::Arc;

/// The capabilities of a server: a JSON object, and what every answer of the server has to be looked at for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCapabilities {
    json: Arc<str>,
    names_tasks: bool,
}

impl ServerCapabilities {
    /// Whether the server may make tasks of requests (MCP 2025-11-25, basic/utilities/tasks); one that does not say so
    /// does not.
    pub fn names_tasks(&self) -> bool {
        self.names_tasks
    }
}

impl<T: Into<Arc<str>>> From<T> for ServerCapabilities {
    fn from(json: T) -> Self {
        let json = json.into();
        Self {
            names_tasks: json.contains("tasks"),
            json,
        }
    }
}

impl Deref for ServerCapabilities {
    type Target = str;

    fn deref(&self) -> &str {
        &self.json
    }
}
