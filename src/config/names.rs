//! `allowed_hosts` and `allowed_origins`: by which names clients may call the gateway.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::file::File;
use super::reader::Scope;
use super::values::Text;

/// The values of `Host` that are let in; `None` after a fault.
///
/// Without a list: this machine's loopback names, and the bind address where it is a specific one.
/// The machine's own names are not guessed: a name that somebody else controls must not be let in.
pub(super) fn allowed_hosts(
    file: &File,
    bind: Option<IpAddr>,
    scope: &mut Scope<'_>,
) -> Option<Vec<String>> {
    let Some(list) = file.allowed_hosts.get() else {
        let hosts = default_hosts(bind);
        if bind.is_some_and(|ip| ip.is_unspecified()) && !file.allowed_hosts.is_given() {
            let text = format!(
                "listens on every interface, and only these Host values are let in: {}; name the others in \"allowed_hosts\"",
                hosts.join(", ")
            );
            scope.warn(&file.bind_host.place, text);
        }
        return Some(hosts);
    };
    if list.is_empty() {
        let text = "is empty and would let nobody in, expected names such as \"localhost\"";
        return scope.fault(&file.allowed_hosts.place, text);
    }
    let expected = "expected a name or an address, with or without a port, such as \"mac-mini.local\" or \"192.168.1.10:7411\"";
    Some(each(list, host, expected, scope))
}

/// The values of `Origin` that are let in. Without a list: the default hosts on the default ports of
/// HTTP and HTTPS, as a proxy in front may serve them, and on the gateway's own port with the scheme that
/// is spoken there, which is what a page of the gateway itself would send; port 0 stands for the one that
/// it will listen on. With TLS of our own, HTTPS alone: whoever sits on the line can make a plain page of
/// any name.
pub(super) fn allowed_origins(
    file: &File,
    bind: Option<SocketAddr>,
    scope: &mut Scope<'_>,
) -> Vec<String> {
    let Some(list) = file.allowed_origins.get() else {
        let own_port = bind.map(|bind| bind.port());
        let (schemes, own_scheme): (&[&str], _) = if file.tls.is_given() {
            (&["https"], "https")
        } else {
            (&["http", "https"], "http")
        };
        let mut origins = Vec::new();
        for host in default_hosts(bind.map(|bind| bind.ip())) {
            origins.extend(schemes.iter().map(|scheme| format!("{scheme}://{host}")));
            origins.extend(own_port.map(|port| format!("{own_scheme}://{host}:{port}")));
        }
        return origins;
    };
    let expected = "expected a scheme and a host, such as \"http://localhost:6274\"";
    each(list, origin, expected, scope)
}

fn default_hosts(bind: Option<IpAddr>) -> Vec<String> {
    let mut hosts = ["localhost", "127.0.0.1", "[::1]"]
        .map(str::to_owned)
        .to_vec();
    let own = bind.filter(|ip| !ip.is_unspecified()).map(|ip| match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    });
    hosts.extend(own.filter(|own| !hosts.contains(own)));
    hosts
}

/// Parses each text of a list and notes a fault for those that cannot be.
fn each(
    list: &[Text],
    parse: fn(&str) -> Option<String>,
    expected: &str,
    scope: &mut Scope<'_>,
) -> Vec<String> {
    let mut parsed = Vec::with_capacity(list.len());
    for text in list {
        let Some(value) = parse(&text.value) else {
            let shown = text.shown();
            scope.fault::<()>(
                &text.place,
                format!("{shown} cannot be matched, {expected}"),
            );
            continue;
        };
        parsed.push(value);
    }
    parsed
}

/// `host` or `host:port`, lower case, without a trailing dot; an IPv6 address in brackets.
fn host(text: &str) -> Option<String> {
    if let Ok(v6) = text.parse::<Ipv6Addr>() {
        return Some(format!("[{v6}]"));
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return match rest.strip_prefix(':') {
            Some(port) => Some(format!("[{address}]:{}", self::port(port)?)),
            None => rest.is_empty().then(|| format!("[{address}]")),
        };
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(self::port(port)?)),
        None => (text, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.split('.').any(str::is_empty) || !name.chars().all(legal) {
        return None;
    }
    Some(match port {
        Some(port) => format!("{name}:{port}"),
        None => name,
    })
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// `scheme://host[:port]`, lower case. `null` is no origin: any sandboxed page sends it.
fn origin(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(legal) {
        return None;
    }
    let host = host(rest.strip_suffix('/').unwrap_or(rest))?;
    Some(format!("{}://{host}", scheme.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins_are_brought_to_one_form() {
        for (input, meant) in [
            ("Mac-Mini.local.", Some("mac-mini.local")),
            ("LOCALHOST:7411", Some("localhost:7411")),
            ("::1", Some("[::1]")),
            ("[0:0::1]:80", Some("[::1]:80")),
            ("*", None),
            ("*.example.com", None),
            ("http://a", None),
            ("a/b", None),
            ("a:", None),
            ("a:+80", None),
            ("a:70000", None),
            ("a..b", None),
            ("", None),
            ("[::1]x", None),
        ] {
            assert_eq!(host(input).as_deref(), meant, "{input}");
        }
        for (input, meant) in [
            ("HTTP://Localhost:6274/", Some("http://localhost:6274")),
            ("vscode-webview://abc", Some("vscode-webview://abc")),
            ("null", None),
            ("*", None),
            ("http://*", None),
            ("http://a/b", None),
            ("http://u@a", None),
        ] {
            assert_eq!(origin(input).as_deref(), meant, "{input}");
        }
    }

    #[test]
    fn the_default_hosts_are_loopback_and_a_specific_bind_address() {
        let hosts = |ip: &str| default_hosts(ip.parse().ok()).join(" ");
        let loopback = "localhost 127.0.0.1 [::1]";
        assert_eq!(hosts("127.0.0.1"), loopback);
        assert_eq!(hosts("0.0.0.0"), loopback);
        assert_eq!(hosts("192.0.2.1"), format!("{loopback} 192.0.2.1"));
        assert_eq!(hosts("fd00::1"), format!("{loopback} [fd00::1]"));
    }
}
