//! What is ours by `Host` and `Origin`, by table and against the plain way of saying it.

use super::*;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

fn names() -> Names {
    let hosts = [
        "localhost",
        "gateway.lan:7411",
        "::1",
        "[fd00::5]:7411",
        "192.0.2.1",
    ];
    let origins = ["http://localhost:7411", "https://ui.lan"];
    Names::new(&hosts.map(str::to_owned), &origins.map(str::to_owned))
}

fn check(target: &str, headers: &[(HeaderName, &str)]) -> Result<(), NameFault> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
        .collect();
    names().check(&target.parse().unwrap(), &headers)
}

/// H025.
#[test]
fn a_host_is_compared_without_case_and_one_trailing_dot() {
    for (host, ours) in [
        ("localhost", true),
        ("LOCALHOST:1", true),
        ("localhost.", true),
        ("localhost.:7411", true),
        ("localhost..", false),
        ("gateway.lan:7411", true),
        ("gateway.lan:07411", true),
        ("gateway.lan", false),
        ("gateway.lan:80", false),
        ("[::1]", true),
        ("[0:0::1]:9", true),
        ("[fd00::5]:7411", true),
        ("[fd00::5]:1", false),
        ("::1", false),
        ("192.0.2.1:7411", true),
        ("evil.example", false),
        ("localhost.evil.example", false),
        ("", false),
        (".", false),
        ("localhost:", false),
        ("localhost:+80", false),
        ("localhost:80:80", false),
        ("localhost:99999", false),
        ("localhost:80@evil.example", false),
        ("user@localhost", false),
        ("[::1", false),
        ("[::1]junk", false),
        ("[fe80::1%25eth0]", false),
        ("localhost, localhost", false),
    ] {
        let expected = if ours { Ok(()) } else { Err(NameFault::Host) };
        assert_eq!(check("/", &[(HOST, host)]), expected, "{host:?}");
    }
}

#[test]
fn there_is_exactly_one_host() {
    assert_eq!(check("/", &[]), Err(NameFault::HostCount));
    let twice = [(HOST, "localhost"), (HOST, "localhost")];
    assert_eq!(check("/", &twice), Err(NameFault::HostCount));
}

/// H024, of the authority.
#[test]
fn the_authority_of_an_absolute_target_has_to_be_ours_too() {
    let ours = [(HOST, "localhost")];
    assert_eq!(check("http://localhost:7411/health", &ours), Ok(()));
    assert_eq!(
        check("http://evil.example/health", &ours),
        Err(NameFault::Host)
    );
    assert_eq!(
        check("http://u@localhost/health", &ours),
        Err(NameFault::Host)
    );
    let evil = [(HOST, "evil.example")];
    assert_eq!(
        check("http://localhost/health", &evil),
        Err(NameFault::Host)
    );
}

/// H042.
#[test]
fn an_origin_may_be_absent_and_must_otherwise_be_ours() {
    for (origin, ours) in [
        ("http://localhost:7411", true),
        ("HTTPS://UI.LAN", true),
        ("http://ui.lan", false),
        ("https://localhost:7411", false),
        ("https://evil.example", false),
        ("null", false),
        ("NULL", false),
        ("", false),
        ("http://localhost:7411 https://ui.lan", false),
    ] {
        let expected = if ours { Ok(()) } else { Err(NameFault::Origin) };
        let headers = [(HOST, "localhost"), (ORIGIN, origin)];
        assert_eq!(check("/", &headers), expected, "{origin:?}");
    }
    let one = (ORIGIN, "https://ui.lan");
    let twice = [(HOST, "localhost"), one.clone(), one];
    assert_eq!(check("/", &twice), Err(NameFault::Origin));
}

#[test]
fn a_configured_null_origin_stays_refused() {
    let names = Names::new(&["a".to_owned()], &["null".to_owned()]);
    assert!(!names.is_our_origin(b"null"));
}

/// What `allowed_hosts` takes is what a `Host` can say, and an IPv6 address as people write it.
#[test]
fn a_rule_that_no_host_could_match_is_none() {
    let rules =
        "localhost LOCALHOST localhost. a-b_c.lan 7 a:0 a:65535 192.0.2.1:80 ::1 [::1] [::1]:80";
    for rule in rules.split(' ') {
        assert!(is_host_rule(rule), "{rule}");
    }
    let others = ". .. a.. a..:80 :80 a: a:x a:+1 a:65536 a:000080 a:80:80 * *.lan a/b http://a u@a \u{e4} \
                  [] [::1 ::1] [::1]x [::1]: [::1]:x [a] fe80::1%lo [fe80::1%lo]";
    for other in others
        .split_whitespace()
        .chain(["", " ", "a b", " a", "a "])
    {
        assert!(!is_host_rule(other), "{other}");
    }
}

