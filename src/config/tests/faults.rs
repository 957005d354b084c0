//! What a person reads who has to mend a file.

use super::{Fixture, TOKEN, chmod, faults, with};

/// H112, H117: duplicates, unknown keys, wrong types and references to nothing, each with its line; and a NUL in a
/// command.
#[test]
fn every_fault_of_a_file_is_reported_at_once_with_its_key_and_line() {
    let text = r#"{
  // comments and trailing commas are fine
  "bind_host": "example.com",
  "bind_prot": 7411,
  "auth_token": 12345,
  "allowed_clients": ["10.0.0.0/33", "0.0.0.0/0", 7, "010.0.0.1"],
  "allowed_hosts": ["*"],
  "request_timeout_ms": 0,
  "restart_backoff_ms": "2s",
  "restart_backoff_max_ms": 1.5,
  "restart_limit": { "count": 10, "window": 5 },
  "limits": {
    "max_queue": -1,
    "hold_ms": null,
    "hold_ms": 5,
  },
  "log": { "level": "infoo", "format": "xml" },
  "tls": { "key_file": 7 },
  "servers": [
    { "server_id": "git", "command": "/bin/sh", "restart_policy": "allways" },
    {
      "server_id": "git",
      "comand": "/bin/sh",
      "args": "-x",
      "env": { "A": "${NOT_SET}", "B=": "x", "C": null },
      "inherit_env": ["OTEL_EXPORTER_OTLP_HEADERS"],
      "instance": "own",
    },
    { "command": "a\u0000b" },
    "x",
  ],
  "mcpServers": {
    "git": { "command": "/bin/sh" },
    "my server": { "command": "/bin/sh", "cwd": "/", "working_dir": "/" },
    "far": { "type": "http", "url": "https://example.com", "headers": {} },
    "Health": { "command": "/bin/sh", "server_id": "x" },
  },
}"#;
    insta::assert_snapshot!(faults(text), @r##"
c.json: bind_host (line 3): "example.com" is no IP address, expected one or "localhost"
c.json: bind_prot (line 4): unknown key, did you mean "bind_port"
c.json: auth_token (line 5): expected a string, found a number
c.json: allowed_clients[2] (line 6): expected a string, found a number
c.json: allowed_clients[0] (line 6): "10.0.0.0/33" is no address or network, expected such as "192.168.1.10", "192.168.1.0/24", "fd00::/8" or "localhost"
c.json: allowed_clients[1] (line 6): "0.0.0.0/0" lets any address in, expected narrower networks, or "allow_any_client": true besides
c.json: allowed_clients[3] (line 6): "010.0.0.1" is no address or network, expected such as "192.168.1.10", "192.168.1.0/24", "fd00::/8" or "localhost"
c.json: allowed_hosts[0] (line 7): "*" cannot be matched, expected a name or an address, with or without a port, such as "mac-mini.local" or "192.168.1.10:7411"
c.json: request_timeout_ms (line 8): expected 1 to 31536000000, found 0: 0 never means "unlimited", leave the key out for the default
c.json: restart_backoff_ms (line 9): expected a number, found a string: write it without quotes, or as "${NAME}"
c.json: restart_backoff_max_ms (line 10): expected a whole number from 1 to 31536000000, found 1.5
c.json: restart_limit.window (line 11): unknown key, did you mean "window_ms"
c.json: limits.max_queue (line 13): expected a whole number from 1 to 2147483647, found -1
c.json: limits.hold_ms (line 14): expected a number, found null
c.json: limits.hold_ms (line 15): stands here twice, first on line 14
c.json: log.format (line 17): unknown value "xml", expected auto, json or text
c.json: log.level (line 17): "infoo" is no level or filter, expected error, warn, info, debug, trace, off or such as "info,host_mcp_gateway=debug"
c.json: tls.key_file (line 18): expected a string, found a number
c.json: tls.cert_file (line 18): is required: a file with the certificate of the gateway, and those that lead to its root, in PEM
c.json: servers[0].restart_policy (line 20): unknown value "allways", expected always, on-failure or never
c.json: servers[1].command (line 21): is required: the program that is the server
c.json: servers[1].server_id (line 22): "git" is already the id of servers[0].server_id (line 20)
c.json: servers[1].comand (line 23): unknown key, did you mean "command"
c.json: servers[1].args (line 24): expected a list, found a string
c.json: servers[1].env.C (line 25): expected a string, a number, or true or false, found null
c.json: servers[1].env["B="] (line 25): is no name of a variable: it is empty, or has "=" or NUL in it
c.json: servers[1].inherit_env[0] (line 26): "OTEL_EXPORTER_OTLP_HEADERS" belongs to the gateway's own process, set it in "env" if the server needs it
c.json: servers[1].instance (line 27): unknown value "own", expected shared, session or client
c.json: servers[2].command (line 29): has a NUL character, which no program can take
c.json: servers[2].server_id (line 29): is required: the server's name in URLs
c.json: servers[3] (line 30): expected an object, found a string
c.json: mcpServers.git (line 33): "git" is already the id of servers[0].server_id (line 20)
c.json: mcpServers["my server"].cwd (line 34): means the same as "working_dir", give one of them
c.json: mcpServers.Health.server_id (line 36): is not wanted here: the name of the entry is the id
"##);
}

