//! Addresses in the file: where to listen, and which peers are meant by a list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use super::file::File;
use super::reader::Scope;
use super::values::Text;

/// How many leading bits an IPv4-mapped IPv6 address has before its IPv4 part.
const MAPPED_BITS: u8 = 96;

/// The address to listen on, and another one of the same port; `None` after a fault.
pub(super) fn bind(file: &File, scope: &mut Scope<'_>) -> Option<(SocketAddr, Option<IpAddr>)> {
    let host = file.bind_host.get()?;
    let place = &file.bind_host.place;
    let Some(ip) = host_address(&host.value) else {
        let text = format!(
            "{} is no IP address, expected one or \"localhost\"",
            host.shown()
        );
        return scope.fault(place, text);
    };
    let encrypted = file.tls.is_given();
    if !ip.is_loopback() && !encrypted && file.allow_plaintext.get() == Some(&false) {
        let text = format!(
            "{ip} is not loopback, and without TLS tokens and answers could be read on the network: \
             give \"tls\", listen on 127.0.0.1 behind a TLS proxy, or set \"allow_plaintext\": true"
        );
        return scope.fault(place, text);
    }
    // Clients resolve the name to either of its two addresses.
    let also = is_localhost(&host.value).then_some(Ipv6Addr::LOCALHOST.into());
    Some((SocketAddr::new(ip, file.bind_port.get()?.0), also))
}

fn is_localhost(text: &str) -> bool {
    text.eq_ignore_ascii_case("localhost")
}

pub(super) fn host_address(text: &str) -> Option<IpAddr> {
    if is_localhost(text) {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let ip: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some(ip.to_canonical())
}

/// The peers that may connect; `None` after a fault.
pub(super) fn allowed_clients(file: &File, scope: &mut Scope<'_>) -> Option<Vec<IpNet>> {
    let why = "the addresses that may connect, such as [\"localhost\", \"192.168.1.0/24\"]";
    let list = file.allowed_clients.required(why, scope)?;
    if list.is_empty() {
        let text = "is empty and would let nobody in, expected addresses such as \"localhost\" or \"192.168.1.0/24\"";
        return scope.fault(&file.allowed_clients.place, text);
    }
    let any_is_meant = file.allow_any_client.get() != Some(&false);
    let networks = networks(list, any_is_meant, scope);
    Some(networks)
}

/// The proxies that are believed. To believe everybody is never meant.
pub(super) fn trusted_proxies(file: &File, scope: &mut Scope<'_>) -> Vec<IpNet> {
    let list = file.trusted_proxies.get();
    list.map_or_else(Vec::new, |list| networks(list, false, scope))
}

/// The networks of a list, without those that a fault was noted for.
fn networks(list: &[Text], any_is_meant: bool, scope: &mut Scope<'_>) -> Vec<IpNet> {
    let mut networks = Vec::with_capacity(list.len());
    for text in list {
        if is_localhost(&text.value) {
            // All of 127.0.0.0/8 is this machine; so is ::1, and nothing else (RFC 4291, 2.5.3).
            networks.extend(Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).map(IpNet::from));
            networks.push(IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST)));
            continue;
        }
        match network(&text.value) {
            Err(expected) => {
                let text_shown = text.shown();
                scope.fault::<()>(&text.place, format!("{text_shown} {expected}"));
            }
            Ok(network) if network.prefix_len() == 0 && !any_is_meant => {
                let reason = if text.place.path.starts_with("allowed_clients") {
                    "lets any address in, expected narrower networks, or \"allow_any_client\": true besides"
                } else {
                    "is every address, expected narrower networks"
                };
                scope.fault::<()>(&text.place, format!("{} {reason}", text.shown()));
            }
            Ok(network) => {
                if network.trunc() != network {
                    let network = network.trunc();
                    let text_shown = text.shown();
                    let warning = format!(
                        "{text_shown} has bits beyond its prefix and is taken as {network}"
                    );
                    scope.warn(&text.place, warning);
                }
                networks.push(network.trunc());
            }
        }
    }
    networks
}

/// A network, IPv4-mapped ones as IPv4; or what was expected. Host bits are kept.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let parsed = match text.parse::<IpAddr>() {
        Ok(ip) => Ok(IpNet::from(ip)),
        Err(_) => text.parse::<IpNet>(),
    };
    match parsed {
        Ok(IpNet::V6(v6)) => match v6.addr().to_ipv4_mapped() {
            Some(v4) if v6.prefix_len() >= MAPPED_BITS => {
                let network = Ipv4Net::new(v4, v6.prefix_len() - MAPPED_BITS);
                network.map(IpNet::from).map_err(|_too_long| EXPECTED)
            }
            Some(_) | None => Ok(v6.into()),
        },
        Ok(v4) => Ok(v4),
        Err(_) if text == "*" => Err(
            "is no address, expected \"0.0.0.0/0\" and \"::/0\" with \"allow_any_client\": true",
        ),
        Err(_) if text.contains('%') => {
            Err("has a scope, which peers are not compared by, expected an address without \"%\"")
        }
        Err(_) => Err(EXPECTED),
    }
}

const EXPECTED: &str = "is no address or network, expected such as \"192.168.1.10\", \"192.168.1.0/24\", \"fd00::/8\" or \"localhost\"";

#[cfg(test)]
mod tests {
    use super::*;

    /// H030, rule by rule.
    #[test]
    fn mapped_networks_are_ipv4_and_what_is_unclear_is_refused() {
        let shown = |text| network(text).map(|network| network.to_string());
        for (input, meant) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("fd00::/8", "fd00::/8"),
            ("192.0.2.7/24", "192.0.2.7/24"),
        ] {
            assert_eq!(shown(input).as_deref(), Ok(meant), "{input}");
        }
        for input in [
            "0/0",
            "010.0.0.1",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "fe80::1%eth0",
            "*",
            "",
            " ",
            "example.com",
            "192.0.2.0/24 ",
            "::/129",
            "1.2.3",
            "192.0.2.0/255.255.255.0",
        ] {
            assert!(network(input).is_err(), "{input}");
        }
    }

    #[test]
    fn a_host_is_an_address_or_localhost() {
        let shown = |text| host_address(text).map(|ip| ip.to_string());
        assert_eq!(shown("LocalHost").as_deref(), Some("127.0.0.1"));
        assert_eq!(shown("[::1]").as_deref(), Some("::1"));
        assert_eq!(shown("::ffff:127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(shown("example.com"), None);
        assert_eq!(shown("127.1"), None);
    }
}