/// The rules of [`names`], said once more: what is named, and the one port.
const RULES: [(&str, Option<u32>); 5] = [
    ("localhost", None),
    ("gateway.lan", Some(7411)),
    ("::1", None),
    ("fd00::5", Some(7411)),
    ("192.0.2.1", None),
];

/// The plain way: the port is taken off the end, and what is left is compared with each rule.
fn is_ours_plainly(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text.as_str(), None),
    };
    let number = port.map(|port| {
        let is_short = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
        is_short.then(|| port.parse::<u32>().ok()).flatten()
    });
    if number.is_some_and(|number| number.is_none_or(|number| number > 65_535)) {
        return false;
    }
    RULES.iter().any(|(named, only)| {
        let same = match named.parse::<Ipv6Addr>() {
            Ok(named) => {
                let inner = host
                    .strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'));
                inner.and_then(|inner| inner.parse().ok()) == Some(named)
            }
            Err(_) => host == *named || host == format!("{named}."),
        };
        same && (only.is_none() || number.flatten() == *only)
    })
}

/// Hosts that are ours, nearly ours, or not at all.
fn host() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "localhost",
        "LocalHost",
        "gateway.lan",
        "::1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::0001]",
        "[fd00::5]",
        "[FD00:0::5]",
        "192.0.2.1",
        "[::ffff:192.0.2.1]",
        "192.0.2.01",
        "evil.example",
        "localhost.evil.example",
        "user@localhost",
        "localhost@evil.example",
        "",
        "[::1",
        "::1]",
        "[[::1]]",
        "[::1]x",
        "[fe80::1%25lo]",
        "local host",
        "localhost/",
    ];
    const ENDS: &[&str] = &["", "", "", ".", "..", " "];
    const PORTS: &[&str] = &[
        "", "", ":", ":80", ":7411", ":07411", ":007411", ":65536", ":+80", ":80:80", ":-1", ":x",
        ":0",
    ];
    let parts = (
        prop::sample::select(NAMES).prop_map(str::to_owned),
        prop::sample::select(ENDS),
        prop::sample::select(PORTS),
    );
    let put = parts.prop_map(|(name, end, port)| format!("{name}{end}{port}"));
    let change = prop::option::of((any::<prop::sample::Index>(), "[ -~]"));
    (put, change).prop_map(|(mut text, change)| {
        if let Some((at, with)) = change.filter(|_| !text.is_empty()) {
            let at = at.index(text.len());
            text.replace_range(at..=at, &with);
        }
        text
    })
}

fn origin() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "http://localhost:7411",
            "HTTP://LOCALHOST:7411",
            "https://ui.lan",
            "https://ui.lan/",
            "http://ui.lan",
            "https://ui.lan:443",
            "null",
            "NULL",
            "",
            "https://evil.example",
            "https://ui.lan https://ui.lan",
        ][..],
    )
}

proptest! {
    #[test]
    fn the_names_of_a_request_are_checked_as_they_would_be_plainly(
        hosts in prop_oneof![
            8 => prop::collection::vec(host(), 1),
            1 => prop::collection::vec(host(), 0..3),
        ],
        origins in prop_oneof![
            3 => Just(Vec::new()),
            3 => prop::collection::vec(origin(), 1),
            1 => prop::collection::vec(origin(), 2),
        ],
    ) {
        let hosts_given = hosts.iter().map(|host| (HOST, host.as_str()));
        let origins_given = origins.iter().map(|origin| (ORIGIN, *origin));
        let headers: Vec<_> = hosts_given.chain(origins_given).collect();
        let ours = |origin: &str| {
            ["http://localhost:7411", "https://ui.lan"].contains(&origin.to_ascii_lowercase().as_str())
        };
        let expected = if hosts.len() != 1 {
            Err(NameFault::HostCount)
        } else if !is_ours_plainly(&hosts[0]) {
            Err(NameFault::Host)
        } else if origins.len() > 1 || !origins.iter().all(|origin| ours(origin)) {
            Err(NameFault::Origin)
        } else {
            Ok(())
        };
        prop_assert_eq!(check("/", &headers), expected, "{:?}", headers);
    }
}
