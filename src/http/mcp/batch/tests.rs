//! What a batch is made of, and how its answers come together.

use std::future::ready;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::*;
use crate::protocol::Era;

fn members(body: &'static str) -> Result<Vec<String>, FaultKind> {
    split(&Bytes::from_static(body.as_bytes()))
        .map(|members| {
            let texts = members.iter();
            texts
                .map(|member| String::from_utf8(member.to_vec()).unwrap())
                .collect()
        })
        .map_err(|fault| fault.kind)
}

#[test]
fn what_starts_with_a_bracket_is_an_array() {
    for (body, array) in [
        ("[]", true),
        (" \r\n\t[1", true),
        ("\u{feff} [", true),
        ("{}", false),
        ("", false),
        ("\"[\"", false),
    ] {
        assert_eq!(is_array(body.as_bytes()), array, "{body:?}");
    }
}

#[test]
fn members_keep_their_bytes() {
    for (body, expected) in [
        (
            "\u{feff}[ {\"id\" : 1.0e2} ,\n[1, 2],null ]\r\n",
            vec!["{\"id\" : 1.0e2}", "[1, 2]", "null"],
        ),
        (
            r#"["\ud800",{"a":"],["}]"#,
            vec![r#""\ud800""#, r#"{"a":"],["}"#],
        ),
    ] {
        assert_eq!(members(body).unwrap(), expected);
    }
    for (body, kind) in [
        ("[]", FaultKind::InvalidRequest),
        ("[{}", FaultKind::ParseError),
        ("[{},]", FaultKind::ParseError),
        ("[{}] {}", FaultKind::ParseError),
        ("[{]]", FaultKind::ParseError),
    ] {
        assert_eq!(members(body), Err(kind), "{body}");
    }
}

#[test]
fn a_batch_has_a_bound() {
    let of = |count: usize| Bytes::from(format!("[{}]", vec!["{}"; count].join(",")));
    assert_eq!(split(&of(MAX_MEMBERS)).unwrap().len(), MAX_MEMBERS);
    let fault = split(&of(MAX_MEMBERS + 1)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest);
    assert_eq!(fault.message, "a batch of more than 100 messages");
}

#[test]
fn only_a_request_is_answered_with_its_id() {
    let request = |initializes| Kind::Request { initializes };
    for (message, kind) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#, request(false)),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"initi\u0061lize"}"#,
            request(true),
        ),
        (
            r#"{"jsonrpc":"2.0","method":"initialize"}"#,
            Kind::Statement,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Kind::Statement),
        (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, Kind::Neither),
        ("[]", Kind::Neither),
        ("1", Kind::Neither),
    ] {
        assert_eq!(Kind::of(message.as_bytes()), kind, "{message}");
    }
}

fn told(text: &'static str) -> BoxFuture<'static, End> {
    ready(End::Told(text.into())).boxed()
}

fn not_taken(message: &'static str) -> BoxFuture<'static, End> {
    let failure = Failure {
        fault: Fault::new(FaultKind::ServerStopped, message),
        id: None,
        era: Era::Legacy,
    };
    ready(End::NotTaken(failure)).boxed()
}

fn taken() -> BoxFuture<'static, End> {
    ready(End::Taken).boxed()
}

/// What came of them in words.
async fn gathered(members: Vec<BoxFuture<'static, End>>) -> String {
    match gather(members.into_iter()).await {
        Outcome::Responses(responses) => {
            let texts = responses.iter().map(|text| String::from_utf8_lossy(text));
            texts.collect::<Vec<_>>().join(" ")
        }
        Outcome::Accepted => "accepted".to_owned(),
        Outcome::Refused(failure) => failure.fault.message.into_owned(),
        Outcome::Stream(_) => "stream".to_owned(),
    }
}

#[tokio::test]
async fn responses_come_in_the_order_of_the_batch_and_only_those() {
    let (answer, late) = oneshot::channel::<()>();
    let slow = async {
        late.await.unwrap();
        End::Told("a".into())
    };
    let quick = async {
        answer.send(()).unwrap();
        End::Told("b".into())
    };
    let members = vec![
        slow.boxed(),
        taken(),
        quick.boxed(),
        not_taken("gone"),
        told("c"),
    ];
    assert_eq!(gathered(members).await, "a b c");
}

#[tokio::test]
async fn without_a_request_nothing_is_told_but_a_failure() {
    assert_eq!(gathered(vec![taken(), taken()]).await, "accepted");
    let members = vec![taken(), not_taken("first"), not_taken("second")];
    assert_eq!(gathered(members).await, "first");
}

#[tokio::test]
async fn with_one_stream_all_is_one_stream() {
    let (answer, late) = oneshot::channel::<()>();
    let slow = async {
        late.await.unwrap();
        End::Told("slow".into())
    };
    let streams = ready(End::Streams(
        stream::iter(["progress", "response"])
            .map(|text| plain(text.into()))
            .boxed(),
    ));
    let members = vec![slow.boxed(), told("quick"), streams.boxed(), taken()];
    let Outcome::Stream(mut events) = gather(members.into_iter()).await else {
        panic!("expected a stream");
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(events.next().await.unwrap());
    }
    answer.send(()).unwrap();
    seen.extend(events.collect::<Vec<_>>().await);
    let texts: Vec<_> = seen.iter().map(|event| &event.message[..]).collect();
    assert_eq!(
        texts,
        ["quick", "progress", "response", "slow"].map(str::as_bytes)
    );
}
