//! `Host` and `Origin`: the defence against DNS rebinding and cross-site requests.
//!
//! A page in a browser on an allowed machine can make that browser send us requests. It cannot choose
//! these two headers, so a name that is not ours gives it away (CVE-2025-66414, CVE-2026-42559 are
//! what happens without).

use std::net::Ipv6Addr;

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::uri::Uri;

/// A `host[:port]`, lower case, without trailing dot; IPv6 in its shortest form without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPort {
    host: String,
    port: Option<u16>,
}

/// Why the names in a request were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameFault {
    /// Not exactly one `Host` header (RFC 9112, 3.2: answered with 400).
    HostCount,
    /// A host that is not ours, or that is no host.
    Host,
    /// An origin that is not ours, `null`, or several.
    Origin,
}

/// The names that we answer to.
#[derive(Debug)]
pub(super) struct Names {
    hosts: Vec<HostPort>,
    origins: Vec<String>,
}

impl Names {
    /// Takes the configured names; an entry that is no host matches nothing.
    pub(super) fn new(hosts: &[String], origins: &[String]) -> Self {
        Self {
            hosts: hosts.iter().filter_map(|rule| parse_rule(rule)).collect(),
            origins: origins.iter().map(|o| o.to_ascii_lowercase()).collect(),
        }
    }

    /// Checks the `Host` header, the authority of an absolute-form target, and `Origin`.
    ///
    /// An absolute-form target overrides `Host` (RFC 9112, 3.2.2), so its authority has to be allowed;
    /// the header has to be allowed too, because something between us and the client may have routed
    /// by it.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), NameFault> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(NameFault::HostCount);
        };
        let host = host.to_str().map_err(|_opaque| NameFault::Host)?;
        if !self.is_ours(host) {
            return Err(NameFault::Host);
        }
        if let Some(authority) = uri.authority()
            && !self.is_ours(authority.as_str())
        {
            return Err(NameFault::Host);
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if self.is_our_origin(origin.as_bytes()) => Ok(()),
            (Some(_), _) => Err(NameFault::Origin),
        }
    }

    fn is_ours(&self, text: &str) -> bool {
        parse(text).is_some_and(|presented| {
            self.hosts.iter().any(|rule| {
                rule.host == presented.host && (rule.port.is_none() || rule.port == presented.port)
            })
        })
    }

    /// `null` is every sandboxed page and every local file, so it is nobody's in particular.
    fn is_our_origin(&self, origin: &[u8]) -> bool {
        !origin.eq_ignore_ascii_case(b"null")
            && self
                .origins
                .iter()
                .any(|rule| rule.as_bytes().eq_ignore_ascii_case(origin))
    }
}

/// Whether a text can stand in `allowed_hosts`: a name or address, with or without a port.
pub fn is_host_rule(text: &str) -> bool {
    parse_rule(text).is_some()
}

/// In the config file an IPv6 address may also stand without brackets.
fn parse_rule(text: &str) -> Option<HostPort> {
    if let Ok(bare) = text.parse::<Ipv6Addr>() {
        return Some(HostPort {
            host: bare.to_string(),
            port: None,
        });
    }
    parse(text)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`. Userinfo, an empty or overlong port, a zone id and
/// anything else that no name of ours can hold give `None`.
fn parse(text: &str) -> Option<HostPort> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inner, rest) = rest.split_once(']')?;
        let address: Ipv6Addr = inner.parse().ok()?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        (address.to_string(), port)
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(parse_port(port)?)),
            None => (text, None),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        if name.is_empty() || name.ends_with('.') || !name.bytes().all(legal) {
            return None;
        }
        (name.to_ascii_lowercase(), port)
    };
    Some(HostPort { host, port })
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16::from_str` takes a leading plus sign; a port does not have one.
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
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
            "", "", ":", ":80", ":7411", ":07411", ":007411", ":65536", ":+80", ":80:80", ":-1",
            ":x", ":0",
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
}
