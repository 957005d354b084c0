//! What a modern request says of itself.

use crate::protocol::era::{MODERN_REVISION, meta_key};

/// The members of `_meta` that every modern request carries, for requests of our own and for those of
/// clients that do not know the modern era. Gives those that are not there, `there` being asked by key.
pub fn claims(there: impl Fn(&str) -> bool) -> Vec<String> {
    let claims = [
        (meta_key::PROTOCOL_VERSION, format!("\"{MODERN_REVISION}\"")),
        (meta_key::CLIENT_CAPABILITIES, "{}".to_owned()),
        (meta_key::CLIENT_INFO, client_info()),
    ];
    let missing = claims.into_iter().filter(|(key, _)| !there(key));
    missing
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect()
}

/// The params of a modern request of our own that has no others.
pub(super) fn only_claims() -> String {
    format!(r#"{{"_meta":{{{}}}}}"#, claims(|_| false).join(","))
}

pub(super) fn client_info() -> String {
    format!(
        r#"{{"name":"host-mcp-gateway","version":"{}"}}"#,
        env!("CARGO_PKG_VERSION")
    )
}
