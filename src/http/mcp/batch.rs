//! JSON-RPC batches, which only the revision 2025-03-26 has: split, run side by side, put together.
//!
//! A server never sees a batch: those measured ignore an array. Each member is its exact bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, FuturesUnordered};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::refused::{Refused, unread};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::http::Edge;
use crate::protocol::{self, ClientMessage};
use crate::relay::{Answer, Caller, Event, Failure, Target};

/// The revision that has batches (MCP 2025-03-26, basic; removed in 2025-06-18).
pub(super) const REVISION: &str = "2025-03-26";

/// The most members of one batch.
const MAX_MEMBERS: usize = 100;

/// Whether a body is a JSON array, if it is JSON.
pub(super) fn is_array(body: &[u8]) -> bool {
    without_mark(body).trim_ascii_start().first() == Some(&b'[')
}

/// RFC 8259, 8.1: a byte order mark may be ignored.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// The members of a batch, which share the memory of the body.
pub(super) fn split(body: &Bytes) -> Result<Vec<Bytes>, Fault> {
    let refuse = |kind, message: String| Err(Fault::new(kind, message).delivered(Delivered::No));
    let members: Members<'_> = match serde_json::from_slice(without_mark(body)) {
        Ok(members) => members,
        Err(_malformed) => return refuse(FaultKind::ParseError, "body is not json".to_owned()),
    };
    let Members { first, more } = members;
    if first.is_empty() {
        let message = "an empty batch, expected one message or more";
        return refuse(FaultKind::InvalidRequest, message.to_owned());
    }
    if more {
        let message = format!("a batch of more than {MAX_MEMBERS} messages");
        return refuse(FaultKind::InvalidRequest, message);
    }
    let members = first.into_iter();
    Ok(members
        .map(|member| body.slice_ref(member.get().as_bytes()))
        .collect())
}

/// The first members of an array, and whether there are more than are taken.
struct Members<'a> {
    first: Vec<&'a RawValue>,
    more: bool,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut first = Vec::new();
        while first.len() < MAX_MEMBERS {
            match members.next_element()? {
                Some(member) => first.push(member),
                None => return Ok(Members { first, more: false }),
            }
        }
        let mut more = false;
        while members.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(Members { first, more })
    }
}

/// What became of a batch.
pub(super) enum Outcome {
    /// The responses to its requests, in its order.
    Responses(Vec<Bytes>),
    /// There was no request in it, and all was taken over.
    Accepted,
    /// There was no request in it, and this was not taken over.
    Refused(Failure),
    /// Something came before a response, so everything comes as it does.
    Stream(BoxStream<'static, Event>),
}

/// Runs the members side by side.
///
/// The requests but the first, which the gate has counted, take of the token's share, as if they had
/// come one by one.
pub(super) async fn run(
    edge: &Arc<Edge>,
    target: &Target,
    caller: &Caller,
    members: Vec<Bytes>,
) -> Outcome {
    let mut counted = false;
    let members = members.into_iter().map(|message| {
        let kind = Kind::of(&message);
        let permit = match kind {
            Kind::Request { .. } if counted => {
                let permit = edge.guard.rules().shares.request(caller.principal.id);
                permit.map(Some)
            }
            Kind::Request { .. } => {
                counted = true;
                Ok(None)
            }
            Kind::Statement | Kind::Neither => Ok(None),
        };
        let mut caller = caller.clone();
        let counted = permit.map(|permit| caller.quota = permit.or(caller.quota.take()));
        let member = Member {
            edge: Arc::clone(edge),
            target: target.clone(),
            caller,
            message,
            kind,
        };
        member.run(counted)
    });
    gather(members).await
}

/// What a member is, as far as its answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request {
        initializes: bool,
    },
    /// A notification or a response: answered with nothing.
    Statement,
    /// Not a message, which JSON-RPC answers without an id.
    Neither,
}

