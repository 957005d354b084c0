//! What a server says, as the clients of all servers read it: URIs of resources with the server in them.
//!
//! Resources are rewritten where the protocol says that a client may read them from: contents, links and
//! embedded resources. A URI in a text, in structured content or in `_meta` is the server's and the
//! model's affair.

use std::sync::Arc;

use bytes::Bytes;

use super::names::{Form, slot};
use crate::protocol::members::{Object, elements};
use crate::protocol::message::string;
use crate::protocol::splice::{Edit, splice};
use crate::protocol::{Span, scan};
use crate::relay::hub::Sink;
use crate::types::ServerId;

/// A server's message with the server in its URIs: the response to a request of this method, or the
/// notification of this method.
pub(in crate::relay) fn renamed(method: &str, server: &ServerId, line: Bytes) -> Bytes {
    let part = match method {
        "tools/call" | "prompts/get" | "resources/read" => "result",
        "notifications/resources/updated" => "params",
        _ => return line,
    };
    if !may_have_uri(&line) {
        return line;
    }
    let mut walk = Walk {
        line: &line,
        uris: Vec::new(),
    };
    let whole = Span::whole(&line);
    let [part] = walk.members(whole, [part]);
    match (method, part) {
        ("tools/call", Some(result)) => walk.called(result),
        ("prompts/get", Some(result)) => walk.prompted(result),
        ("resources/read", Some(result)) => walk.read(result),
        (_, Some(params)) => walk.uri_of(params),
        (_, None) => {}
    }
    let uris = walk.uris;
    if uris.is_empty() {
        return line;
    }
    let prefix = Form::Uri.prefix(server);
    let mut edits: Vec<_> = uris
        .into_iter()
        .map(|uri| Edit {
            span: slot(uri),
            with: prefix.as_bytes(),
        })
        .collect();
    splice(&line, &mut edits).into()
}

/// Gives a server's notifications on under the names of all servers.
#[derive(Debug)]
pub(super) struct Renaming {
    pub(super) server: ServerId,
    pub(super) sink: Arc<dyn Sink>,
}

impl Sink for Renaming {
    fn push(&self, message: Bytes) -> bool {
        let method = scan(&message).ok().and_then(|envelope| envelope.method);
        let method = method.and_then(|span| string(span.of(&message)));
        let method = method.unwrap_or_default().into_owned();
        self.sink.push(renamed(&method, &self.server, message))
    }

    fn fullness(&self) -> usize {
        self.sink.fullness()
    }
}

/// Whether any key of the message can be `uri`: most answers are long texts that need not be walked
/// through. An escape of an ASCII letter begins with `\u00`.
fn may_have_uri(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"\"uri\"").is_some()
        || memchr::memmem::find(line, b"\\u00").is_some()
}

/// The URIs that were met on the way through a message. What is not of the expected shape has none.
struct Walk<'l> {
    line: &'l [u8],
    uris: Vec<Span>,
}

impl Walk<'_> {
    /// Members of an object, of one that stands there twice the last.
    fn members<const N: usize>(&self, object: Span, names: [&str; N]) -> [Option<Span>; N] {
        Object::read(self.line, object, names).map_or([None; N], |object| object.values)
    }

    /// The elements of an array that is a member of an object.
    fn elements(&self, object: Span, name: &str) -> Vec<Span> {
        let [array] = self.members(object, [name]);
        let elements = array.and_then(|array| elements(self.line, array));
        elements.unwrap_or_default()
    }

    /// The result of `tools/call`.
    fn called(&mut self, result: Span) {
        for block in self.elements(result, "content") {
            self.block(block);
        }
    }

    /// The result of `prompts/get`; the content of a message is one block, or several.
    fn prompted(&mut self, result: Span) {
        for message in self.elements(result, "messages") {
            let [content] = self.members(message, ["content"]);
            let Some(content) = content else {
                continue;
            };
            for block in elements(self.line, content).unwrap_or_else(|| vec![content]) {
                self.block(block);
            }
        }
    }

    /// The result of `resources/read`.
    fn read(&mut self, result: Span) {
        for content in self.elements(result, "contents") {
            self.uri_of(content);
        }
    }

    /// A link to a resource, or a resource that is embedded.
    fn block(&mut self, block: Span) {
        let [kind, resource] = self.members(block, ["type", "resource"]);
        match kind.and_then(|kind| string(kind.of(self.line))).as_deref() {
            Some("resource_link") => self.uri_of(block),
            Some("resource") => {
                if let Some(resource) = resource {
                    self.uri_of(resource);
                }
            }
            _ => {}
        }
    }

    /// The `uri` of an object, where that is a string.
    fn uri_of(&mut self, object: Span) {
        let [uri] = self.members(object, ["uri"]);
        let is_string = |uri: &Span| uri.of(self.line).first() == Some(&b'"');
        self.uris.extend(uri.filter(is_string));
    }
}
