//! What a client sends and what it takes: `Content-Type`, `Content-Encoding` and `Accept`.

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::fault::{Fault, FaultKind};

/// A media type that we answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// `application/json`
    Json,
    /// `text/event-stream`
    EventStream,
}

impl Offer {
    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application", "json"),
            Self::EventStream => ("text", "event-stream"),
        }
    }
}

/// Refuses a body that is not plain UTF-8 JSON.
///
/// That `Content-Type` must be `application/json` also keeps out what a web page can send without
/// asking first (CVE-2026-33252). Nothing is ever decompressed.
pub(super) fn require_json_body(headers: &HeaderMap) -> Result<(), Fault> {
    let refuse = |message| Err(Fault::new(FaultKind::UnsupportedMediaType, message));
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return refuse("exactly one content-type is required, expected application/json");
    };
    if !is_utf8_json(value) {
        return refuse("unsupported content-type, expected application/json in utf-8");
    }
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        return refuse("unsupported content-encoding, expected none");
    }
    Ok(())
}

/// `application/json`, with any parameters but a charset other than UTF-8.
fn is_utf8_json(value: &HeaderValue) -> bool {
    if value == COMMON_TYPE {
        return true;
    }
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut pieces = text.split(';').map(|piece| piece.trim_matches([' ', '\t']));
    let essence = pieces.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && pieces.all(|parameter| match parameter.split_once('=') {
            Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
                let bare = charset
                    .strip_prefix('"')
                    .and_then(|inner| inner.strip_suffix('"'));
                bare.unwrap_or(charset).eq_ignore_ascii_case("utf-8")
            }
            Some(_) => true,
            // A trailing or doubled semicolon is tolerated (RFC 9110, 5.6.6).
            None => parameter.is_empty(),
        })
}

/// Refuses a client that does not take what the endpoint answers with.
///
/// The plain endpoints answer in one form each, so there is nothing to choose: a client that takes
/// only event streams is refused by an endpoint that answers JSON. No `Accept` takes everything.
pub(super) fn require_accept(headers: &HeaderMap, offer: Offer) -> Result<(), Fault> {
    if is_common(headers) || accepts(headers, offer) {
        return Ok(());
    }
    let message = match offer {
        Offer::Json => "application/json is not accepted by the client",
        Offer::EventStream => "text/event-stream is not accepted by the client",
    };
    Err(Fault::new(FaultKind::NotAcceptable, message))
}

/// What almost every MCP client sends; that it needs no reading saves a twentieth of what a request costs.
const COMMON_TYPE: &str = "application/json";
const COMMON_ACCEPT: &str = "application/json, text/event-stream";

/// The client sends what almost every one does, and so takes both forms.
fn is_common(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(ACCEPT).iter();
    matches!((lines.next(), lines.next()), (Some(line), None) if line == COMMON_ACCEPT)
}

/// What a client takes for the answer to a message that may be answered in either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Takes {
    /// `application/json`
    pub(super) json: bool,
    /// `text/event-stream`
    pub(super) events: bool,
    /// `text/event-stream` is named, and before `application/json`: of two that weigh the same, what is
    /// named first is taken for what is liked more.
    pub(super) events_first: bool,
}

impl Takes {
    /// Refuses a client that takes neither.
    ///
    /// The MCP transport wants clients to name both; one that names less is taken at its word, and one that sends no
    /// `Accept` is a plain client of HTTP, which can read JSON and no stream of events.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        if !headers.contains_key(ACCEPT) {
            return Ok(Self {
                json: true,
                events: false,
                events_first: false,
            });
        }
        if is_common(headers) {
            return Ok(Self {
                json: true,
                events: true,
                events_first: false,
            });
        }
        let takes = Self {
            json: accepts(headers, Offer::Json),
            events: accepts(headers, Offer::EventStream),
            events_first: position(headers, Offer::EventStream) < position(headers, Offer::Json),
        };
        if takes.json || takes.events {
            return Ok(takes);
        }
        let message = "neither application/json nor text/event-stream is accepted by the client";
        Err(Fault::new(FaultKind::NotAcceptable, message))
    }

    /// The form of an answer that is one message: JSON, unless the client wants none.
    pub(super) fn single(self) -> Offer {
        if self.json {
            Offer::Json
        } else {
            Offer::EventStream
        }
    }
}

/// The place of the range that names the type itself; after all others where none does.
fn position(headers: &HeaderMap, offer: Offer) -> usize {
    let lines = headers.get_all(ACCEPT).iter();
    let mut ranges = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let named = |range: &[u8]| {
        let range = std::str::from_utf8(range).ok();
        range.and_then(|range| match_range(range.trim_ascii(), offer)) == Some((3, true))
    };
    ranges.position(named).unwrap_or(usize::MAX)
}

/// RFC 9110, 12.5.1: the most specific range that matches decides, and a weight of zero refuses.
fn accepts(headers: &HeaderMap, offer: Offer) -> bool {
    let mut any_range = false;
    let mut best: Option<(u8, bool)> = None;
    let lines = headers.get_all(ACCEPT).iter();
    for range in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let range = range.trim_ascii();
        if range.is_empty() {
            continue;
        }
        any_range = true;
        // A range that cannot be read takes nothing.
        if let Some(matched) = std::str::from_utf8(range)
            .ok()
            .and_then(|range| match_range(range, offer))
        {
            best = best.max(Some(matched));
        }
    }
    best.map_or(!any_range, |(_, wanted)| wanted)
}

