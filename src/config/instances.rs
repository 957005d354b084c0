//! Who shares a process of a server, and what its processes may ask of clients.

use super::limits::{Limits, pick};
use super::reader::Scope;
use super::servers::Server;
use super::values::choice;
use crate::{relay, supervisor};

choice! {
    /// Who shares a process of a server.
    Instance {
        /// One process for all clients.
        Shared = "shared",
        /// One process a session; requests without a session share one a token.
        Session = "session",
        /// One process a token.
        Client = "client",
    }
}

choice! {
    /// What is done for a server that asks something while requests of several clients are under way.
    ClientFeatures {
        /// It is refused: whom it means cannot be known.
        Attribute = "attribute",
        /// Its requests are written one at a time, so that it is known.
        Serialize = "serialize",
    }
}

choice! {
    /// Something that clients can be asked.
    ClientCapability {
        /// To fill in a form, or to visit a URL.
        Elicitation = "elicitation",
        /// To have a model complete a message.
        Sampling = "sampling",
        /// Which folders they work in.
        Roots = "roots",
    }
}

/// The default of `client_capabilities`.
pub(super) const CAPABILITIES: [&str; 2] = ["elicitation", "sampling"];

/// What the server's processes are told that clients can do; the default after a fault.
pub(super) fn client_capabilities(server: &Server) -> relay::ClientCapabilities {
    let Some(listed) = server.client_capabilities.get() else {
        return relay::ClientCapabilities::default();
    };
    relay::ClientCapabilities {
        elicitation: listed.contains(&ClientCapability::Elicitation),
        sampling: listed.contains(&ClientCapability::Sampling),
        roots: listed.contains(&ClientCapability::Roots),
    }
}

/// What the relay is told of a server; `None` after a fault.
pub(super) fn build(
    server: &Server,
    supervised: supervisor::Config,
    limits: &Limits,
    scope: &mut Scope<'_>,
) -> Option<relay::ServerConfig> {
    let own = server.limits.get();
    let instance = match server.instance.get()? {
        Instance::Shared => relay::Instance::Shared,
        Instance::Session => relay::Instance::Session,
        Instance::Client => relay::Instance::Client,
    };
    if instance != relay::Instance::Shared && supervised.autostart {
        let word = instance.as_str();
        let text = format!(
            "has no effect with instance {word:?}: each process starts at its first request"
        );
        scope.warn(&server.autostart.place, text);
    }
    let revive_sessions = *server.revive_sessions.get()?;
    if revive_sessions && instance != relay::Instance::Session {
        let text = "has no effect without instance \"session\": other sessions are always revived";
        scope.warn(&server.revive_sessions.place, text);
    }
    Some(relay::ServerConfig {
        instance,
        revive_sessions,
        client_features: match server.client_features.get()? {
            ClientFeatures::Attribute => relay::ClientFeatures::Attribute,
            ClientFeatures::Serialize => relay::ClientFeatures::Serialize,
        },
        client_capabilities: client_capabilities(server),
        max_instances: pick(own.map(|own| &own.max_instances), &limits.max_instances)?.size(),
        instance_idle: pick(
            own.map(|own| &own.instance_idle_ms),
            &limits.instance_idle_ms,
        )?
        .duration(),
        supervisor: supervisor::Config {
            autostart: supervised.autostart && instance == relay::Instance::Shared,
            ..supervised
        },
    })
}
