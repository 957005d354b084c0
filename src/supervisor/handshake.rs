//! The gateway's own handshake with a child: which era it speaks, and what it can do.
//!
//! The machine chooses the first message. To `server/discover` a result, or an error of the modern era, means
//! modern; any other error and silence mean legacy, whatever the code (MCP 2026-07-28, basic/versioning:
//! servers seen in the field answer -32601 and -32602). The message that worked is the first one of the next
//! life, because a silent child costs the whole probe time and a strict one pins the era of its first message.

mod capabilities;
mod claims;
mod results;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

pub use capabilities::ServerCapabilities;
pub use claims::claims;
use claims::{client_info, only_claims};
use results::{DiscoverResult, ErrorObject, InitializeResult};

use super::config::Config;
use super::eras::EraChoice;
use super::machine::FirstMessage;
use super::mux::{Answer, Mux, Outcome, Submission};
use crate::fault::FaultKind;
use crate::protocol::era::{Era, LEGACY_REVISIONS, MODERN_REVISION, NEWEST_LEGACY};
use crate::protocol::{scan, splice};

/// `ClientCapabilities` of a client that cannot be asked anything.
const NO_CAPABILITIES: &str = "{}";
/// Codes that only the modern era uses (MCP 2026-07-28, basic/index, Error Codes).
const MODERN_ERRORS: std::ops::RangeInclusive<i64> = -32_099..=-32_020;

/// Why a server whose entry says `"era": "modern"` does not start.
const NOT_MODERN: &str = "it does not know the modern era of the protocol, which its era \"modern\" in the config wants; expected \"auto\" or \"legacy\"";
/// JSON-RPC: the method does not exist. Servers that speak the modern era only say that of `initialize`.
const METHOD_NOT_FOUND: i64 = -32_601;

/// What a child said of itself, as JSON text that crosses to clients unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The era it is spoken to in.
    pub era: Era,
    /// The revision, such as `2025-11-25`.
    pub revision: String,
    /// `capabilities`
    pub capabilities: ServerCapabilities,
    /// `serverInfo`, a JSON object.
    pub server_info: Arc<str>,
    /// `instructions`, a JSON string.
    pub instructions: Option<Arc<str>>,
}

/// What became of `server/discover` in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// It was not sent.
    NotSent,
    /// It had a proper answer.
    Answered,
    /// It had another one: the server does not know the modern era.
    Refused,
    /// It had none in time.
    Silent,
}

/// A handshake that is done, and what it has shown of the server's eras.
#[derive(Clone, Debug)]
pub(super) struct Shaken {
    pub(super) handshake: Handshake,
    pub(super) probe: Probe,
    /// A modern server says that it knows revisions of the legacy era too.
    pub(super) also_legacy: bool,
    /// The error that it gave when it was told of client capabilities, where it was then told of none.
    pub(super) capabilities_error: Option<String>,
}

impl Shaken {
    fn legacy(handshake: Handshake, probe: Probe) -> Self {
        Self {
            handshake,
            probe,
            also_legacy: true,
            capabilities_error: None,
        }
    }
}

