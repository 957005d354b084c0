//! `initialize` on an MCP endpoint: a client agrees on a revision, and a session begins.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::Request;
use crate::fault::Fault;
use crate::protocol::era::{NEWEST_LEGACY, negotiate_legacy};
use crate::relay::answers;
use crate::relay::bridge::features::Features;
use crate::relay::session::{Agreed, OwnStream, Session};

/// The longest text of capabilities that is kept as it came, in bytes: no SDK writes a tenth of it.
const MAX_CAPABILITIES: usize = 4096;

/// What a client says of itself; what it does not say is what the newest revision takes for it.
pub(in crate::relay) fn agree(params: &[u8]) -> Agreed {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        protocol_version: Option<String>,
        #[serde(borrow)]
        capabilities: Option<&'a RawValue>,
    }
    let said: Option<Params<'_>> = serde_json::from_slice(params).ok();
    let (wish, capabilities) = match &said {
        Some(said) => (said.protocol_version.as_deref(), said.capabilities),
        None => (None, None),
    };
    let capabilities = capabilities.map_or("{}", RawValue::get);
    let features = Features::read(capabilities.as_bytes());
    Agreed {
        revision: wish.map_or(NEWEST_LEGACY, negotiate_legacy),
        capabilities: match features {
            Some(_) if capabilities.len() <= MAX_CAPABILITIES => capabilities.into(),
            // Of a longer text only what the gateway knows is left.
            features => features.unwrap_or_default().to_json().into(),
        },
        features: features.unwrap_or_default(),
    }
}

impl Request {
    /// Lets the session in that was prepared for this request; gives the response.
    pub(super) async fn open_session(&self, session: &Arc<Session>) -> Result<Vec<u8>, Fault> {
        let handshake = self.upstream.handle.wait_for_handshake().await?;
        let sink = Arc::new(OwnStream(Arc::clone(session.streams())));
        session.hear(&self.upstream, sink);
        self.shared.directory.admit(session)?;
        // Set once, by the one future that runs the request.
        let _ = self.opened.set(Arc::clone(session.id()));
        let params = self.message.params();
        Ok(answers::initialize(
            self.client_id(),
            params,
            &self.as_told(&handshake),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(capabilities: &str) -> Agreed {
        agree(
            format!(r#"{{"protocolVersion":"2025-06-18","capabilities":{capabilities}}}"#)
                .as_bytes(),
        )
    }

    /// RD03: what a session keeps of its client's capabilities has a bound, and what the gateway knows of them is left.
    #[test]
    fn capabilities_are_kept_as_they_came_up_to_a_bound() {
        let short = r#"{"sampling":{"tools":{}},"experimental":{"a":1}}"#;
        assert_eq!(&*agreed(short).capabilities, short);
        let long = format!(
            r#"{{"roots":{{}},"elicitation":{{}},"sampling":{{"tools":{{}}}},"experimental":{{"a":"{}"}}}}"#,
            "x".repeat(4 << 20)
        );
        let kept = agreed(&long);
        assert_eq!(
            &*kept.capabilities,
            r#"{"elicitation":{"form":{}},"sampling":{"tools":{}},"roots":{}}"#
        );
        assert_eq!(Some(kept.features), Features::read(long.as_bytes()));
        assert_eq!(&*agreed("[1]").capabilities, "{}");
    }
}
