//! Who may connect, as it stands in a file: addresses, networks, and names.

use super::{Fixture, TOKEN, faults, loaded, with};

/// H030: mapped rules are IPv4, and bits beyond a prefix are masked with a warning.
#[test]
fn addresses_hosts_and_origins_are_normalised() {
    let config = loaded(
        r#"{
            "bind_host": "0.0.0.0",
            "allow_plaintext": true,
            "auth_token": "0123456789abcdef0123456789ABCDEF",
            "allowed_clients": ["::ffff:192.0.2.0/120", "198.51.100.7/24", "localhost"],
            "trusted_proxies": ["::1"],
            "servers": []
        }"#,
    );
    let admission = &config.http.admission;
    let clients: Vec<_> = admission
        .allowed_clients
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        clients,
        ["192.0.2.0/24", "198.51.100.0/24", "127.0.0.0/8", "::1/128"]
    );
    assert_eq!(admission.allowed_hosts, ["localhost", "127.0.0.1", "[::1]"]);
    assert_eq!(admission.allowed_origins.len(), 9);
    for (origin, allowed) in [
        ("http://localhost", true),
        ("https://[::1]", true),
        ("http://127.0.0.1:7411", true),
        ("https://127.0.0.1:7411", false),
    ] {
        let found = admission.allowed_origins.iter().any(|own| own == origin);
        assert_eq!(found, allowed, "{origin}");
    }
    assert_eq!(
        config.warnings,
        [
            "bind_host (line 2): listens on every interface, and only these Host values are let in: localhost, 127.0.0.1, [::1]; name the others in \"allowed_hosts\"",
            "allowed_clients[1] (line 5): \"198.51.100.7/24\" has bits beyond its prefix and is taken as 198.51.100.0/24",
            "servers (line 7): no server is configured",
        ]
    );
}

/// H027, H030: everybody is meant only where it is said, and never by `*`.
#[test]
fn any_client_is_let_in_only_if_it_is_said_twice() {
    let text = |flag: bool| {
        format!(
            r#"{{ "allowed_clients": ["0.0.0.0/0", "::/0", "::ffff:0:0/96"], "allow_any_client": {flag}, "auth_token": "{TOKEN}", "servers": [] }}"#
        )
    };
    assert_eq!(loaded(&text(true)).http.admission.allowed_clients.len(), 3);
    assert_eq!(
        faults(&text(false)).matches("lets any address in").count(),
        3
    );
    let star = format!(
        r#"{{ "allowed_clients": ["*"], "allow_any_client": true, "auth_token": "{TOKEN}", "servers": [] }}"#
    );
    assert!(faults(&star).contains("is no address"));
}

/// H030: each of them is refused with its place, whatever else is in the list.
#[test]
fn a_rule_that_can_be_read_in_two_ways_is_refused() {
    for rule in [
        "0/0",
        "010.0.0.1",
        "192.0.2.0/33",
        "fe80::1%eth0",
        "192.0.2.256",
        "0xC0.0.2.1",
        "3221225985",
        "192.0.2.0/024",
        "192.0.2.0/+24",
    ] {
        let text = format!(
            r#"{{ "allowed_clients": ["localhost", "{rule}"], "auth_token": "{TOKEN}", "servers": [] }}"#
        );
        let told = faults(&text);
        assert!(
            told.contains("allowed_clients[1] (line 1): "),
            "{rule}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "{rule}: {told}");
    }
}

/// RG05
#[test]
fn localhost_is_both_of_its_addresses_and_numbers_may_come_from_variables() {
    let fixture = Fixture::new(&[("PORT", "8080"), ("WORD", "canary")]);
    let config = fixture
        .load(&with(r#""bind_host": "localhost", "bind_port": "${PORT}", "request_timeout_ms": "${NONE:-5}""#))
        .expect("faults");
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(
        config.http.bind_also,
        Some(std::net::Ipv6Addr::LOCALHOST.into())
    );
    assert_eq!(loaded(&with("")).http.bind_also, None);
    for (further, expected) in [
        (
            r#""bind_port": "8080""#,
            "expected a number, found a string",
        ),
        (
            r#""bind_port": "${WORD}""#,
            "expected a whole number from 0 to 65535, found what came from a variable",
        ),
        (
            r#""bind_port": "${NOT_SET}""#,
            "the variable NOT_SET is not set",
        ),
    ] {
        let told = fixture.faults(&with(further));
        assert!(
            told.contains(expected) && !told.contains("canary"),
            "{told}"
        );
    }
}