/// Does the handshake; the error is a sentence for the operator. Bounded by the caller's startup timeout.
pub(super) async fn shake(
    mux: &Mux,
    config: &Config,
    first: FirstMessage,
) -> Result<Shaken, String> {
    let mut probe = Probe::NotSent;
    if first == FirstMessage::Discover {
        let pinned = config.era == EraChoice::Only(Era::Modern);
        // A server that can be of no other era may take as long as it may take to start.
        let patience = Some(config.era_probe).filter(|_| !pinned);
        match discover(mux, patience).await? {
            Discovery::Modern(shaken) => return Ok(shaken),
            Discovery::None(_) if pinned => return Err(NOT_MODERN.to_owned()),
            Discovery::None(seen) => probe = seen,
        }
    }
    match initialize(mux, &config.client_capabilities).await {
        Ok(handshake) => Ok(Shaken::legacy(handshake, probe)),
        Err(Refusal {
            kind: RefusalKind::Modern,
            why,
        }) if config.era == EraChoice::Only(Era::Legacy) => Err(format!(
            "{why}; its era \"legacy\" in the config wants that, expected \"auto\" or \"modern\""
        )),
        // It does not know the legacy era, or was too busy starting to answer the probe in time, has read it
        // since, and takes nothing else any more. It is up now: what bounds it is the startup timeout.
        Err(Refusal {
            kind: RefusalKind::Modern,
            why,
        }) => match discover(mux, None).await? {
            Discovery::Modern(shaken) => Ok(shaken),
            Discovery::None(_) => Err(why),
        },
        Err(Refusal {
            kind: RefusalKind::Error,
            why,
        }) if &*config.client_capabilities != NO_CAPABILITIES => {
            let handshake = initialize_without_capabilities(mux, &why).await?;
            Ok(Shaken {
                capabilities_error: Some(why),
                ..Shaken::legacy(handshake, probe)
            })
        }
        Err(Refusal { kind: _, why }) => Err(why),
    }
}

/// Does once more what was answered with an error: servers on old strict libraries fail on capabilities, or
/// on members of them, that are newer than they are.
async fn initialize_without_capabilities(mux: &Mux, why: &str) -> Result<Handshake, String> {
    initialize(mux, NO_CAPABILITIES).await.map_err(|again| {
        format!(
            "{why}; and with \"client_capabilities\": [] as well: {}",
            again.why
        )
    })
}

/// What `server/discover` has brought.
enum Discovery {
    Modern(Shaken),
    None(Probe),
}

/// Why `initialize` failed.
struct Refusal {
    kind: RefusalKind,
    why: String,
}

/// How `initialize` failed.
enum RefusalKind {
    /// With an error that only a server of the modern era gives.
    Modern,
    /// With another error.
    Error,
    /// Without an answer, or with one that is no handshake.
    NoAnswer,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self {
            kind: RefusalKind::NoAnswer,
            why,
        }
    }
}

/// `None` where the child is of the legacy era; the startup timeout bounds it where
/// `patience` does not.
async fn discover(mux: &Mux, patience: Option<Duration>) -> Result<Discovery, String> {
    let params = only_claims();
    let answer = match ask(mux, "server/discover", &params, patience).await {
        Ok(answer) => answer,
        Err(FaultKind::ServerLost) => return Err("it ended during the handshake".to_owned()),
        Err(FaultKind::ServerTimeout) => return Ok(Discovery::None(Probe::Silent)),
        // An answer that is none: a child that does not know the method.
        Err(_) => return Ok(Discovery::None(Probe::Refused)),
    };
    let body = body_of(&answer);
    if answer.is_error() {
        let error: Option<ErrorObject> = serde_json::from_slice(body).ok();
        return match error.filter(|error| MODERN_ERRORS.contains(&error.code)) {
            Some(error) => Err(format!(
                "server/discover was answered with error {}: {}",
                error.code,
                shown(&error.message)
            )),
            None => Ok(Discovery::None(Probe::Refused)),
        };
    }
    let Ok(result) = serde_json::from_slice::<DiscoverResult<'_>>(body) else {
        return Ok(Discovery::None(Probe::Refused));
    };
    let mut versions = result.supported_versions.iter();
    let also_legacy = versions.any(|version| LEGACY_REVISIONS.contains(&version.as_str()));
    if !result
        .supported_versions
        .iter()
        .any(|version| version == MODERN_REVISION)
    {
        let versions = result.supported_versions.join(", ");
        return if also_legacy {
            Ok(Discovery::None(Probe::Refused))
        } else {
            Err(format!(
                "it supports only protocol versions that we do not know: {}",
                shown(&versions)
            ))
        };
    }
    let info = result
        .meta
        .and_then(|meta| meta.server_info)
        .or(result.server_info);
    Ok(Discovery::Modern(Shaken {
        handshake: Handshake {
            era: Era::Modern,
            revision: MODERN_REVISION.to_owned(),
            capabilities: raw(result.capabilities).into(),
            server_info: raw(info),
            instructions: result.instructions.map(|raw| raw.get().into()),
        },
        probe: Probe::Answered,
        also_legacy,
        capabilities_error: None,
    }))
}