impl Kind {
    fn of(message: &[u8]) -> Self {
        let Ok(envelope) = protocol::scan(message) else {
            return Self::Neither;
        };
        match ClientMessage::read(&envelope, message) {
            Ok(ClientMessage::Request { id: _, method }) => Self::Request {
                initializes: method == "initialize",
            },
            Ok(ClientMessage::Notification { .. } | ClientMessage::Response { .. }) => {
                Self::Statement
            }
            Err(_invalid) => Self::Neither,
        }
    }
}

/// One message of a batch.
struct Member {
    edge: Arc<Edge>,
    target: Target,
    caller: Caller,
    message: Bytes,
    kind: Kind,
}

/// What became of one member.
enum End {
    /// Its response.
    Told(Bytes),
    /// Taken over.
    Taken,
    /// Not taken over, and there is nothing to answer it with.
    NotTaken(Failure),
    /// Messages, its response the last of them.
    Streams(BoxStream<'static, Event>),
}

impl Member {
    async fn run(self, counted: Result<(), Fault>) -> End {
        if let Err(fault) = counted {
            return self.told(unread(fault));
        }
        if self.kind == (Kind::Request { initializes: true }) {
            let message = "initialize must not be part of a batch";
            let fault = Fault::new(FaultKind::InvalidRequest, message);
            return self.told(unread(fault.delivered(Delivered::No)));
        }
        let (caller, message) = (self.caller.clone(), self.message.clone());
        let quota = caller.quota.clone();
        match self.edge.relay.message(&self.target, caller, message).await {
            Ok(Answer::Reply(reply)) => End::Told(reply.message),
            Ok(Answer::Accepted) => End::Taken,
            Ok(Answer::Stream(events)) => {
                // The ids and the waits are those of streams that were to stand alone: the stream of
                // a batch cannot be resumed.
                let messages = events.filter_map(move |event| {
                    let _counted = &quota;
                    std::future::ready((!event.message.is_empty()).then(|| plain(event.message)))
                });
                End::Streams(messages.boxed())
            }
            Err(failure) if self.kind == Kind::Statement => End::NotTaken(failure),
            Err(failure) => self.told(failure),
        }
    }

    fn told(&self, failure: Failure) -> End {
        let header = self.caller.headers.version.once();
        let refused = Refused::from(failure)
            .about(&self.message, header.map(AsRef::as_ref))
            .at(&self.target);
        refused.message().map_or(End::Taken, End::Told)
    }
}

fn plain(message: Bytes) -> Event {
    Event {
        id: None,
        retry: None,
        message,
    }
}

/// Waits for all members, or until one has more to say than its response.
async fn gather<M>(members: impl Iterator<Item = M>) -> Outcome
where
    M: Future<Output = End> + Send + 'static,
{
    let numbered = members.enumerate();
    let mut running: FuturesUnordered<_> = numbered
        .map(|(at, member)| async move { (at, member.await) })
        .collect();
    let mut responses = BTreeMap::new();
    let mut refused = None;
    while let Some((at, end)) = running.next().await {
        match end {
            End::Told(response) => {
                responses.insert(at, response);
            }
            End::Taken => {}
            End::NotTaken(failure) => refused = refused.or(Some(failure)),
            End::Streams(events) => {
                let before = stream::iter(responses.into_values().map(plain));
                let rest = running.flat_map_unordered(None, |(_, end)| events_of(end));
                return Outcome::Stream(before.chain(stream::select(events, rest)).boxed());
            }
        }
    }
    if !responses.is_empty() {
        return Outcome::Responses(responses.into_values().collect());
    }
    refused.map_or(Outcome::Accepted, Outcome::Refused)
}

fn events_of(end: End) -> BoxStream<'static, Event> {
    match end {
        End::Told(response) => stream::once(std::future::ready(plain(response))).boxed(),
        End::Taken | End::NotTaken(_) => stream::empty().boxed(),
        End::Streams(events) => events,
    }
}

#[cfg(test)]
mod tests;
