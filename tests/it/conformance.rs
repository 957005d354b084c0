//! The official conformance suite through the gateway: both revisions, before servers of every era.
//!
//! Servers of one era are the fixture, which passes all of it without a gateway. The server of both eras is made of the
//! TypeScript SDK, because what such a server does in which era is decided by its SDK.

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

/// All that the suite checks in the revision 2025-11-25 of the server on the SDK, which does not ask one thing that the
/// fixture asks.
const LEGACY_SDK: Sum = [83, 0, 0];
/// The four tools that push their question fail with the SDK's error, and what follows from the answers is not checked.
const LEGACY_SDK_BY_MODERN: Sum = [71, 4, 0];
/// As [`BRIDGED`]; and this SDK numbers its questions, where the suite wants the name, twice.
const MODERN_SDK_BY_LEGACY: Sum = [146, 4, 1];

/// The tests: the server and its `instance`, the revision of the suite, and its sum.
macro_rules! table {
    ($($name:ident: $server:expr, $instance:literal, $revision:literal, $sum:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            suite($server.set("instance", $instance), $revision, $sum).await;
        }
    )+};
}

table! {
    legacy_shared_in_the_legacy_era: fixture("legacy"), "shared", "2025-11-25", LEGACY;
    legacy_shared_in_the_modern_era: fixture("legacy"), "shared", "2026-07-28", BRIDGED;
    modern_shared_in_the_legacy_era: fixture("modern"), "shared", "2025-11-25", LEGACY;
    modern_shared_in_the_modern_era: fixture("modern"), "shared", "2026-07-28", MODERN;
    legacy_by_session_in_the_legacy_era: fixture("legacy"), "session", "2025-11-25", LEGACY;
    legacy_by_session_in_the_modern_era: fixture("legacy"), "session", "2026-07-28", BRIDGED;
    modern_by_session_in_the_legacy_era: fixture("modern"), "session", "2025-11-25", LEGACY;
    modern_by_session_in_the_modern_era: fixture("modern"), "session", "2026-07-28", MODERN;
    // The config is what it is by default: each client is served in its own era.
    dual_shared_in_the_legacy_era: sdk(), "shared", "2025-11-25", LEGACY_SDK;
    dual_shared_in_the_modern_era: sdk(), "shared", "2026-07-28", MODERN;
    dual_by_session_in_the_legacy_era: sdk(), "session", "2025-11-25", LEGACY_SDK;
    dual_by_session_in_the_modern_era: sdk(), "session", "2026-07-28", MODERN;
    // One process, and what its era can do.
    pinned_to_legacy_in_the_legacy_era: pinned("legacy"), "shared", "2025-11-25", LEGACY_SDK;
    pinned_to_legacy_in_the_modern_era: pinned("legacy"), "shared", "2026-07-28", MODERN_SDK_BY_LEGACY;
    pinned_to_modern_in_the_legacy_era: pinned("modern"), "shared", "2025-11-25", LEGACY_SDK_BY_MODERN;
    pinned_to_modern_in_the_modern_era: pinned("modern"), "shared", "2026-07-28", MODERN;
}

/// The fixture in one era, told that it may ask for all that the suite has answers to.
fn fixture(era: &str) -> Server {
    asks_everything(Server::conformance("conformance", era))
}

/// The server of both eras on the TypeScript SDK.
fn sdk() -> Server {
    Server::typescript("conformance", "conformance.mjs")
}

fn pinned(era: &str) -> Server {
    asks_everything(sdk().set("era", era))
}

fn asks_everything(server: Server) -> Server {
    let everything = json!(["elicitation", "sampling", "roots"]);
    server.set("client_capabilities", everything)
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

async fn suite(server: Server, revision: &str, expected: Sum) {
    let gateway = Gateway::builder().server(server).start();
    let output = run_suite(&gateway, revision).await;
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let found = sum(&report).unwrap_or_else(|| panic!("the suite broke off:\n{report}{errors}"));
    assert_eq!(found, expected, "{report}");
}