async fn initialize(mux: &Mux, capabilities: &str) -> Result<Handshake, Refusal> {
    let params = format!(
        r#"{{"protocolVersion":"{NEWEST_LEGACY}","capabilities":{capabilities},"clientInfo":{}}}"#,
        client_info()
    );
    let answer = match ask(mux, "initialize", &params, None).await {
        Ok(answer) => answer,
        Err(FaultKind::ServerLost) => {
            return Err("it ended during the handshake".to_owned().into());
        }
        Err(kind) => {
            return Err(format!(
                "initialize was not answered as it should be ({})",
                kind.code()
            )
            .into());
        }
    };
    let body = body_of(&answer);
    if answer.is_error() {
        let error: ErrorObject = serde_json::from_slice(body).unwrap_or(ErrorObject {
            code: 0,
            message: String::new(),
        });
        let kind = if MODERN_ERRORS.contains(&error.code) || error.code == METHOD_NOT_FOUND {
            RefusalKind::Modern
        } else {
            RefusalKind::Error
        };
        return Err(Refusal {
            kind,
            why: format!(
                "initialize was answered with error {}: {}",
                error.code,
                shown(&error.message)
            ),
        });
    }
    let result: InitializeResult<'_> = serde_json::from_slice(body)
        .map_err(|error| format!("the result of initialize is not one: {error}"))?;
    // 2024-10-07 is a pre-release that SDKs still offer.
    if !LEGACY_REVISIONS.contains(&result.protocol_version.as_str())
        && result.protocol_version != "2024-10-07"
    {
        return Err(format!(
            "it speaks protocol version {}, which we do not know",
            shown(&result.protocol_version)
        )
        .into());
    }
    mux.control("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n".into());
    Ok(Handshake {
        era: Era::Legacy,
        capabilities: raw(result.capabilities).into(),
        server_info: raw(result.server_info),
        instructions: result.instructions.map(|raw| raw.get().into()),
        revision: result.protocol_version,
    })
}

/// Asks whether the child is alive. Any answer proves it, an error too: a modern child does not know
/// `ping`, a legacy one does not know `server/discover`.
pub(super) async fn probe(mux: &Mux, era: Era, timeout: Duration) -> bool {
    let sent = match era {
        Era::Legacy => ask(mux, "ping", "{}", Some(timeout)).await,
        Era::Modern => {
            let params = only_claims();
            ask(mux, "server/discover", &params, Some(timeout)).await
        }
    };
    !matches!(
        sent,
        Err(FaultKind::ServerTimeout | FaultKind::ServerBusy | FaultKind::ServerStarting)
    )
}

async fn ask(
    mux: &Mux,
    method: &str,
    params: &str,
    timeout: Option<Duration>,
) -> Result<Answer, FaultKind> {
    let id = mux.mint();
    let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
    // The handshake as a whole is bounded by startup_timeout_ms, whatever the request timeout.
    let timeout = timeout.or(Some(Duration::from_hours(24)));
    let submission = Submission {
        timeout,
        ..Submission::own()
    };
    let frame = splice::into_frame(message.into_bytes()).into();
    let receiver = mux
        .submit(id, frame, submission)
        .map_err(|fault| fault.kind)?;
    let outcome: Outcome = receiver
        .await
        .unwrap_or_else(|_closed| Err(super::faults::lost()));
    outcome.map_err(|fault| fault.kind)
}

fn body_of(answer: &Answer) -> &[u8] {
    let envelope = scan(&answer.line).unwrap_or_default();
    envelope
        .result
        .or(envelope.error)
        .map_or(&[][..], |span| span.of(&answer.line))
}

fn raw(value: Option<&RawValue>) -> Arc<str> {
    value.map_or("{}", RawValue::get).into()
}

/// A child's text in a sentence of ours: bounded and without control characters.
fn shown(text: &str) -> String {
    text.chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
