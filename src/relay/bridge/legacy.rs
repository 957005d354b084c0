//! A legacy client and a modern child: its responses as the client may get them.

use super::errors::{
    self, Error, HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, MISSING_CLIENT_CAPABILITY,
    RESOURCE_NOT_FOUND, UNSUPPORTED_VERSION,
};
use crate::protocol::members::Object;
use crate::protocol::message::string;
use crate::protocol::splice::Patch;

/// What to change in a modern child's response to `method`, so that a client of the legacy era
/// understands it. Results stay as they are: to a legacy client `resultType`, `ttlMs` and the like are
/// members that it does not know. Of errors only the code changes; message and data stay.
///
/// - -32020 (the headers do not say what the body says) and -32022 (unsupported revision) are about what
///   the gateway wrote, not about what the client did: -32603.
/// - -32021 (the client did not declare what the request needs) becomes -32602: asked like this, by
///   this client, the request cannot be answered.
/// - -32602 from `resources/read` with the address in its data means what -32002 meant to the legacy
///   era: resource not found (SEP-2164).
pub(in crate::relay) fn response(line: &[u8], method: &str) -> Option<Patch> {
    let [None, Some(error)] = errors::parts(line) else {
        return None;
    };
    let error = Error::read(line, error)?;
    match error.code {
        HEADER_MISMATCH | UNSUPPORTED_VERSION => Some(error.with_code(INTERNAL_ERROR)),
        MISSING_CLIENT_CAPABILITY => Some(error.with_code(INVALID_PARAMS)),
        INVALID_PARAMS if method == "resources/read" => {
            let [uri] = Object::read(line, error.data?, ["uri"])?.values;
            string(uri?.of(line))?;
            Some(error.with_code(RESOURCE_NOT_FOUND))
        }
        _ => None,
    }
}
