//! Responses as JSON and as event streams.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;

use crate::http::error;
use crate::http::negotiate::Offer;
use crate::http::{pieces, sse};
use crate::relay::Event;

/// One event as it goes over the wire: `id` and `retry` where it has them, then its data, which is an
/// empty line in the event that only tells the id (MCP 2025-11-25, basic/transports).
pub(super) fn frames(event: Event) -> sse::EventPieces {
    let retry = event.retry.map(|after| after.as_millis().to_string());
    let id = event.id.as_deref().map(|id| ("id", id));
    let retry = retry.as_deref().map(|after| ("retry", after));
    sse::event_pieces(id.into_iter().chain(retry), event.message)
}

/// One message. What is not a success is JSON in any form: no reader of events looks at its body.
pub(super) fn one(message: Bytes, status: StatusCode, form: Offer) -> Response {
    let mut response = match form {
        Offer::EventStream if status == StatusCode::OK => {
            sse::whole(sse::event_pieces([], message))
        }
        Offer::EventStream | Offer::Json => error::json_bytes(message),
    };
    *response.status_mut() = status;
    response
}

/// The responses to a batch, in its order: one array, or an event each.
pub(super) fn responses(responses: Vec<Bytes>, form: Offer) -> Response {
    let responses = responses.into_iter();
    match form {
        Offer::Json => {
            let between = std::iter::once("[").chain(std::iter::repeat(","));
            let members = between.zip(responses);
            let members = members.flat_map(|(before, member)| [before.into(), member]);
            error::json_body(pieces::body(members.chain(["]".into()])))
        }
        Offer::EventStream => {
            sse::whole(responses.flat_map(|message| sse::event_pieces([], message)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::time::Duration;

    fn event(id: Option<&str>, retry: Option<u64>, message: &'static str) -> String {
        let event = Event {
            id: id.map(str::to_owned),
            retry: retry.map(Duration::from_millis),
            message: message.into(),
        };
        String::from_utf8(frames(event).collect::<Vec<_>>().concat()).unwrap()
    }

    #[test]
    fn an_event_has_the_fields_that_it_was_given() {
        assert_eq!(event(None, None, r#"{"a":1}"#), "data: {\"a\":1}\n\n");
        assert_eq!(event(Some("s-7"), None, "{}"), "id: s-7\ndata: {}\n\n");
        assert_eq!(
            event(Some("s-0"), Some(1500), ""),
            "id: s-0\nretry: 1500\ndata: \n\n",
            "a priming event has data, and it is empty"
        );
    }

    /// Status, content type and body.
    async fn told(response: Response) -> (u16, String, String) {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let kind = parts.headers["content-type"].to_str().unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (parts.status.as_u16(), kind.to_owned(), body)
    }

    #[tokio::test]
    async fn a_message_takes_the_form_that_is_wanted_and_a_refusal_is_json() {
        let (json, events) = (
            "application/json".to_owned(),
            "text/event-stream".to_owned(),
        );
        for (status, form, kind, body) in [
            (200, Offer::Json, &json, "{}"),
            (200, Offer::EventStream, &events, "data: {}\n\n"),
            (404, Offer::EventStream, &json, "{}"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let response = one("{}".into(), status, form);
            let expected = (status.as_u16(), kind.clone(), body.to_owned());
            assert_eq!(told(response).await, expected);
        }
    }

    #[tokio::test]
    async fn responses_are_one_array_or_an_event_each() {
        let members = vec![Bytes::from_static(b"{\"id\":1}"), "{\"id\": 2 }".into()];
        let array = told(responses(members.clone(), Offer::Json)).await;
        assert_eq!(array.2, r#"[{"id":1},{"id": 2 }]"#);
        let events = told(responses(members, Offer::EventStream)).await;
        assert_eq!(events.2, "data: {\"id\":1}\n\ndata: {\"id\": 2 }\n\n");
    }
}
