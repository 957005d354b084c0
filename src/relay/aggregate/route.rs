//! Where a request to all servers goes.
//!
//! A request that names a tool, a prompt or a resource goes to the server that has it, as that server
//! would have been asked directly. What names nothing is a list of all, or the gateway's own to answer, or
//! refused: a method that nobody knows could be meant for any server.

use super::Kind;
use super::cursor::{self, More};
use super::names::{Form, Own, Reach, invalid};
use crate::fault::Fault;
use crate::protocol::members::{Object, elements};
use crate::protocol::message::string;
use crate::protocol::splice::{Edit, splice};
use crate::protocol::{Envelope, Span};
use crate::types::ServerId;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Routed<'a> {
    /// One server answers it.
    One(One<'a>),
    /// Every server answers its part: from the beginning, or where the parts of an earlier page ended.
    List(Kind, Option<Vec<More<'a>>>),
    /// The gateway answers it.
    Own,
    /// No such method here.
    Refused,
}

/// A request for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct One<'a> {
    /// Who answers.
    pub(super) server: &'a ServerId,
    /// The request as this server would have been asked directly: nothing but the name is another.
    pub(super) body: Vec<u8>,
}

/// Finds where a request goes. `envelope` is what the scan found in `body`.
///
/// A name, a URI or a cursor that is nobody's is a fault of the params.
pub(super) fn route<'a>(
    method: &str,
    body: &[u8],
    envelope: &Envelope,
    reach: Reach<'a>,
) -> Result<Routed<'a>, Fault> {
    let request = Request { body, envelope };
    if let Some(kind) = Kind::of_method(method) {
        let cursor = request.cursor()?;
        let more = cursor.map(|cursor| cursor::parse(kind, &cursor, reach));
        return Ok(Routed::List(kind, more.transpose()?));
    }
    let params = envelope.params;
    let named = match method {
        "tools/call" | "prompts/get" => {
            let name = params.and_then(|params| params.name);
            request.own(reach, Form::Name, "params.name", name)?
        }
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            let uri = params.and_then(|params| params.uri);
            request.own(reach, Form::Uri, "params.uri", uri)?
        }
        "completion/complete" => {
            let (form, what, reference) = request.reference()?;
            request.own(reach, form, what, Some(reference))?
        }
        "initialize" | "server/discover" | "ping" | "logging/setLevel" | "subscriptions/listen" => {
            return Ok(Routed::Own);
        }
        _ => return Ok(Routed::Refused),
    };
    let (Own { server, json }, span) = named;
    let body = splice(body, &mut [Edit { span, with: &json }]);
    Ok(Routed::One(One { server, body }))
}

/// The resources that a `subscriptions/listen` wants updates of: whose each is, and what its server calls
/// it.
pub(super) fn listened<'a>(
    body: &[u8],
    envelope: &Envelope,
    reach: Reach<'a>,
) -> Result<Vec<(&'a ServerId, String)>, Fault> {
    let what = "params.notifications.resourceSubscriptions";
    let request = Request { body, envelope };
    let filter = request.param("notifications").ok().flatten();
    let uris = filter.and_then(|filter| Object::read(body, filter, ["resourceSubscriptions"]));
    let Some(uris) = uris.and_then(one) else {
        return Ok(Vec::new());
    };
    let uris =
        elements(body, uris).ok_or_else(|| invalid(format!("{what} is no array of URIs")))?;
    let own = |uri: Span| {
        let Own { server, json } = reach.own(Form::Uri, what, uri.of(body))?;
        Ok((server, string(&json).unwrap_or_default().into_owned()))
    };
    uris.into_iter().map(own).collect()
}

/// The one value that was looked for, where it stands there once: two readers could see two otherwise.
fn one(object: Object<1>) -> Option<Span> {
    let [value] = object.values;
    value.filter(|_| !object.ambiguous)
}

#[derive(Clone, Copy)]
struct Request<'b> {
    body: &'b [u8],
    envelope: &'b Envelope,
}

impl Request<'_> {
    /// A member of the params, where they are an object and have it; an error where it stands there twice.
    fn param(&self, name: &str) -> Result<Option<Span>, ()> {
        let params = self.envelope.params.map(|params| params.span);
        let object = params.and_then(|params| Object::read(self.body, params, [name]));
        match object {
            Some(object) if object.ambiguous => Err(()),
            Some(Object {
                values: [value], ..
            }) => Ok(value),
            None => Ok(None),
        }
    }

    fn own<'a>(
        &self,
        reach: Reach<'a>,
        form: Form,
        what: &str,
        span: Option<Span>,
    ) -> Result<(Own<'a>, Span), Fault> {
        let span = span.unwrap_or_default();
        Ok((reach.own(form, what, span.of(self.body))?, span))
    }

    /// The cursor of a list; none and `null` ask for the first page.
    fn cursor(&self) -> Result<Option<String>, Fault> {
        let cursor = self
            .param("cursor")
            .map(|span| span.map(|span| span.of(self.body)));
        match cursor {
            Ok(None | Some(b"null")) => Some(None),
            Ok(Some(cursor)) => string(cursor).map(|cursor| Some(cursor.into_owned())),
            Err(()) => None,
        }
        .ok_or_else(|| {
            let text =
                "params.cursor is not one string, expected the nextCursor of an earlier answer";
            invalid(text.to_owned())
        })
    }

    /// What a completion is about: how it is called, and where that stands.
    fn reference(&self) -> Result<(Form, &'static str, Span), Fault> {
        let found = self.param("ref").ok().flatten().and_then(|reference| {
            let object = Object::read(self.body, reference, ["type", "name", "uri"])?;
            let [kind, name, uri] = object.values;
            if object.ambiguous {
                return None;
            }
            match string(kind?.of(self.body))?.as_ref() {
                "ref/prompt" => Some((Form::Name, "params.ref.name", name?)),
                "ref/resource" => Some((Form::Uri, "params.ref.uri", uri?)),
                _ => None,
            }
        });
        found.ok_or_else(|| {
            let text =
                "params.ref is neither a ref/prompt with a name nor a ref/resource with a uri";
            invalid(text.to_owned())
        })
    }
}
