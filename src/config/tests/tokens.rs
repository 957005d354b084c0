//! Who may enter, and from where tokens come.

use sha2::{Digest as _, Sha256};

use super::{Fixture, TOKEN, chmod};

/// A config with these tokens and the servers `git` and `time`.
fn with_tokens(keys: &str) -> String {
    format!(
        r#"{{ "allowed_clients": ["localhost"], {keys},
        "servers": [
            {{ "server_id": "git", "command": "/bin/sh" }},
            {{ "server_id": "time", "command": "/bin/sh", "inherit_env": ["*"] }},
        ] }}"#
    )
}

#[test]
fn a_token_comes_from_the_file_a_variable_a_file_of_its_own_or_a_digest() {
    let fixture = Fixture::new(&[("T", "variable-0123456789abcdef-0123456789"), ("KEPT", "1")]);
    fixture.write("token", "in-a-file-0123456789abcdef-0123456789\n");
    let digest = hex::encode(Sha256::digest("digest"));
    let config = fixture
        .load(&with_tokens(&format!(
            r#""auth_token": "{TOKEN}", "tokens": [
                {{ "name": "variable", "env": "T", "servers": ["git"] }},
                {{ "name": "file", "file": "~/token", "expires_at": "2100-01-01T00:00:00Z" }},
                {{ "name": "digest", "sha256": "sha256:{digest}", "admin": true }},
            ]"#
        )))
        .expect("faults");
    let tokens = &config.http.admission.tokens;
    let expected = [
        ("default", TOKEN, true),
        ("variable", "variable-0123456789abcdef-0123456789", false),
        ("file", "in-a-file-0123456789abcdef-0123456789", false),
        ("digest", "digest", true),
    ];
    for (token, (name, secret, admin)) in tokens.iter().zip(expected) {
        assert_eq!(&*token.principal.name, name);
        assert_eq!(
            token.sha256,
            <[u8; 32]>::from(Sha256::digest(secret)),
            "{name}"
        );
        assert_eq!(token.principal.admin, admin, "{name}");
        assert_eq!(token.expires_at.is_some(), name == "file", "{name}");
    }
    assert_eq!(tokens.len(), expected.len());
    let (git, time) = (
        &config.servers[0].supervisor.id,
        &config.servers[1].supervisor.id,
    );
    assert!(tokens[1].principal.may_reach(git) && !tokens[1].principal.may_reach(time));
    assert!(tokens[0].principal.may_reach(time));
    let names: Vec<_> = config.servers[1]
        .supervisor
        .launch
        .env
        .iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["KEPT"], "a token's variable reaches no server");
}

