//! What a request of the modern era must be before it is looked at any further.

use super::message::Message;
use super::request::Request;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::era::{MODERN_REVISION, meta_key};
use crate::protocol::message::string;
use crate::relay::api::{RoutingHeaders, Target};

/// Methods that the era has no more, or that only a server may send (MCP 2026-07-28, changelog).
const REMOVED: [&str; 5] = [
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
];

/// Refuses what the transport says must be refused (MCP 2026-07-28, basic/transports/streamable-http).
pub(super) async fn check(request: &Request) -> Result<(), Fault> {
    let Request {
        sent,
        method,
        caller,
        ..
    } = request;
    // What is for all servers was checked before it was known for which.
    if request.target != Target::All {
        check_sent(&caller.headers, sent, method)?;
    }
    if method == "tools/call" {
        let tools = request
            .upstream
            .tool_headers(request.caller.principal.id)
            .await?;
        if let Some(tool) = tools.get(&request.message.target()) {
            caller
                .headers
                .check_arguments(&sent.envelope, &sent.body, tool)?;
        }
    }
    Ok(())
}

/// The same for what can be seen without the server that it is for.
pub(in crate::relay) fn check_sent(
    headers: &RoutingHeaders,
    message: &Message,
    method: &str,
) -> Result<(), Fault> {
    check_claims(message)?;
    headers.check(&message.envelope, &message.body, method)?;
    // Header and body say the same by now.
    if headers
        .version
        .once()
        .is_some_and(|version| version != MODERN_REVISION)
    {
        let text = "unknown protocol version, expected one of those in data.supported";
        return Err(refused(FaultKind::UnsupportedVersion, text.to_owned()));
    }
    if REMOVED.contains(&method) {
        let text = format!("{method} is not a method of revision {MODERN_REVISION}");
        return Err(refused(FaultKind::MethodNotFound, text));
    }
    Ok(())
}

/// Every request says in which revision it is made and what its client can be asked for.
fn check_claims(message: &Message) -> Result<(), Fault> {
    let body = &message.body;
    let meta = message.meta().unwrap_or_default();
    let missing = |key: &str| {
        let text = format!("params._meta[{key:?}] is missing or of the wrong type");
        refused(FaultKind::InvalidParams, text)
    };
    let version = meta.protocol_version.and_then(|span| string(span.of(body)));
    version.ok_or_else(|| missing(meta_key::PROTOCOL_VERSION))?;
    let capabilities = meta.client_capabilities.map(|span| span.of(body));
    if !capabilities.is_some_and(|text| text.starts_with(b"{")) {
        return Err(missing(meta_key::CLIENT_CAPABILITIES));
    }
    Ok(())
}

fn refused(kind: FaultKind, text: String) -> Fault {
    Fault::new(kind, text).delivered(Delivered::No)
}
