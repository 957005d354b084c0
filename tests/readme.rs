//! What README.md says of keys, endpoints, errors, metrics and exit codes is what the program does.
//!
//! Tables are found by their heading and read cell by cell; a word in backticks is a name.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use std::collections::{BTreeMap, BTreeSet};

use host_mcp_gateway::cli::Exit;
use host_mcp_gateway::fault::FaultKind;
use host_mcp_gateway::{config, http};
use serde_json::Value;

const README: &str = include_str!("../README.md");

/// The rows of the first table below a heading, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, below) = README
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    let rows = below.lines().skip_while(|line| !line.starts_with('|'));
    let rows: Vec<_> = rows
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table below {heading:?}");
    rows
}

/// The words in backticks.
fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Key and default of each row; a default that is no JSON in backticks is told in words.
fn documented(heading: &str) -> BTreeMap<String, Option<Value>> {
    let rows = table(heading).into_iter();
    rows.map(|row| {
        let value = row[1].strip_prefix('`').and_then(|cell| {
            let text = cell.strip_suffix('`')?;
            Some(serde_json::from_str(text).unwrap_or_else(|_| panic!("{row:?}")))
        });
        (names(&row[0])[0].to_owned(), value)
    })
    .collect()
}

/// Key and default of each property of an object of the schema.
fn properties(object: &Value) -> BTreeMap<String, Option<Value>> {
    let members = object["properties"].as_object().unwrap().iter();
    members
        .map(|(key, schema)| (key.clone(), schema.get("default").cloned()))
        .collect()
}

fn definition(name: &str) -> Value {
    config::schema()["definitions"][name].clone()
}

#[test]
fn every_key_of_the_config_is_documented_with_its_default() {
    let mut top = properties(&config::schema());
    for (key, inner) in [
        ("restart_limit", "RestartLimit"),
        ("log", "Log"),
        ("tls", "Tls"),
    ] {
        top.remove(key).expect(key);
        let inner = properties(&definition(inner)).into_iter();
        top.extend(inner.map(|(name, default)| (format!("{key}.{name}"), default)));
    }
    assert_eq!(documented("### Top level"), top);
    for (heading, name) in [
        ("### A server", "Server"),
        ("### An entry of tokens", "Token"),
        ("### Limits", "Limits"),
    ] {
        assert_eq!(
            documented(heading),
            properties(&definition(name)),
            "{heading}"
        );
    }
}

#[test]
fn the_limits_of_one_server_are_marked() {
    let marked: BTreeSet<String> = table("### Limits")
        .into_iter()
        .filter(|row| row[2] == "yes")
        .map(|row| names(&row[0])[0].to_owned())
        .collect();
    let known = properties(&definition("ServerLimits"))
        .into_keys()
        .collect();
    assert_eq!(marked, known);
}

#[test]
fn every_endpoint_is_documented_and_no_other() {
    let documented: BTreeSet<String> = table("## Endpoints")
        .iter()
        .map(|row| names(&row[0])[0].to_owned())
        .collect();
    let routes = http::routes().iter();
    let routes = routes.map(|route| format!("{} {}", route.method, route.path));
    assert_eq!(documented, routes.collect());
}

#[test]
fn every_error_is_documented_with_its_status_and_code() {
    let rows = table("## Errors");
    let codes: BTreeSet<&str> = rows.iter().map(|row| names(&row[0])[0]).collect();
    let known: BTreeSet<&str> = FaultKind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes, known);
    for kind in FaultKind::ALL {
        let row = rows.iter().find(|row| names(&row[0])[0] == kind.code());
        let row = row.unwrap();
        assert_eq!(row[1], http::status(*kind).as_str(), "{kind:?}");
        let in_band: Vec<&str> = row[2].split(", ").collect();
        let code = kind.rpc_code().to_string();
        assert!(
            in_band == ["–"] || in_band.contains(&code.as_str()),
            "{kind:?}: {row:?}"
        );
    }
}

#[test]
fn every_exit_code_is_documented() {
    let documented: Vec<u8> = table("## Exit codes")
        .iter()
        .map(|row| names(&row[0])[0].parse().unwrap())
        .collect();
    let known = [
        Exit::Fine,
        Exit::Failed,
        Exit::Usage,
        Exit::Unreachable,
        Exit::NotReady,
        Exit::Restarting,
        Exit::ServerFailed,
        Exit::ConfigRefused,
    ];
    assert_eq!(documented, known.map(|exit| exit as u8));
}

#[test]
fn what_troubleshooting_names_exists() {
    let codes: BTreeSet<&str> = FaultKind::ALL.iter().map(|kind| kind.code()).collect();
    for row in table("## Troubleshooting") {
        for name in names(&row[0]) {
            let is_code = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(!is_code || codes.contains(name), "{name}");
        }
    }
}

#[test]
fn no_line_is_too_wide() {
    let wide = |line: &&str| line.chars().count() > 120;
    assert_eq!(README.lines().filter(wide).collect::<Vec<_>>(), [""; 0]);
}
