//! `Host` and `Origin`: the defence against DNS rebinding and cross-site requests.
//!
//! A page in a browser on an allowed machine can make that browser send us requests. It cannot choose
//! these two headers, so a name that is not ours gives it away (CVE-2025-66414, CVE-2026-42559 are
//! what happens without).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::uri::Uri;

/// A `host[:port]`, lower case, without trailing dot; IPv6 in its shortest form without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HostPort<'a> {
    host: Cow<'a, str>,
    port: Option<u16>,
}

impl HostPort<'_> {
    fn into_owned(self) -> HostPort<'static> {
        HostPort {
            host: self.host.into_owned().into(),
            port: self.port,
        }
    }
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
    hosts: Vec<HostPort<'static>>,
    origins: Vec<String>,
}

impl Names {
    /// Takes the configured names; an entry that is no host matches nothing.
    pub(super) fn new(hosts: &[String], origins: &[String]) -> Self {
        Self {
            hosts: {
                let rules = hosts.iter().filter_map(|rule| parse_rule(rule));
                rules.map(HostPort::into_owned).collect()
            },
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

    /// The host that is not ours: that of the header, or else the authority of the target.
    pub(super) fn foreign_host(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let header = headers
            .get(HOST)
            .map(|host| String::from_utf8_lossy(host.as_bytes()));
        let header = header.filter(|host| !self.is_ours(host));
        let authority = || Some(uri.authority()?.as_str().to_owned());
        header.map(Cow::into_owned).or_else(authority)
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

/// The origins that a head names.
pub(super) fn origins(headers: &HeaderMap) -> Option<String> {
    let origins = headers.get_all(ORIGIN).iter();
    let origins: Vec<_> = origins
        .map(|origin| String::from_utf8_lossy(origin.as_bytes()))
        .collect();
    (!origins.is_empty()).then(|| origins.join(", "))
}

/// Whether a text can stand in `allowed_hosts`: a name or address, with or without a port.
pub fn is_host_rule(text: &str) -> bool {
    parse_rule(text).is_some()
}

/// In the config file an IPv6 address may also stand without brackets.
fn parse_rule(text: &str) -> Option<HostPort<'_>> {
    if let Ok(bare) = text.parse::<Ipv6Addr>() {
        return Some(HostPort {
            host: bare.to_string().into(),
            port: None,
        });
    }
    parse(text)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`. Userinfo, an empty or overlong port, a zone id and
/// anything else that no name of ours can hold give `None`.
fn parse(text: &str) -> Option<HostPort<'_>> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inner, rest) = rest.split_once(']')?;
        let address: Ipv6Addr = inner.parse().ok()?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        (address.to_string().into(), port)
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
        let host = if name.bytes().any(|c| c.is_ascii_uppercase()) {
            name.to_ascii_lowercase().into()
        } else {
            name.into()
        };
        (host, port)
    };
    Some(HostPort { host, port })
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16::from_str` takes a leading plus sign; a port does not have one.
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
