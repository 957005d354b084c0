//! Real client SDKs at `/{server_id}/mcp`: each does all its steps with servers of every era, shared and by session.
//!
//! A cell of the matrix is an SDK, the era of the server and its `instance`; every way in which the SDK can speak is
//! tried, at the same time where the server can tell its clients apart. A client sees no difference between the
//! cells, because the gateway speaks both eras whatever the server speaks.

mod directly;
mod sdk;
mod survival;

use futures_util::{StreamExt as _, stream};
use tokio::task::JoinSet;

use crate::support::gateway::TOKEN;
use crate::support::{Gateway, Server};
use sdk::{Sdk, Way};

const ERAS: [&str; 3] = ["legacy", "modern", "dual"];
const INSTANCES: [&str; 2] = ["shared", "session"];

/// Tries every way of the SDK in one cell and gives those that failed.
async fn faults(gateway: &Gateway, sdk: Sdk, era: &str, instance: &str) -> Vec<String> {
    let url = format!("http://{}/conformance/mcp", gateway.address());
    let runs = sdk.ways().iter().copied().map(|way| {
        let revision = match way {
            Way::Legacy => "2025-11-25",
            Way::Auto => "2026-07-28",
        };
        sdk.check(&url, TOKEN, way, revision)
    });
    // A legacy server does not say for which call it asks, so with several the gateway puts its question to nobody.
    let at_once = if (era, instance) == ("legacy", "shared") {
        1
    } else {
        sdk.ways().len()
    };
    let results: Vec<_> = stream::iter(runs).buffered(at_once).collect().await;
    results.into_iter().filter_map(Result::err).collect()
}

fn start(era: &str, instance: &str) -> Gateway {
    let server = Server::conformance("conformance", era).set("instance", instance);
    Gateway::builder().server(server).start()
}

async fn cell(sdk: Sdk, era: &str, instance: &str) {
    let gateway = start(era, instance);
    let faults = faults(&gateway, sdk, era, instance).await;
    assert!(
        faults.is_empty(),
        "{sdk:?}, {era}, {instance}:\n{}",
        faults.join("\n")
    );
}

/// The cells of each SDK.
macro_rules! matrix {
    ($($module:ident: $sdk:expr),+ $(,)?) => {$(
        mod $module {
            use super::{Sdk, cell};

            #[tokio::test]
            async fn a_legacy_server_shared() {
                cell($sdk, "legacy", "shared").await;
            }

            #[tokio::test]
            async fn a_legacy_server_by_session() {
                cell($sdk, "legacy", "session").await;
            }

            #[tokio::test]
            async fn a_modern_server_shared() {
                cell($sdk, "modern", "shared").await;
            }

            #[tokio::test]
            async fn a_modern_server_by_session() {
                cell($sdk, "modern", "session").await;
            }

            #[tokio::test]
            async fn a_dual_server_shared() {
                cell($sdk, "dual", "shared").await;
            }

            #[tokio::test]
            async fn a_dual_server_by_session() {
                cell($sdk, "dual", "session").await;
            }
        }
    )+};
}

matrix! {
    typescript_v1: Sdk::TypescriptV1,
    typescript_v2: Sdk::TypescriptV2,
    python_v1: Sdk::PythonV1,
    python_v2: Sdk::PythonV2,
    rmcp: Sdk::Rmcp,
}

/// `cargo test --test it clients::the_matrix -- --ignored --nocapture` shows all cells at a glance, after minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints the table; each cell is a test of its own"]
async fn the_matrix() {
    let columns = ERAS.map(|era| INSTANCES.map(|instance| (era, instance)));
    print!("{:14}", "");
    for &(era, instance) in columns.as_flattened() {
        print!(" {:15}", format!("{era}/{instance}"));
    }
    println!();
    let mut reasons = Vec::new();
    for sdk in Sdk::ALL {
        print!("{:14}", format!("{sdk:?}"));
        for &(era, instance) in columns.as_flattened() {
            // A task, because a gateway that does not start panics.
            let mut task = JoinSet::new();
            task.spawn(async move { faults(&start(era, instance), sdk, era, instance).await });
            let found = match task.join_next().await {
                Some(Ok(faults)) => faults,
                lost => vec![format!("{lost:?}")],
            };
            let verdict = if found.is_empty() { "ok" } else { "FAILED" };
            print!(" {verdict:15}");
            reasons.extend(
                found
                    .into_iter()
                    .map(|fault| format!("{era}/{instance}: {fault}")),
            );
        }
        println!();
    }
    println!("{}", reasons.join("\n"));
}
