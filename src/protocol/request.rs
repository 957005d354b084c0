//! A client's request as a child gets it: the same bytes, but for what has to be the gateway's own.

use super::envelope::{Envelope, Meta, Span};
use super::splice::{Edit, MetaSlot, spliced_frame};
use super::trace_context::TraceContext;

/// What becomes another's in a request.
#[derive(Debug)]
pub struct Rewriting<'a> {
    /// The id that was minted, in decimal; a progress token becomes the same.
    pub id: &'a str,
    /// The context that the child is told of instead of what stands there.
    pub context: Option<&'a TraceContext>,
    /// Members of `params._meta` that are put in (`"key":value`), none of which stands there, and without
    /// which the child would not understand the request. `None` where there is nothing that it needs.
    pub claims: Option<Vec<String>>,
}

/// There is no place for the claims: `params` or `params._meta` is no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace;

/// One line with its newline for the child, from a request that was scanned.
///
/// A request without `params` gets none only to tell of a context.
pub fn framed(
    body: &[u8],
    envelope: &Envelope,
    rewriting: Rewriting<'_>,
) -> Result<Vec<u8>, NoPlace> {
    let Rewriting {
        id,
        context,
        claims,
    } = rewriting;
    let meta = envelope.params.and_then(|params| params.meta);
    let Meta {
        progress_token,
        traceparent,
        tracestate,
        ..
    } = meta.unwrap_or_default();
    let mut members = Vec::new();
    let mut replaced: Vec<(Span, String)> = Vec::new();
    if let Some(context) = context {
        let value = format!("\"{}\"", context.traceparent());
        match traceparent {
            Some(span) => replaced.push((span, value)),
            None => members.push(format!(r#""traceparent":{value}"#)),
        }
        let state = context.tracestate();
        let value = serde_json::json!(state.unwrap_or_default()).to_string();
        match (tracestate, state) {
            (Some(span), _) => replaced.push((span, value)),
            (None, Some(_)) => members.push(format!(r#""tracestate":{value}"#)),
            (None, None) => {}
        }
    }
    let slot = MetaSlot::of(envelope, body);
    match claims {
        Some(_) if slot.is_none() => return Err(NoPlace),
        Some(claims) => members.extend(claims),
        None if envelope.params.is_none() => members.clear(),
        None => {}
    }
    let inserted = slot
        .filter(|_| !members.is_empty())
        .map(|slot| (slot.at(), slot.text(&members.join(","))));
    let replaced = replaced.iter().chain(&inserted);
    let mut edits: Vec<_> = replaced
        .map(|(span, with)| Edit {
            span: *span,
            with: with.as_bytes(),
        })
        .collect();
    edits.extend(envelope.id.into_iter().chain(progress_token).map(|span| {
        let with = id.as_bytes();
        Edit { span, with }
    }));
    Ok(spliced_frame(body, &mut edits))
}
