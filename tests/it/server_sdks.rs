//! Servers made of other people's SDKs whose tools ask their client: who is asked, and what the client sees.
//!
//! A tool asks by a request, as in the revisions before 2026-07-28, or by a result `input_required`, as since then.
//! SDKs of both eras let the one fail on a modern connection and, but for one of them, the other on a legacy one. That
//! is why each client is served in its own era, and why a tool that asks in one way alone wants that era pinned where
//! clients of the other one use it.

mod asked;
mod rmcp;

use serde_json::json;

use crate::support::mcp::Session;
use crate::support::{Gateway, Server};
use asked::{Asked, NAME, by_legacy_client, by_modern_client, questions_on};

/// The tool that sends its question.
const REQUEST: &str = "ask_by_request";
/// The tool that returns its question.
const RESULT: &str = "ask_by_result";

/// What a client sees of its call.
#[derive(Clone, Copy, Debug)]
enum Sees {
    /// It is asked, once and nobody else, and its answer is in the result.
    Question,
    /// Nobody is asked: the SDK cannot, and says this.
    Failure(&'static str),
}

use Sees::{Failure, Question};

/// A tool of a server whose `era` is this, called by clients of both eras.
#[derive(Clone, Copy, Debug)]
struct Row {
    era: &'static str,
    tool: &'static str,
    legacy_client: Sees,
    modern_client: Sees,
}

const fn row(
    era: &'static str,
    tool: &'static str,
    legacy_client: Sees,
    modern_client: Sees,
) -> Row {
    Row {
        era,
        tool,
        legacy_client,
        modern_client,
    }
}

/// An SDK of the legacy era only: it has no results `input_required`, and needs none, since the gateway bridges.
const OF_ONE_ERA: [Row; 2] = [
    row("auto", REQUEST, Question, Question),
    row("legacy", REQUEST, Question, Question),
];

const TYPESCRIPT_V2: [Row; 6] = [
    row(
        "auto",
        REQUEST,
        Question,
        Failure("cannot be sent while serving a request on that revision"),
    ),
    // On a legacy connection the SDK sends what the tool returns.
    row("auto", RESULT, Question, Question),
    row("legacy", REQUEST, Question, Question),
    row("legacy", RESULT, Question, Question),
    row(
        "modern",
        REQUEST,
        Failure("cannot be sent while"),
        Failure("cannot be sent while"),
    ),
    row("modern", RESULT, Question, Question),
];

const PYTHON_V2: [Row; 6] = [
    row(
        "auto",
        REQUEST,
        Question,
        Failure("no back-channel for server-initiated requests"),
    ),
    row(
        "auto",
        RESULT,
        Failure("Handler returned an invalid result"),
        Question,
    ),
    row("legacy", REQUEST, Question, Question),
    row(
        "legacy",
        RESULT,
        Failure("invalid result"),
        Failure("invalid result"),
    ),
    row(
        "modern",
        REQUEST,
        Failure("no back-channel"),
        Failure("no back-channel"),
    ),
    row("modern", RESULT, Question, Question),
];

const RMCP: [Row; 6] = [
    row(
        "auto",
        REQUEST,
        Question,
        Failure("server-to-client requests are not allowed"),
    ),
    row(
        "auto",
        RESULT,
        Failure("InputRequiredResult requires negotiated protocol"),
        Question,
    ),
    row("legacy", REQUEST, Question, Question),
    row(
        "legacy",
        RESULT,
        Failure("requires negotiated"),
        Failure("requires negotiated"),
    ),
    row(
        "modern",
        REQUEST,
        Failure("are not allowed"),
        Failure("are not allowed"),
    ),
    row("modern", RESULT, Question, Question),
];

/// Starts a server for each era of these rows, beside a client that is never to be asked, and tries them all.
async fn tries(rows: &[Row], server: impl Fn(&str) -> Server) {
    let mut builder = Gateway::builder().people();
    for era in ["auto", "legacy", "modern"] {
        if rows.iter().any(|row| row.era == era) {
            builder = builder.server(server(era).set("era", era));
        }
    }
    let gateway = builder.start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    for row in rows {
        let path = format!("/{}/mcp", row.era);
        let elicitation = json!({"elicitation": {}});
        let bystander = Session::open_with(&alice, &path, "2025-11-25", &elicitation).await;
        let heard = bystander.listen().await;
        let legacy = by_legacy_client(&bob, &path, row.tool).await;
        let modern = by_modern_client(&bob, &path, row.tool).await;
        bystander.end().await;
        assert_eq!(
            questions_on(heard).await,
            0,
            "{row:?}: a bystander was asked"
        );
        for (expected, seen, client) in [
            (row.legacy_client, legacy, "legacy"),
            (row.modern_client, modern, "modern"),
        ] {
            matches(
                expected,
                &seen,
                &format!("{row:?}, {client} client: {seen:?}"),
            );
        }
    }
}

fn matches(expected: Sees, seen: &Asked, about: &str) {
    match expected {
        Question => {
            assert_eq!(seen.questions, 1, "{about}");
            assert_eq!(seen.text, format!("Hello, {NAME}!"), "{about}");
        }
        Failure(words) => {
            assert_eq!(seen.questions, 0, "{about}");
            assert!(seen.text.contains(words), "{about}");
        }
    }
}

#[tokio::test]
async fn typescript_v1() {
    tries(&OF_ONE_ERA, |id| Server::typescript(id, "asking_v1.mjs")).await;
}

#[tokio::test]
async fn typescript_v2() {
    tries(&TYPESCRIPT_V2, |id| Server::typescript(id, "asking_v2.mjs")).await;
}

#[tokio::test]
async fn python_v1() {
    tries(&OF_ONE_ERA, |id| {
        Server::python(id, "client-python-v1", "asking_v1.py")
    })
    .await;
}

#[tokio::test]
async fn python_v2() {
    tries(&PYTHON_V2, |id| {
        Server::python(id, "client-python-v2", "asking_v2.py")
    })
    .await;
}

#[tokio::test]
async fn rmcp_v0_8() {
    tries(&OF_ONE_ERA, |id| Server::rust(id, "rmcp_0_8")).await;
}

#[tokio::test]
async fn rmcp_v1() {
    tries(&OF_ONE_ERA, |id| Server::rust(id, "rmcp_1")).await;
}

#[tokio::test]
async fn rmcp_v3() {
    tries(&RMCP, |id| Server::rust(id, "rmcp_3")).await;
}
