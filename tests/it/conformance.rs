//! The official conformance suite through the gateway: both revisions, before servers of every era.
//!
//! The fixture passes all of it without a gateway, in the era that it speaks.

use std::process::{Output, Stdio};

use serde_json::json;
use tokio::process::Command;

use crate::support::gateway::TOKEN;
use crate::support::places::{self, MARKER};
use crate::support::{Gateway, Server};

/// Passed, failed, warned.
type Sum = [u32; 3];

/// All that the suite checks in the revision 2025-11-25.
const LEGACY: Sum = [84, 0, 0];
/// All that the suite checks in the revision 2026-07-28.
const MODERN: Sum = [152, 0, 0];

/// The same before a legacy server, less what only a modern one can author. Two checks want a tool to be refused by
/// what this one request's client can do, and a legacy server is told that once for all. One, a warning, wants the
/// answer to a question by the name that a server gives it: here the question bears another, because a call that the
/// suite gave up still has that one as its id.
const BRIDGED: Sum = [149, 2, 1];

/// The tests: the era of the server and its `instance`, the revision of the suite, and its sum.
macro_rules! table {
    ($($name:ident: $era:literal, $instance:literal, $revision:literal, $sum:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            suite($era, $instance, $revision, $sum).await;
        }
    )+};
}

table! {
    legacy_shared_in_the_legacy_era: "legacy", "shared", "2025-11-25", LEGACY;
    legacy_shared_in_the_modern_era: "legacy", "shared", "2026-07-28", BRIDGED;
    modern_shared_in_the_legacy_era: "modern", "shared", "2025-11-25", LEGACY;
    modern_shared_in_the_modern_era: "modern", "shared", "2026-07-28", MODERN;
    dual_shared_in_the_legacy_era: "dual", "shared", "2025-11-25", LEGACY;
    dual_shared_in_the_modern_era: "dual", "shared", "2026-07-28", MODERN;
    legacy_by_session_in_the_legacy_era: "legacy", "session", "2025-11-25", LEGACY;
    legacy_by_session_in_the_modern_era: "legacy", "session", "2026-07-28", BRIDGED;
    modern_by_session_in_the_legacy_era: "modern", "session", "2025-11-25", LEGACY;
    modern_by_session_in_the_modern_era: "modern", "session", "2026-07-28", MODERN;
    dual_by_session_in_the_legacy_era: "dual", "session", "2025-11-25", LEGACY;
    dual_by_session_in_the_modern_era: "dual", "session", "2026-07-28", MODERN;
}

/// Runs the suite against a gateway whose server is `conformance`.
async fn run_suite(gateway: &Gateway, revision: &str) -> Output {
    Command::new(places::repository().join("tests/conformance/run"))
        .arg(format!("http://{}/conformance/mcp", gateway.address()))
        .args([TOKEN, revision])
        .env(MARKER, places::new_marker())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("run tests/conformance/run")
}

/// The numbers of the last line: `2025-11-25: 84 passed, 0 failed, 0 warned; …`.
fn sum(report: &str) -> Option<Sum> {
    let (_, numbers) = report.lines().next_back()?.split_once(": ")?;
    let (numbers, _) = numbers.split_once(';')?;
    let mut numbers = numbers
        .split(", ")
        .zip(["passed", "failed", "warned"])
        .map(|(part, word)| part.strip_suffix(word)?.trim().parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

async fn suite(era: &str, instance: &str, revision: &str, expected: Sum) {
    let server = Server::conformance("conformance", era)
        .set("instance", instance)
        .set(
            "client_capabilities",
            json!(["elicitation", "sampling", "roots"]),
        );
    let gateway = Gateway::builder().server(server).start();
    let output = run_suite(&gateway, revision).await;
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let found = sum(&report).unwrap_or_else(|| panic!("the suite broke off:\n{report}{errors}"));
    assert_eq!(found, expected, "{report}");
}
