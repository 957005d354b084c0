//! A failure of the gateway's as a JSON-RPC error, on streams and wherever else it is told in-band.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::era::REVISIONS;
use crate::types::ServerId;

/// What a JSON-RPC error tells of a failure.
#[derive(Clone, Copy, Debug)]
pub struct ErrorMessage<'a> {
    /// The id of the request as it was written; left out where it could not be read.
    pub id: Option<&'a [u8]>,
    /// What went wrong.
    pub fault: &'a Fault,
    /// The server that it is about.
    pub server: Option<&'a ServerId>,
    /// The revision that was wished for, where that is what went wrong.
    pub requested: Option<&'a str>,
}

impl ErrorMessage<'_> {
    /// The message: `{"jsonrpc","id","error":{"code","message","data":{"origin":"gateway","error_code",…}}}`.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Self {
            id,
            fault,
            server,
            requested,
        } = *self;
        let of_version = fault.kind == FaultKind::UnsupportedVersion;
        serde_json::to_vec(&Response {
            jsonrpc: "2.0",
            id: id.and_then(|id| serde_json::from_slice(id).ok()),
            error: Error {
                code: fault.kind.rpc_code(),
                message: &fault.message,
                data: Data {
                    origin: "gateway",
                    error_code: fault.kind.code(),
                    server_id: server,
                    delivered: fault.delivered.map(Delivered::as_str),
                    retry_after_ms: fault
                        .retry_after
                        .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
                    supported: of_version.then_some(REVISIONS),
                    requested,
                },
            },
        })
    }
}

#[derive(Serialize)]
struct Response<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: i32,
    message: &'a str,
    data: Data<'a>,
}

/// What the gateway adds, so that its errors can be told from a server's.
#[derive(Serialize)]
struct Data<'a> {
    origin: &'static str,
    error_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_id: Option<&'a ServerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported: Option<[&'static str; 5]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<&'a str>,
}
