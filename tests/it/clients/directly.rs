//! The client programs with the fixture's own HTTP: what fails behind a gateway and not here is the gateway's.

use super::sdk::{Sdk, Way};
use crate::support::{StdioServer, places};

/// The fixture with its HTTP front on a free port, and its URL.
fn start(era: &str) -> (StdioServer, String) {
    let arguments = [format!("era={era}"), "--http".to_owned(), "0".to_owned()];
    let server = StdioServer::start(&places::conformance_server(), &arguments, &[]);
    let told = server
        .next_complaint()
        .expect("a line that says where it listens");
    let (_, url) = told.split_once("listening on ").expect(&told);
    (server, url.to_owned())
}

/// Every way of the SDK with servers of every era that it can speak with.
async fn each_era(sdk: Sdk) {
    for (era, way, revision) in [
        ("legacy", Way::Legacy, "2025-11-25"),
        ("legacy", Way::Auto, "2025-11-25"),
        ("modern", Way::Auto, "2026-07-28"),
        ("dual", Way::Legacy, "2025-11-25"),
        ("dual", Way::Auto, "2026-07-28"),
    ] {
        if sdk.ways().contains(&way) {
            let (_server, url) = start(era);
            if let Err(fault) = sdk.check(&url, "-", way, revision).await {
                panic!("{era}: {fault}");
            }
        }
    }
}

#[tokio::test]
async fn typescript_v1() {
    each_era(Sdk::TypescriptV1).await;
}

#[tokio::test]
async fn typescript_v2() {
    each_era(Sdk::TypescriptV2).await;
}

#[tokio::test]
async fn python_v1() {
    each_era(Sdk::PythonV1).await;
}

#[tokio::test]
async fn python_v2() {
    each_era(Sdk::PythonV2).await;
}

#[tokio::test]
async fn rmcp() {
    each_era(Sdk::Rmcp).await;
}
