//! Which protocol era a request belongs to, and what a result of that era carries.
//!
//! A request that claims a revision in its `_meta` is modern; one without a claim is legacy and needs
//! the handshake before it. Both may be mixed on one connection: nothing is pinned.

use serde_json::{Map, Value, json};

use super::rpc::{self, RpcError};

/// The one stateless revision.
pub(super) const MODERN: &str = "2026-07-28";

/// The revisions with a handshake, oldest first.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";
const SERVER_INFO_KEY: &str = "io.modelcontextprotocol/serverInfo";

/// The severities of log messages, mildest first (RFC 5424 by way of MCP).
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// A log severity: an index into the list of severities, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(usize);

impl Level {
    pub(super) const INFO: Self = Self(1);

    pub(super) fn parse(name: &Value) -> Result<Self, RpcError> {
        let index = LEVELS.iter().position(|level| name == level);
        index.map(Self).ok_or_else(|| {
            rpc::invalid_params(format!(
                "log level must be one of {}, got {name}",
                LEVELS.join(", ")
            ))
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        LEVELS.get(self.0).copied().unwrap_or("info")
    }
}

/// How a request is to be understood and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// After a handshake; no claim in the request.
    Legacy,
    /// 2026-07-28; with the log level that the request asked for.
    Modern {
        /// Log messages at and above this level may be sent for the request; `None`: none at all.
        log_level: Option<Level>,
    },
}

impl Era {
    /// The era of a request, by its `_meta`.
    ///
    /// A claim must name a revision that is spoken here and the client's capabilities (MCP
    /// 2026-07-28, basic, `_meta`).
    pub(super) fn of(params: &Map<String, Value>) -> Result<Self, RpcError> {
        let meta = match params.get("_meta") {
            None => return Ok(Self::Legacy),
            Some(Value::Object(meta)) => meta,
            Some(_) => return Err(rpc::invalid_params("\"_meta\" must be an object")),
        };
        let version = match meta.get(VERSION_KEY) {
            None => return Ok(Self::Legacy),
            Some(Value::String(version)) => version,
            Some(_) => {
                return Err(rpc::invalid_params(format!(
                    "{VERSION_KEY} must be a string"
                )));
            }
        };
        if version != MODERN {
            return Err(rpc::unsupported_version(version));
        }
        if !meta.get(CAPABILITIES_KEY).is_some_and(Value::is_object) {
            return Err(rpc::invalid_params(format!(
                "_meta must hold the object {CAPABILITIES_KEY}"
            )));
        }
        let log_level = meta.get(LOG_LEVEL_KEY).map(Level::parse).transpose()?;
        Ok(Self::Modern { log_level })
    }

    pub(super) fn is_modern(self) -> bool {
        matches!(self, Self::Modern { .. })
    }

    /// The result as this era wants it: modern ones say that they are complete and who made them.
    pub(super) fn finish(self, mut result: Value) -> Value {
        if let (true, Some(object)) = (self.is_modern(), result.as_object_mut()) {
            object.insert("resultType".to_owned(), json!("complete"));
            let meta = object.entry("_meta").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut() {
                meta.insert(SERVER_INFO_KEY.to_owned(), server_info());
            }
        }
        result
    }

    /// The result with how long it may be cached, which only modern results say.
    pub(super) fn cacheable(self, mut result: Value, cache: Cache) -> Value {
        if let (true, Some(object)) = (self.is_modern(), result.as_object_mut()) {
            let (ttl_ms, scope) = match cache {
                Cache::Fixed => (3_600_000, "public"),
                Cache::Volatile => (0, "private"),
            };
            object.insert("ttlMs".to_owned(), json!(ttl_ms));
            object.insert("cacheScope".to_owned(), json!(scope));
        }
        result
    }
}

/// How a result ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    /// The same for everybody as long as this program runs: lists, discovery.
    Fixed,
    /// True at this moment only: what is read from the host.
    Volatile,
}

/// The revision to answer an `initialize` with: the client's own if it is spoken here, else the newest
/// legacy one (MCP 2025-11-25, lifecycle, Version Negotiation).
pub(super) fn negotiate(requested: &str) -> &'static str {
    let newest = "2025-11-25";
    LEGACY
        .into_iter()
        .find(|version| *version == requested)
        .unwrap_or(newest)
}

/// Who this server is.
pub(super) fn server_info() -> Value {
    json!({
        "name": "host-server",
        "title": "Host information",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// What this server can do. Nothing is announced that never happens: the lists are fixed.
pub(super) fn capabilities() -> Value {
    json!({"tools": {}, "resources": {}, "prompts": {}, "logging": {}})
}

/// For the model that reads it.
pub(super) const INSTRUCTIONS: &str = "Facts about the machine that this server runs on: system, memory, load, disks and \
     the processes that use most. Everything is read at the moment of the call and nothing is changed.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_legacy_revision_is_kept_and_any_other_becomes_the_newest() {
        for version in LEGACY {
            assert_eq!(negotiate(version), version);
        }
        for version in [MODERN, "1999-01-01", ""] {
            assert_eq!(negotiate(version), "2025-11-25");
        }
    }

    #[test]
    fn a_claim_decides_the_era() {
        let era = |meta: Value| Era::of(json!({"_meta": meta}).as_object().unwrap());
        assert_eq!(era(json!({"progressToken": 1})), Ok(Era::Legacy));
        assert_eq!(
            era(json!({VERSION_KEY: MODERN, CAPABILITIES_KEY: {}, LOG_LEVEL_KEY: "info"})),
            Ok(Era::Modern {
                log_level: Some(Level::INFO)
            })
        );
        let code = |meta: Value| era(meta).expect_err("must be refused").code;
        assert_eq!(code(json!({VERSION_KEY: "2025-11-25"})), -32022);
        assert_eq!(code(json!({VERSION_KEY: MODERN})), -32602);
        assert_eq!(code(json!({VERSION_KEY: 1})), -32602);
        assert_eq!(code(json!([])), -32602);
    }
}
