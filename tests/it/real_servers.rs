//! The real servers that are put behind gateways: each is installed, starts, and is what the other tests take it for.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Server, StdioServer};

fn start(server: &Server) -> StdioServer {
    let (program, arguments, variables) = server.launch();
    let variables: Vec<(&str, String)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    StdioServer::start(Path::new(&program), &arguments, &variables)
}

/// The handshake of the legacy era, then the names of all tools.
fn tools(server: &Server) -> Vec<String> {
    let mut server = start(server);
    let result = server.initialize();
    assert_eq!(result["protocolVersion"], "2025-11-25", "{result}");
    let answer = server.request_among_others("tools/list", &json!({}));
    let listed = answer["result"]["tools"]
        .as_array()
        .expect("a list of tools");
    let names = listed
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned());
    names.collect()
}

/// The modern probe of a server.
fn discover(server: &Server) -> Value {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    start(server).request("server/discover", &json!({"_meta": meta}))
}

#[test]
fn everything_is_legacy_and_has_13_tools() {
    let server = Server::everything("s");
    assert_eq!(tools(&server).len(), 13);
    assert_eq!(discover(&server)["error"]["code"], -32601);
}

#[test]
fn filesystem_has_14_tools() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(tools(&Server::filesystem("s", folder.path())).len(), 14);
}

#[test]
fn memory_has_9_tools() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        tools(&Server::memory("s", &folder.path().join("memory.json"))).len(),
        9
    );
}

#[test]
fn time_speaks_both_eras_and_has_2_tools() {
    let server = Server::time("s");
    assert_eq!(tools(&server), ["get_current_time", "convert_time"]);
    let versions = &discover(&server)["result"]["supportedVersions"];
    assert!(
        versions.as_array().unwrap().contains(&json!("2026-07-28")),
        "{versions}"
    );
}

#[test]
fn git_has_12_tools() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("git")
        .args(["init", "--quiet"])
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(made.success());
    assert_eq!(tools(&Server::git("s", folder.path())).len(), 12);
}
