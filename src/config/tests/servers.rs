//! What the supervisor is told of each server.

use std::path::Path;

use super::{Fixture, chmod, faults, loaded, with};

fn variables(config: &super::Config, index: usize) -> Vec<(String, String)> {
    let text = |os: &std::ffi::OsString| os.to_str().unwrap().to_owned();
    let env = config.servers[index].supervisor.launch.env.iter();
    env.map(|(name, value)| (text(name), text(value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// H116: what belongs to the gateway's own process reaches no server, not even one that inherits all.
#[test]
fn a_server_gets_what_it_inherits_by_name_and_its_own_variables() {
    let fixture = Fixture::new(&[
        ("PATH", "/bin"),
        ("HOME", "/h"),
        ("TERM", "() { :; }; echo"),
        ("SECRET", "s"),
        ("NOTIFY_SOCKET", "/n"),
        ("LISTEN_FDS", "1"),
        ("WATCHDOG_USEC", "1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "k"),
        ("LD_PRELOAD", "/l"),
        ("CREDENTIALS_DIRECTORY", "/c"),
        ("JOURNAL_STREAM", "1"),
        ("INVOCATION_ID", "1"),
    ]);
    let config = fixture
        .load(&with(
            r#""mcpServers": {
                "default": { "command": "sh", "env": { "HOME": "/other", "X": "${SECRET}$$", "F": "() { :; }" } },
                "some": { "command": "/bin/sh", "inherit_env": ["SECRET", "NOT_SET"] },
                "all": { "command": "sh", "inherit_env": ["*"] },
                "none": { "command": "/bin/sh", "inherit_env": [] },
            }"#,
        ))
        .expect("faults");
    let (path, home) = (("PATH", "/bin"), ("HOME", "/h"));
    assert_eq!(
        variables(&config, 0),
        pairs(&[("HOME", "/other"), path, ("X", "s$")])
    );
    assert_eq!(variables(&config, 1), pairs(&[("SECRET", "s")]));
    assert_eq!(variables(&config, 2), pairs(&[home, path, ("SECRET", "s")]));
    assert_eq!(variables(&config, 3), []);
    let dropped = config
        .warnings
        .iter()
        .filter(|warning| warning.contains("is left out"));
    assert_eq!(dropped.count(), 3, "{:?}", config.warnings);
}

/// H118
#[test]
fn a_command_is_found_once_where_the_server_would_look() {
    let fixture = Fixture::new(&[("PATH", "relative::/nowhere")]);
    let bin = fixture.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    chmod(&fixture.write("bin/tool", "#!/bin/sh\n"), 0o755);
    fixture.write("bin/plain", "no program");
    let bin = bin.to_str().unwrap();
    let config = fixture
        .load(&with(&format!(
            r#""mcpServers": {{
                "own": {{ "command": "tool", "env": {{ "PATH": "{bin}" }} }},
                "lost": {{ "command": "tool --flag" }},
                "plain": {{ "command": "plain", "env": {{ "PATH": "{bin}" }} }},
                "home": {{ "command": "~/bin/tool" }},
                "folder": {{ "command": "bin/tool" }},
                "dir": {{ "command": "./tool", "working_dir": "bin" }},
            }}"#
        )))
        .expect("faults");
    let tool = Path::new(bin).join("tool");
    let programs: Vec<_> = config
        .servers
        .iter()
        .map(|s| s.supervisor.launch.program.clone())
        .collect();
    assert_eq!(programs[0], tool);
    assert_eq!(programs[1], Path::new("tool --flag"));
    assert_eq!(programs[2], Path::new("plain"));
    assert_eq!(programs[3], tool);
    assert_eq!(programs[4], tool);
    assert_eq!(programs[5], Path::new(bin).join("./tool"));
    assert_eq!(
        config.servers[5].supervisor.launch.working_dir.as_deref(),
        Some(Path::new(bin))
    );
    assert_eq!(
        config.warnings,
        [
            "mcpServers.lost.command (line 3): PATH has a relative directory, which is passed over",
            "mcpServers.lost.command (line 3): \"tool --flag\" was not found in the server's PATH, and arguments go into \"args\"",
            "mcpServers.plain.command (line 4): \"plain\" was not found in the server's PATH",
        ]
    );
}

/// H118
#[test]
fn a_program_that_anybody_could_put_there_is_warned_of() {
    let fixture = Fixture::new(&[]);
    let bin = fixture.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    chmod(&fixture.write("bin/tool", "#!/bin/sh\n"), 0o755);
    chmod(&bin, 0o777);
    let bin = bin.to_str().unwrap();
    let server = format!(r#"{{ "command": "tool", "env": {{ "PATH": ".:{bin}" }} }}"#);
    let config = fixture
        .load(&with(&format!(r#""mcpServers": {{ "a": {server} }}"#)))
        .expect("faults");
    assert_eq!(
        config.servers[0].supervisor.launch.program,
        Path::new(bin).join("tool")
    );
    let warned = format!("PATH has {bin}, where any user can put a program");
    assert!(config.warnings[0].ends_with("PATH has a relative directory, which is passed over"));
    assert!(
        config.warnings[1].ends_with(&warned),
        "{:?}",
        config.warnings
    );
}

#[test]
fn what_clients_write_is_taken_as_it_is_pasted() {
    let config = loaded(&with(
        r#""mcpServers": {
            "a": { "type": "stdio", "command": "/bin/sh", "args": [], "env": {}, "cwd": "/", "disabled": true, "autoApprove": ["x"], "alwaysAllow": [], "timeout": 60 },
            "b": { "command": "/bin/sh", "enabled": false, "autostart": true, "restart_policy": "never", "limits": { "max_queue": 7 } },
            "c": { "command": "/bin/sh", "isActive": true }
        }"#,
    ));
    let servers: Vec<_> = config.servers.iter().map(|s| &s.supervisor).collect();
    let [a, b, c] = servers.as_slice() else {
        panic!("{servers:?}")
    };
    assert_eq!(a.launch.working_dir.as_deref(), Some(Path::new("/")));
    assert!(a.disabled && b.disabled && !c.disabled);
    assert!(b.autostart && b.restart_policy.as_str() == "never");
    assert_eq!((b.requests.max_queue, c.requests.max_queue), (7, 512));
    let client_keys: Vec<_> = config
        .warnings
        .iter()
        .map(|w| w.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        client_keys,
        [
            "mcpServers.a.alwaysAllow",
            "mcpServers.a.autoApprove",
            "mcpServers.a.timeout"
        ]
    );
    let refused = faults(&with(
        r#""mcpServers": { "a": { "command": "x", "envFile": ".env" }, "b": { "type": "pipe", "command": "x" } }"#,
    ));
    assert!(
        refused.contains("put the variables into \"env\""),
        "{refused}"
    );
    assert!(
        refused.contains("unknown value \"pipe\", expected stdio"),
        "{refused}"
    );
}

#[test]
fn a_restart_limit_that_is_never_reached_is_refused_and_a_default_one_gives_way() {
    let server =
        r#""mcpServers": { "a": { "command": "/bin/sh" }, "b": { "command": "/bin/sh" } }"#;
    let limit = |limit: &str| with(&format!(r#""restart_limit": {limit}, {server}"#));
    insta::assert_snapshot!(faults(&limit(r#"{ "count": 10, "window_ms": 504000 }"#)), @r##"c.json: restart_limit.window_ms (line 1): 504000 can never be reached: restart_limit.count 10 means delays of up to 504000 ms together (restart_backoff_ms 2000, restart_backoff_max_ms 60000), expected a longer window_ms or a smaller count"##);
    assert_eq!(
        loaded(&limit(r#"{ "window_ms": 504001 }"#)).servers.len(),
        2
    );
    let slow = loaded(&with(&format!(r#""restart_backoff_ms": 90000, {server}"#)));
    assert_eq!(slow.servers[0].supervisor.backoff.max.as_secs(), 90);
    // Ten delays of 90 s and a fifth more, and as much again.
    assert_eq!(
        slow.servers[0].supervisor.restart_limit.window.as_secs(),
        2160
    );
}

#[test]
fn a_server_may_have_its_own_deadlines() {
    let config = loaded(&with(
        r#""request_timeout_ms": 1000, "limits": { "hold_ms": 11 }, "mcpServers": { "a": {
            "command": "/bin/sh", "request_timeout_ms": 900000, "stop_grace_ms": 5, "startup_timeout_ms": 7,
            "restart_backoff_ms": 3, "restart_limit": { "count": 2, "window_ms": 1000000 }, "limits": { "term_grace_ms": 9 } } }"#,
    ));
    let server = &config.servers[0].supervisor;
    assert_eq!(server.requests.timeout.as_millis(), 900_000);
    assert_eq!(
        server.requests.max.as_millis(),
        900_000,
        "a default gives way"
    );
    assert_eq!(server.requests.hold.as_millis(), 11);
    assert_eq!(
        (
            server.stop.grace.as_millis(),
            server.stop.term_grace.as_millis()
        ),
        (5, 9)
    );
    assert_eq!(server.startup_timeout.as_millis(), 7);
    assert_eq!(
        (server.backoff.first.as_millis(), server.restart_limit.count),
        (3, 2)
    );
    let refused = faults(&with(
        r#""request_timeout_ms": 2, "request_max_ms": 1, "mcpServers": { "a": { "command": "/bin/sh" } }"#,
    ));
    assert!(
        refused.contains("request_max_ms (line 1): 1 is below request_timeout_ms 2"),
        "{refused}"
    );
}

#[test]
fn no_limit_can_be_switched_off_with_0() {
    let keys = super::super::limits::Limits::KEYS;
    let zeros: Vec<_> = keys.iter().map(|key| format!("\"{key}\": 0")).collect();
    let refused = faults(&with(&format!("\"limits\": {{ {} }}", zeros.join(", "))));
    assert_eq!(
        refused.matches("0 never means \"unlimited\"").count(),
        keys.len()
    );
}

/// RG01: what a machine with certificates and proxies of its own needs reaches a server unasked.
#[test]
fn a_server_inherits_what_it_needs_to_reach_the_network_and_a_proxys_password_is_warned_of() {
    let fixture = Fixture::new(&[
        ("NODE_EXTRA_CA_CERTS", "/ca.pem"),
        ("https_proxy", "http://me:canary@proxy:3128/"),
        ("HTTP_PROXY", "http://proxy:3128"),
        ("TZ", "UTC"),
        ("GITHUB_TOKEN", "x"),
    ]);
    let servers =
        r#""mcpServers": { "a": { "command": "/bin/sh" }, "b": { "command": "/bin/sh" } }"#;
    let config = fixture.load(&with(servers)).expect("faults");
    let given = variables(&config, 0);
    let names: Vec<_> = given.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["HTTP_PROXY", "NODE_EXTRA_CA_CERTS", "TZ", "https_proxy"]
    );
    assert_eq!(
        config.servers[0].supervisor.launch.withheld,
        ["GITHUB_TOKEN"]
    );
    let [warning] = config.warnings.as_slice() else {
        panic!("once for all servers: {:?}", config.warnings)
    };
    assert!(
        warning.contains("https_proxy") && !warning.contains("canary"),
        "{warning}"
    );

    let readme = include_str!("../../../README.md");
    for name in super::super::launch::INHERITED {
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in the README"
        );
    }
}

/// RG01
#[test]
fn variables_of_the_top_level_are_for_every_server_and_give_way_to_its_own() {
    let fixture = Fixture::new(&[("PATH", "/bin"), ("MINE", "m"), ("OTHER", "o")]);
    let config = fixture
        .load(&with(
            r#""inherit_env": ["MINE"], "env": { "A": "all", "B": 7, "MINE": "${OTHER}" }, "mcpServers": {
                "a": { "command": "/bin/sh" },
                "b": { "command": "/bin/sh", "inherit_env": ["PATH"], "env": { "A": "own", "C": true } },
            }"#,
        ))
        .expect("faults");
    assert_eq!(
        variables(&config, 0),
        pairs(&[("A", "all"), ("B", "7"), ("MINE", "o")])
    );
    let of_b = [
        ("A", "own"),
        ("B", "7"),
        ("C", "true"),
        ("MINE", "o"),
        ("PATH", "/bin"),
    ];
    assert_eq!(variables(&config, 1), pairs(&of_b));
}

/// RG02
#[test]
fn a_variable_that_one_server_lacks_refuses_that_server_alone() {
    let servers = r#""mcpServers": {
        "a": { "command": "/bin/sh", "env": { "TOKEN": "${NOT_SET}" } },
        "b": { "command": "${NOT_SET}/bin/tool", "args": ["x"] },
        "c": { "command": "/bin/sh", "args": ["${NOT_SET:-}"] },
        "d": { "command": "/bin/sh", "cwd": "${NOT_SET}", "disabled": true },
    }"#;
    let config = loaded(&with(servers));
    let refused: Vec<_> = config
        .servers
        .iter()
        .map(|server| server.supervisor.refused.as_deref())
        .collect();
    let reason = "the variable NOT_SET is not set, and \"${NOT_SET}\" has no default";
    let (of_a, of_b) = (
        format!("mcpServers.a.env.TOKEN (line 2): {reason}"),
        format!("mcpServers.b.command (line 3): {reason}"),
    );
    assert_eq!(refused, [Some(&*of_a), Some(&*of_b), None, None]);
    assert_eq!(
        config.servers[1].supervisor.launch.command,
        "${NOT_SET}/bin/tool"
    );
    let warned = config
        .warnings
        .iter()
        .filter(|warning| warning.contains("this server cannot start"));
    assert_eq!(warned.count(), 2, "{:?}", config.warnings);

    // Where the file is refused for another reason, it is told beside that.
    let text = with(&format!("{servers}, \"bind_prot\": 1"));
    let refused = Fixture::new(&[]).load(&text).expect_err("no fault");
    let mut told = refused.warnings().map(ToString::to_string);
    let is_of_a = |warning: String| warning.starts_with("mcpServers.a.env.TOKEN (line 2): ");
    assert!(told.any(is_of_a), "{refused:?}");
    let of_all = faults(&with(r#""env": { "A": "${NOT_SET}" }"#));
    assert!(
        of_all.contains("env.A (line 1): the variable NOT_SET"),
        "{of_all}"
    );
}

/// RG06
#[test]
fn what_clients_wrote_for_others_is_skipped_or_renamed_when_it_is_pasted() {
    let config = loaded(&with(
        r#""mcpServers": {
            "far": { "type": "http", "url": "https://example.com", "headers": {} },
            "My Server": { "command": "/bin/sh", "args": [3000, true], "env": { "PORT": 8080, "DEBUG": true } }
        }"#,
    ));
    let [server] = config.servers.as_slice() else {
        panic!("{:?}", config.servers)
    };
    assert_eq!(server.supervisor.id.as_str(), "My-Server");
    assert_eq!(server.supervisor.launch.args, ["3000", "true"]);
    assert!(variables(&config, 0).contains(&("PORT".to_owned(), "8080".to_owned())));
    let [far, renamed] = config.warnings.as_slice() else {
        panic!("{:?}", config.warnings)
    };
    assert!(far.contains("mcpServers.far (line 2): is skipped"), "{far}");
    assert!(renamed.contains("is served as \"My-Server\""), "{renamed}");
    // In the list of its own the id is the user's choice.
    let listed =
        faults(&with("").replace("[]", r#"[{ "server_id": "my server", "command": "x" }]"#));
    assert!(listed.contains("try \"my-server\""), "{listed}");
}

#[test]
fn a_server_is_spoken_to_in_the_era_of_its_clients_unless_it_is_pinned() {
    use crate::protocol::Era;
    use crate::supervisor::EraChoice;

    let era = |key: &str| {
        let server = format!(r#""mcpServers": {{"a": {{"command": "/bin/sh"{key}}}}}"#);
        let config = Fixture::new(&[]).load(&with(&server)).unwrap();
        config.servers[0].supervisor.era
    };
    assert_eq!(era(""), EraChoice::Auto);
    assert_eq!(era(r#", "era": "auto""#), EraChoice::Auto);
    assert_eq!(era(r#", "era": "legacy""#), EraChoice::Only(Era::Legacy));
    assert_eq!(era(r#", "era": "modern""#), EraChoice::Only(Era::Modern));
}