#[test]
fn the_operator_sends_the_token_with_the_most_rights_that_is_no_digest() {
    let fixture = Fixture::new(&[("LIMITED", "of-limited-0123456789abcdef"), ("ADMIN", TOKEN)]);
    let found = |keys: &str| {
        let path = fixture.write("config.json", &with_tokens(keys));
        let uid = rustix::process::geteuid().as_raw();
        let env = super::Env::new(fixture.variables.clone(), None, uid);
        let token = crate::config::operator_token(&path, &env)?;
        Some(token.expose().to_owned())
    };
    fixture.write("token", "in-a-file-0123456789abcdef\n");
    let digest = format!(r#"{{ "name": "digest", "sha256": "{}" }}"#, "a".repeat(64));
    let limited = r#"{ "name": "limited", "env": "LIMITED", "servers": ["git"], "admin": true }"#;
    let admin = r#"{ "name": "admin", "env": "ADMIN", "admin": true }"#;
    let file = r#"{ "name": "file", "file": "token" }"#;
    for (keys, expected) in [
        (format!(r#""auth_token": "{TOKEN}""#), Some(TOKEN)),
        (
            r#""auth_token_file": "token""#.to_owned(),
            Some("in-a-file-0123456789abcdef"),
        ),
        (format!(r#""tokens": [{digest}]"#), None),
        (
            format!(r#""tokens": [{digest}, {limited}]"#),
            Some("of-limited-0123456789abcdef"),
        ),
        (
            format!(r#""tokens": [{limited}, {file}]"#),
            Some("in-a-file-0123456789abcdef"),
        ),
        (
            format!(r#""tokens": [{limited}, {file}, {admin}]"#),
            Some(TOKEN),
        ),
    ] {
        assert_eq!(found(&keys).as_deref(), expected, "{keys}");
    }
}

#[test]
fn what_cannot_be_a_token_is_refused_with_its_place() {
    let fixture = Fixture::new(&[("T", TOKEN), ("EMPTY", "")]);
    let text = with_tokens(&format!(
        r#""auth_token": "{TOKEN}", "auth_token_file": "x",
        "tokens": [
            {{ "name": "same", "sha256": "{}" }},
            {{ "name": "same", "sha256": "{}" }},
            {{ "name": "two", "env": "T", "file": "x" }},
            {{ "name": "none" }},
            {{ "env": "T" }},
            {{ "name": "a b", "sha256": "00" }},
            {{ "name": "unset", "env": "NONE" }},
            {{ "name": "empty", "env": "EMPTY" }},
            {{ "name": "nothing", "sha256": "{}" }},
            {{ "name": "reach", "sha256": "{}", "servers": ["tme"], "expires_at": "tomorrow" }},
            {{ "name": "nowhere", "sha256": "{}", "servers": [] }},
        ]"#,
        "a".repeat(64),
        "A".repeat(64),
        hex::encode(Sha256::digest("")),
        "b".repeat(64),
        "c".repeat(64),
    ));
    insta::assert_snapshot!(fixture.faults(&text), @r##"
c.json: auth_token_file (line 1): stands beside "auth_token", give one of them
c.json: tokens[1] (line 4): is the same token as tokens[0] (line 3)
c.json: tokens[2] (line 5): expected exactly one of "sha256", "file" and "env"
c.json: tokens[3] (line 6): expected exactly one of "sha256", "file" and "env"
c.json: tokens[4].name (line 7): is required: the name of its holder in logs
c.json: tokens[5].name (line 8): expected 1 to 64 letters, digits, ".", "_", "-" or "@"
c.json: tokens[5].sha256 (line 8): expected the SHA-256 of the token, 64 hex digits
c.json: tokens[6].env (line 9): the variable NONE is not set
c.json: tokens[7].env (line 10): is empty
c.json: tokens[8].sha256 (line 11): is the SHA-256 of nothing
c.json: tokens[9].servers[0] (line 12): no server is called "tme", did you mean "time"
c.json: tokens[9].expires_at (line 12): "tomorrow" is no time, expected such as "2027-01-31T00:00:00Z"
c.json: tokens[10].servers (line 13): is empty: the token would reach nothing, leave the key out to reach all servers
"##);
}

/// H111
#[test]
fn a_token_file_holds_one_line_for_its_owner() {
    let fixture = Fixture::new(&[]);
    let config = with_tokens(r#""auth_token_file": "token""#);
    for (content, reason) in [
        (format!("{TOKEN}\n"), None),
        (TOKEN.to_owned(), None),
        (format!("{TOKEN}\r\n"), Some("carriage return")),
        (format!("\u{feff}{TOKEN}\n"), Some("byte order mark")),
        (format!("{TOKEN}\n{TOKEN}\n"), Some("more than one line")),
        (format!("{TOKEN}\n\n"), Some("more than one line")),
        (String::new(), Some("is empty")),
        ("\n".to_owned(), Some("is empty")),
        ("changeme".to_owned(), Some("placeholder")),
    ] {
        fixture.write("token", &content);
        match (fixture.load(&config), reason) {
            (Ok(_), None) => {}
            (Ok(_), Some(reason)) => panic!("{content:?} was taken, expected: {reason}"),
            (Err(faults), None) => panic!("{content:?}: {faults}"),
            (Err(faults), Some(reason)) => assert!(faults.to_string().contains(reason), "{faults}"),
        }
    }
    chmod(&fixture.write("token", TOKEN), 0o644);
    let refused = fixture.faults(&config);
    assert!(
        refused.contains("can be read by others (mode 0644)"),
        "{refused}"
    );
    std::fs::remove_file(fixture.dir.path().join("token")).unwrap();
    assert!(
        fixture
            .faults(&config)
            .contains("there is no file of that name in")
    );
}
