//! A request as spans and the audit log show it.

use super::request::Request;
use crate::protocol::{Params, Span};
use crate::spans::{self, Call, HttpSpan, MessageSpan, Target};

impl Request {
    pub(super) fn call(&self) -> Call<'_> {
        Call {
            server: self.upstream.handle.id(),
            method: &self.method,
            target: self.target(),
            id: std::str::from_utf8(self.client_id()).ok(),
            session: self.session_id(),
            revision: self.revision(),
        }
    }

    fn session_id(&self) -> Option<&str> {
        let plain = self.plain.as_ref().map(|plain| &*plain.id);
        self.session
            .as_ref()
            .map_or(plain, |session| Some(session.id()))
    }

    fn target(&self) -> Option<Target<'_>> {
        let Params { name, uri, .. } = self.message.envelope.params?;
        // Names with escapes are left out rather than copied: a span is no place to unpack them.
        let plain = |span: Option<Span>| {
            let text = std::str::from_utf8(span?.of(&self.message.body)).ok()?;
            text.strip_prefix('"')?
                .strip_suffix('"')
                .filter(|text| !text.contains('\\'))
        };
        match self.method.as_str() {
            "tools/call" => plain(name).map(Target::Tool),
            "prompts/get" => plain(name).map(Target::Prompt),
            method if method.starts_with("resources/") => plain(uri).map(Target::Resource),
            _ => None,
        }
    }

    pub(super) fn server_span(&self) -> MessageSpan {
        if !spans::enabled() {
            return MessageSpan::none();
        }
        let own = self.own_context();
        spans::server(
            &self.call(),
            self.caller.peer,
            &HttpSpan::current(),
            own.as_ref(),
        )
    }
}
