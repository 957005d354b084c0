//! All servers that a token reaches, behind one endpoint and as if they were one.
//!
//! Tools and prompts are called `server_id__name`, resources `mcp://server_id/uri`. What a client sends
//! goes to the server that it names, under the name that the server knows; what a server answers comes
//! back under the client's. Lists are those of all servers, one after the other. Payloads are never
//! written anew: names are put in and taken out where they stand.

mod ask;
mod cursor;
mod endpoint;
mod gather;
mod hearing;
mod join;
mod last_lists;
mod merge;
mod names;
mod results;
mod route;
#[cfg(test)]
mod tests;

pub use last_lists::{Gap, Shown};

pub(super) use ask::list_frame;
pub(super) use endpoint::All;
pub(super) use hearing::{announce_lists, hear, servers_changed};
pub(super) use last_lists::LastLists;
pub(super) use results::renamed;

use super::hub::List;

/// What the gateway calls itself where it stands for all servers: a `serverInfo`.
fn identity() -> &'static str {
    concat!(
        r#"{"name":"host-mcp-gateway","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}"#
    )
}

/// The lists of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
}

impl Kind {
    /// Every list.
    pub(super) const ALL: [Self; 4] =
        [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The list that this method asks for.
    pub(super) fn of_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == method)
    }

    /// The list whose change clients are told of: templates have no notification of their own.
    pub(super) fn announced(self) -> List {
        match self {
            Self::Tools => List::Tools,
            Self::Prompts => List::Prompts,
            Self::Resources | Self::Templates => List::Resources,
        }
    }

    /// The method that asks for it.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that holds the items.
    fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The capability of a server that has such a list.
    fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }

    /// The member of an item by which it is called, and how.
    fn called_by(self) -> (&'static str, names::Form) {
        match self {
            Self::Tools | Self::Prompts => ("name", names::Form::Name),
            Self::Resources => ("uri", names::Form::Uri),
            Self::Templates => ("uriTemplate", names::Form::Uri),
        }
    }
}
