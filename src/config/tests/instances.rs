//! What the relay is told of who shares a process.

use std::time::Duration;

use super::{faults, loaded, with};
use crate::relay::{ClientCapabilities, ClientFeatures, Instance, ServerConfig};

/// The servers of this `mcpServers`, each `/bin/sh` with these keys.
fn servers(keys: &[&str], further: &str) -> (Vec<ServerConfig>, Vec<String>) {
    let entries: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(n, keys)| format!(r#""s{n}": {{ "command": "/bin/sh", {keys} }}"#))
        .collect();
    let config = loaded(&with(&format!(
        r#"{further} "mcpServers": {{ {} }}"#,
        entries.join(", ")
    )));
    (config.servers, config.warnings)
}

#[test]
fn a_process_is_shared_by_all_unless_it_is_said_otherwise() {
    let (servers, warnings) = servers(
        &[
            "",
            r#""instance": "session", "limits": { "max_instances": 2, "instance_idle_ms": 5000 }"#,
            r#""instance": "client", "client_features": "serialize""#,
        ],
        r#""limits": { "max_instances": 3 },"#,
    );
    let seen: Vec<_> = servers
        .iter()
        .map(|server| (server.instance, server.client_features))
        .collect();
    let expected = [
        (Instance::Shared, ClientFeatures::Attribute),
        (Instance::Session, ClientFeatures::Attribute),
        (Instance::Client, ClientFeatures::Serialize),
    ];
    assert_eq!(seen, expected);
    let bounds: Vec<_> = servers
        .iter()
        .map(|server| (server.max_instances, server.instance_idle))
        .collect();
    let idle = Duration::from_mins(10);
    assert_eq!(bounds, [(3, idle), (2, Duration::from_secs(5)), (3, idle)]);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_server_is_told_what_clients_can_do() {
    let (servers, _) = servers(
        &[
            "",
            r#""client_capabilities": []"#,
            r#""client_capabilities": ["roots", "elicitation"]"#,
        ],
        "",
    );
    let told: Vec<_> = servers
        .iter()
        .map(|server| &*server.supervisor.client_capabilities)
        .collect();
    let expected = [
        r#"{"elicitation":{"form":{},"url":{}},"sampling":{}}"#,
        "{}",
        r#"{"elicitation":{"form":{},"url":{}},"roots":{}}"#,
    ];
    assert_eq!(told, expected);
    let listed = ClientCapabilities {
        elicitation: true,
        sampling: false,
        roots: true,
    };
    assert_eq!(servers[2].client_capabilities, listed);
    let refused = faults(&with(
        r#""mcpServers": { "a": { "command": "x", "client_capabilities": ["tools"] } }"#,
    ));
    let expected = "client_capabilities[0] (line 1): unknown value \"tools\", expected elicitation, sampling or roots";
    assert!(refused.contains(expected), "{refused}");
}

#[test]
fn a_process_that_is_not_shared_is_not_started_before_its_user_comes() {
    let (servers, warnings) = servers(&[r#""instance": "session", "autostart": true"#], "");
    assert!(!servers[0].supervisor.autostart);
    assert_eq!(
        warnings,
        [
            "mcpServers.s0.autostart (line 1): has no effect with instance \"session\": each process starts at its first request"
        ]
    );
}
