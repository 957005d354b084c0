//! Session ids that nobody was given (H086, H087).

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::support::client::Answer;
use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;

/// Every way to use a session that is named so.
async fn used(session: &Session) -> [Answer; 3] {
    let call = tool_call("f", "echo", &json!({"text": "forged"}));
    [
        session.tell(&call).await,
        session.get_whole().await,
        session.end().await,
    ]
}

/// H086: ids begin with 192 random bits each.
#[tokio::test]
async fn ids_are_long_random_and_never_the_same() {
    let gateway = two_people();
    let client = gateway.client();
    let mut seen = HashSet::new();
    let mut ones = [0; 128];
    for _ in 0..200 {
        let id = open(&client).await.id;
        let bytes = URL_SAFE_NO_PAD
            .decode(&id)
            .unwrap_or_else(|fault| panic!("{id}: {fault}"));
        let bits = u128::from_be_bytes(bytes[..16].try_into().unwrap());
        assert_eq!(id.len(), 68, "{id}");
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += bits >> bit & 1;
        }
        assert!(seen.insert(id), "twice the same id");
    }
    // Of 200 fair throws fewer than 50 or more than 150 heads come once in 10^12 tries.
    assert!(
        ones.iter().all(|count| (50..=150).contains(count)),
        "{ones:?}"
    );
}

/// H086: what is nearly an id, or no text at all, is unknown, and the session that it resembles is not
/// touched by it.
#[tokio::test]
async fn what_is_no_id_is_unknown() {
    let gateway = two_people();
    let client = gateway.alice();
    let own = open(&client).await;
    let (start, _) = own.id.split_at(31);
    let last = if own.id.ends_with('0') { "1" } else { "0" };
    let forged = [
        "0".repeat(32),
        format!("{start}{last}"),
        start.to_owned(),
        format!("{}0", own.id),
        format!("{0}{0}", own.id),
        own.id
            .to_uppercase()
            .replace(|c: char| c.is_ascii_digit(), "A"),
        format!("{}, {}", own.id, own.id),
        format!("\"{}\"", own.id),
        "../s1".to_owned(),
        "*".to_owned(),
        "x".repeat(8000),
    ];
    for id in forged {
        for answer in used(&own.with_id(&id)).await {
            let body = answer.json();
            assert_eq!(answer.status, 404, "{id:.40}: {body}");
            let code = &body["error"]["data"]["error_code"];
            assert_eq!(code, "session_not_found", "{id:.40}: {body}");
        }
    }
    for answer in used(&own.with_id(&"x".repeat(1024 * 1024))).await {
        assert_eq!(answer.status, 431);
    }
    assert_eq!(own.tell(&ping()).await.status, 200);
    assert_eq!(own.call("echo", &json!({"text": "mine"})).await, "mine");
    assert_eq!(gateway.journal("s1").count("forged"), 0);
}

/// H086: bytes that are no text, control characters, and two ids at once.
#[tokio::test]
async fn a_header_that_is_no_text_names_no_session() {
    let gateway = two_people();
    let own = open(&gateway.client()).await;
    let body = ping().to_string();
    for (lines, statuses) in [
        (format!("{}\u{e9}", own.id), &[404][..]),
        ("\u{455}1".to_owned(), &[404]),
        (format!("{}\u{1}", own.id), &[400, 404]),
        (format!("{}\0", own.id), &[400]),
        (format!("{}\r", own.id), &[400]),
        (format!("{0}\r\nMcp-Session-Id: {0}", own.id), &[400]),
        (format!("{}\r\nMCP-SESSION-ID: other", own.id), &[400]),
    ] {
        let head = format!(
            "POST /s1/mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nMcp-Session-Id: {lines}\r\n\r\n{body}",
            gateway.address(),
            body.len()
        );
        let mut socket = RawSocket::connect(gateway.address()).await;
        socket.send(head).await;
        let status = socket.head(SOON).await.expect("an answer").status;
        assert!(statuses.contains(&status), "{lines:?}: {status}");
    }
    assert_eq!(own.tell(&ping()).await.status, 200);
}

/// H087: a session that a client brings along when it opens one is not the one that it gets.
#[tokio::test]
async fn nobody_chooses_the_id_of_a_session() {
    let gateway = two_people();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let (own, foreign) = (open(&alice).await, open(&bob).await);
    let invented = "0123456789abcdef0123456789abcdef";
    for brought in [invented, &own.id, &foreign.id] {
        let hello = mcp::post(&alice, "/s1/mcp", &mcp::initialize(REVISION));
        let shaken = alice.send(hello.header("mcp-session-id", brought)).await;
        assert_eq!(shaken.status, 200, "{}", shaken.text());
        let given = shaken.header("mcp-session-id");
        assert!(!given.is_empty() && given != brought, "{given}");
        assert_eq!(own.with_id(given).tell(&ping()).await.status, 200);
    }
    assert_eq!(own.with_id(invented).tell(&ping()).await.status, 404);
    assert_eq!(own.with_id(&foreign.id).tell(&ping()).await.status, 404);
    for session in [&own, &foreign] {
        assert_eq!(session.tell(&ping()).await.status, 200, "as before");
    }
}