/// How specifically a range matches (3 the type itself, 2 its family, 1 everything) and whether its
/// weight is above zero. Tuples compare in that order, so of two equal ranges the friendlier counts.
fn match_range(range: &str, offer: Offer) -> Option<(u8, bool)> {
    let mut pieces = range.split(';').map(str::trim_ascii);
    let (family, kind) = pieces.next()?.split_once('/')?;
    let (our_family, our_kind) = offer.parts();
    let specificity = if family.eq_ignore_ascii_case(our_family) {
        if kind.eq_ignore_ascii_case(our_kind) {
            3
        } else if kind == "*" {
            2
        } else {
            return None;
        }
    } else if (family, kind) == ("*", "*") {
        1
    } else {
        return None;
    };
    let mut wanted = true;
    for parameter in pieces {
        if let Some((name, weight)) = parameter.split_once('=')
            && name.eq_ignore_ascii_case("q")
        {
            wanted = is_positive_weight(weight)?;
        }
    }
    Some((specificity, wanted))
}

/// `0`, `0.5`, `1.000` and the like (RFC 9110, 12.4.2); anything else gives `None`.
fn is_positive_weight(text: &str) -> Option<bool> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let short = fraction.len() <= 3;
    match whole {
        "0" if short && fraction.bytes().all(|c| c.is_ascii_digit()) => {
            Some(fraction.bytes().any(|c| c != b'0'))
        }
        "1" if short && fraction.bytes().all(|c| c == b'0') => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &http::HeaderName, values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_body_has_to_be_utf8_json() {
        for (types, taken) in [
            (&["application/json"][..], true),
            (&["Application/JSON"], true),
            (&["application/json; charset=utf-8"], true),
            (&["application/json;charset=\"UTF-8\""], true),
            (&["application/json; profile=x;"], true),
            (&["application/json; charset=utf-16"], false),
            (&["application/json; charset=utf-8; charset=utf-16"], false),
            (&["application/json; charset"], false),
            (&["application/json", "application/json"], false),
            (&["application/json, text/plain"], false),
            (&["application/jsonp"], false),
            (&["application/json-rpc"], false),
            (&["text/plain"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&[""], false),
            (&[], false),
        ] {
            let outcome = require_json_body(&headers(&CONTENT_TYPE, types));
            assert_eq!(outcome.is_ok(), taken, "{types:?}");
            if let Err(fault) = outcome {
                assert_eq!(fault.kind, FaultKind::UnsupportedMediaType);
            }
        }
    }

    #[test]
    fn an_encoded_body_is_refused() {
        for (encoding, taken) in [
            ("identity", true),
            ("gzip", false),
            ("identity, gzip", false),
            ("", false),
        ] {
            let mut map = headers(&CONTENT_TYPE, &["application/json"]);
            map.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            assert_eq!(require_json_body(&map).is_ok(), taken, "{encoding:?}");
        }
    }

    #[test]
    fn the_most_specific_range_decides() {
        // (Accept lines, takes JSON, takes event streams)
        for (lines, json, events) in [
            (&[][..], true, true),
            (&[""], true, true),
            (&["*/*"], true, true),
            (&["application/*"], true, false),
            (&["application/json"], true, false),
            (&["APPLICATION/JSON ; q=0.1"], true, false),
            (&["application/json, text/event-stream"], true, true),
            (&["text/event-stream", "application/json"], true, true),
            (&["text/event-stream"], false, true),
            (&["application/json;q=0"], false, false),
            (&["application/json;q=0.000, */*"], false, true),
            (&["application/*;q=0, application/json"], true, false),
            (&["*/*;q=0, text/*;q=1.0"], false, true),
            (&["application/json;q=1.5"], false, false),
            (&["application/json;q=NaN"], false, false),
            (&["text/html, image/png"], false, false),
            (&["*/json"], false, false),
            (&["junk"], false, false),
        ] {
            let map = headers(&ACCEPT, lines);
            let outcome = (
                accepts(&map, Offer::Json),
                accepts(&map, Offer::EventStream),
            );
            assert_eq!(outcome, (json, events), "{lines:?}");
        }
    }

    #[test]
    fn what_is_named_first_is_liked_more() {
        for (lines, first) in [
            (&[][..], false),
            (&["*/*"], false),
            (&["application/json, text/event-stream"], false),
            (&["text/event-stream, application/json"], true),
            (&["text/event-stream", "application/json"], true),
            (&["text/event-stream;q=0, application/json"], false),
            (&["text/event-stream"], true),
        ] {
            let takes = Takes::of(&headers(&ACCEPT, lines)).unwrap();
            assert_eq!(takes.events_first, first, "{lines:?}");
        }
    }

    #[test]
    fn who_takes_json_or_events_is_not_refused() {
        for (lines, single) in [
            (&[][..], Some(Offer::Json)),
            (&["*/*"], Some(Offer::Json)),
            (&["text/event-stream, application/json"], Some(Offer::Json)),
            (&["application/json"], Some(Offer::Json)),
            (&["text/event-stream"], Some(Offer::EventStream)),
            (&["text/html"], None),
        ] {
            let takes = Takes::of(&headers(&ACCEPT, lines));
            assert_eq!(takes.map(Takes::single).ok(), single, "{lines:?}");
        }
    }
}