#[test]
fn a_text_that_is_no_json_is_one_fault_with_its_place() {
    insta::assert_snapshot!(faults("{\n  \"bind_host\": \"a\"\n  \"bind_port\": 1\n}"), @r##"c.json: line 2: expected comma, at column 19"##);
    insta::assert_snapshot!(faults("{ 'a': 1 }"), @r##"c.json: line 1: single-quoted strings are not allowed, at column 3"##);
    insta::assert_snapshot!(faults("  // nothing"), @r##"c.json: is empty, expected an object"##);
    insta::assert_snapshot!(faults("[]"), @r##"c.json: expected an object, found a list"##);
    insta::assert_snapshot!(faults(&"[".repeat(100_000)), @r##"c.json: line 1: maximum nesting depth exceeded, at column 513"##);
}

#[test]
fn what_must_be_there_is_asked_for() {
    insta::assert_snapshot!(faults("{}"), @r##"
c.json: servers: is required: the servers to run, or "mcpServers" as MCP clients write it
c.json: auth_token: is required: nobody could enter without a token, give "auth_token", "auth_token_file" or "tokens"
c.json: allowed_clients: is required: the addresses that may connect, such as ["localhost", "192.168.1.0/24"]
"##);
    insta::assert_snapshot!(faults(r#"{ "allowed_clients": [], "tokens": [], "servers": {} }"#), @r##"
c.json: servers (line 1): expected a list, found an object: servers by name, as MCP clients write them, go under "mcpServers"
c.json: allowed_clients (line 1): is empty and would let nobody in, expected addresses such as "localhost" or "192.168.1.0/24"
c.json: auth_token: is required: nobody could enter without a token, give "auth_token", "auth_token_file" or "tokens"
"##);
}

#[test]
fn the_network_is_not_listened_on_in_plain_text_unasked() {
    insta::assert_snapshot!(faults(&with(r#""bind_host": "192.0.2.1""#)), @r##"c.json: bind_host (line 1): 192.0.2.1 is not loopback, and without TLS tokens and answers could be read on the network: give "tls", listen on 127.0.0.1 behind a TLS proxy, or set "allow_plaintext": true"##);
    assert!(faults(&with(r#""bind_host": "::""#)).contains("not loopback"));
}

/// H112: what stands under a key that may hold a secret is in no fault.
#[test]
fn a_secret_is_in_no_fault_and_no_warning() {
    let canary = "canary-7f3a9c";
    let fixture = Fixture::new(&[("SECRET", canary), ("LONG", &format!("{canary}{canary}"))]);
    let text = r#"{
        "auth_token": "canary-7f3a9c",
        "bind_host": "${SECRET}",
        "allowed_clients": ["${SECRET}"],
        "allowed_hosts": ["${SECRET}/"],
        "allowed_origins": ["${SECRET}"],
        "log": { "level": "${SECRET}", "format": "${SECRET}" },
        "tokens": [
            { "name": "a", "env": "SECRET" },
            { "name": "b", "sha256": "canary-7f3a9c" },
            { "name": "c", "env": "LONG", "expires_at": "${SECRET}", "servers": ["${SECRET}"] },
            { "name": "${SECRET} ", "env": "${SECRET}" },
            { "name": "wrong-key", "env": "canary-7f3a9c" },
            { "name": "wrong-key-too", "file": "canary-7f3a9c" },
        ],
        "servers": [{
            "server_id": "a",
            "command": "${SECRET}",
            "args": ["canary-7f3a9c", "canary-7f3a9c${", "${canary-7f3a9c}"],
            "env": { "A": "canary-7f3a9c\u0000" },
            "restart_policy": "${SECRET}",
        }],
    }"#;
    let faults = fixture.load(text).expect_err("no fault");
    let printed = format!("{faults} {faults:?}");
    assert!(faults.iter().count() >= 12, "{printed}");
    assert!(!printed.contains("canary"), "{printed}");

    let shown = Fixture::new(&[("SECRET", canary)])
        .load(&with(
            r#""mcpServers": { "a": { "command": "${SECRET}", "args": ["canary"], "env": { "A": "()canary", "B": "canary" } } }"#,
        ))
        .expect("faults");
    assert!(!shown.warnings.is_empty());
    assert!(
        !shown.warnings.concat().contains("canary"),
        "{:?}",
        shown.warnings
    );
    assert!(!format!("{:?}", shown.http).contains(TOKEN));
}

/// H114: nor is it in the `Debug` text of any config.
#[test]
fn a_secret_is_in_no_debug_text_of_a_config() {
    let canary = "canary-7f3a9c5e1d8b24a6";
    let fixture = Fixture::new(&[("SECRET", canary), ("PATH", "/bin")]);
    let text = format!(
        r#"{{
            "auth_token": "${{SECRET}}",
            "allowed_clients": ["localhost"],
            "tokens": [{{ "name": "b", "sha256": "{digest}" }}],
            "servers": [{{
                "server_id": "a", "command": "sh",
                "args": ["{canary}", "--key={canary}"], "env": {{ "KEY": "{canary}" }},
            }}],
        }}"#,
        digest = "5e".repeat(32),
    );
    let config = fixture.load(&text).expect("faults");
    let shown = format!("{config:?} {config:#?}");
    let (digest, decimal) = ("5e".repeat(6), "94, 94, 94");
    for secret in [canary, canary.split_at(12).0, &digest, decimal] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    let env = format!(
        "{:?} {:?}",
        fixture.variables.len(),
        super::Env::new([("SECRET".into(), canary.into())], None, 0,)
    );
    assert!(!env.contains(canary), "{env}");
}

/// H108: who can write the file can run commands here, whether or not a secret is in it.
#[test]
fn a_file_that_others_can_change_or_read_is_refused() {
    let fixture = Fixture::new(&[("T", TOKEN)]);
    let load_as = |text: &str, mode| {
        let path = fixture.write("config.json", text);
        chmod(&path, mode);
        let uid = rustix::process::geteuid().as_raw();
        let env = super::Env::new(fixture.variables.clone(), None, uid);
        super::load(&path, &env).map_err(|faults| faults.to_string())
    };
    let by_variable = with("").replace(TOKEN, "${T}");
    assert!(load_as(&by_variable, 0o644).is_ok());
    let refused = load_as(&by_variable, 0o666).expect_err("0666");
    assert!(
        refused.contains("can be written by others (mode 0666)"),
        "{refused}"
    );
    let refused = load_as(&with(""), 0o644).expect_err("0644");
    assert!(
        refused.contains(
            "auth_token (line 1): stands in a file that can be read by others (mode 0644)"
        ),
        "{refused}"
    );
    assert!(load_as(&with(""), 0o600).is_ok());
}

#[test]
fn a_file_that_ends_too_early_is_a_fault_at_every_byte() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let sample = std::fs::read_to_string(root.join("config/config.sample.json")).unwrap();
    let fixture = Fixture::new(&[("HOME", "/h"), ("PATH", "/bin"), ("HOST_MCP_TOKEN", TOKEN)]);
    for (end, _) in sample.trim_end().char_indices() {
        assert!(fixture.load(sample.get(..end).unwrap()).is_err(), "{end}");
    }
}

#[test]
fn a_missing_file_can_be_told_from_a_bad_one() {
    let fixture = Fixture::new(&[]);
    let faults = super::load(&fixture.path(), &super::Env::new([], None, 0)).expect_err("no fault");
    assert!(faults.is_missing());
    assert!(!fixture.load("{}").expect_err("no fault").is_missing());
}

/// What one server lacks, and what deserves a look, is no fault of a file that is refused for another reason, and is told
/// beside it: whoever mends the fault need not ask twice.
#[test]
fn what_would_be_warned_of_is_told_beside_the_faults() {
    let text = r#"{
  "allowed_clients": ["localhost"],
  "auth_token": 7,
  "request_timeout_ms": 1,
  "servers": [{ "server_id": "s", "command": "/bin/sh", "env": { "A": "${NOT_SET}" } }]
}"#;
    let refused = Fixture::new(&[]).load(text).expect_err("no fault");
    let faults: Vec<_> = refused.iter().map(ToString::to_string).collect();
    let warnings: Vec<_> = refused.warnings().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("auth_token (line 3): "), "{faults:?}");
    let starts = [
        "request_timeout_ms (line 4): ",
        "servers[0].env.A (line 5): ",
    ];
    assert_eq!(warnings.len(), starts.len(), "{warnings:?}");
    for (warning, start) in warnings.iter().zip(starts) {
        assert!(warning.starts_with(start), "{warnings:?}");
    }
    assert!(warnings[1].ends_with("the others can"), "{warnings:?}");
}
