//! Whose address this is, and whether it may talk to us.
//!
//! All addresses are compared in canonical form: an IPv4-mapped IPv6 peer (`::ffff:192.0.2.5`, what a
//! dual-stack socket reports) is IPv4. Nothing else is translated: NAT64, 6to4 and the deprecated
//! IPv4-compatible addresses stay IPv6.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use super::config::canonical;

/// The one forwarding header that is understood; `Forwarded` and `X-Real-IP` are ignored everywhere.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// What is known of a peer before it has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Speaks for many clients.
    Proxy,
    /// May talk to us.
    Client,
    /// Will be refused, whatever it says.
    Stranger,
}

/// The networks that may talk to us, and the proxies whose word is taken for an address.
#[derive(Debug)]
pub(super) struct Allowlist {
    clients: Vec<IpNet>,
    proxies: Vec<IpNet>,
}

impl Allowlist {
    /// Empty lists match nobody.
    pub(super) fn new(clients: Vec<IpNet>, proxies: Vec<IpNet>) -> Self {
        Self { clients, proxies }
    }

    /// Whether this client address is let in.
    pub(super) fn allows(&self, client: IpAddr) -> bool {
        contains(&self.clients, client)
    }

    /// What a connection from this address can be good for.
    pub(super) fn standing(&self, peer: IpAddr) -> Standing {
        if contains(&self.proxies, peer) {
            Standing::Proxy
        } else if contains(&self.clients, peer) {
            Standing::Client
        } else {
            Standing::Stranger
        }
    }

    /// The address that the request comes from: the peer's own, or, where the peer is a trusted proxy,
    /// the right-most hop of `X-Forwarded-For` that is not one. `None` where a trusted proxy sent
    /// something that is no address: it has to be refused, not guessed.
    ///
    /// Hops to the left of that one were written by the client and are not read. A trusted proxy that
    /// names nobody speaks for itself (its own health check).
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = canonical(peer);
        if !contains(&self.proxies, client) {
            return Some(client);
        }
        // Several header lines are one list (RFC 9110, 5.3), so the last line is the nearest hop.
        let lines = headers.get_all(FORWARDED_FOR).iter();
        let mut hops = lines
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while contains(&self.proxies, client) {
            let Some(hop) = hops.next() else { break };
            client = hop_address(hop)?;
        }
        Some(client)
    }
}

fn contains(networks: &[IpNet], ip: IpAddr) -> bool {
    let ip = canonical(ip);
    networks.iter().any(|network| network.contains(&ip))
}

/// One hop: an address, or an address with a port as some proxies write it.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let ip = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|hop| hop.ip()))
        .or_else(|| bracketed().map(IpAddr::V6))?;
    Some(canonical(ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn forwarded(lines: &[&str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| {
                let value = HeaderValue::from_str(line).unwrap();
                (http::HeaderName::from_static(FORWARDED_FOR), value)
            })
            .collect()
    }

    /// H028, H029 and H031: mapped is IPv4, and nothing else that has an IPv4 address in it.
    #[test]
    fn only_listed_networks_are_let_in_and_a_mapped_address_is_ipv4() {
        let list = Allowlist::new(
            networks(&["192.0.2.0/24", "127.0.0.0/8", "::1/128"]),
            vec![],
        );
        for (address, allowed) in [
            ("192.0.2.5", true),
            ("::ffff:192.0.2.5", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("203.0.113.9", false),
            ("::ffff:203.0.113.9", false),
            ("64:ff9b::c000:205", false),
            ("2002:c000:205::1", false),
            ("::192.0.2.5", false),
        ] {
            assert_eq!(list.allows(ip(address)), allowed, "{address}");
        }
        assert!(!Allowlist::new(vec![], vec![]).allows(ip("127.0.0.1")));
    }

    /// H032: the right-most hop that is no proxy, and only from a proxy.
    #[test]
    fn a_forwarding_header_is_believed_from_a_trusted_proxy_only() {
        let list = Allowlist::new(vec![], networks(&["10.0.0.0/8"]));
        let client = |peer: &str, lines: &[&str]| list.client(ip(peer), &forwarded(lines));
        let cases: [(&str, &[&str], Option<&str>); 11] = [
            ("192.0.2.1", &["127.0.0.1"], Some("192.0.2.1")),
            ("192.0.2.1", &["junk"], Some("192.0.2.1")),
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("10.0.0.1", &["198.51.100.7"], Some("198.51.100.7")),
            (
                "::ffff:10.0.0.1",
                &["::ffff:198.51.100.7"],
                Some("198.51.100.7"),
            ),
            (
                "10.0.0.1",
                &["127.0.0.1, 198.51.100.7 ,10.2.2.2"],
                Some("198.51.100.7"),
            ),
            (
                "10.0.0.1",
                &["127.0.0.1", "198.51.100.7"],
                Some("198.51.100.7"),
            ),
            (
                "10.0.0.1",
                &["junk, 198.51.100.7:4711"],
                Some("198.51.100.7"),
            ),
            (
                "10.0.0.1",
                &["[2001:db8::1]:80, 10.1.1.1"],
                Some("2001:db8::1"),
            ),
            ("10.0.0.1", &["198.51.100.7, junk"], None),
            ("10.0.0.1", &["198.51.100.7, "], None),
        ];
        for (peer, lines, expected) in cases {
            assert_eq!(client(peer, lines), expected.map(ip), "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_standing_of_a_peer_is_known_from_its_address() {
        let list = Allowlist::new(networks(&["192.0.2.0/24"]), networks(&["192.0.2.9/32"]));
        for (peer, standing) in [
            ("192.0.2.1", Standing::Client),
            ("::ffff:192.0.2.9", Standing::Proxy),
            ("203.0.113.9", Standing::Stranger),
        ] {
            assert_eq!(list.standing(ip(peer)), standing, "{peer}");
        }
    }

    /// Hops as they are written, and the addresses that they mean.
    const HOPS: [(&str, Option<&str>); 10] = [
        ("10.2.2.2", Some("10.2.2.2")),
        (" ::ffff:10.3.3.3 ", Some("10.3.3.3")),
        ("[2001:db8::7]:80", Some("2001:db8::7")),
        ("198.51.100.7", Some("198.51.100.7")),
        ("198.51.100.8:4711", Some("198.51.100.8")),
        ("[fd00::1]", Some("fd00::1")),
        ("\t::1", Some("::1")),
        ("unknown", None),
        ("", None),
        ("10.1", None),
    ];

    /// Whether the first `prefix` bits agree, one bit at a time.
    fn same_prefix(a: u128, b: u128, width: u32, prefix: u8) -> bool {
        (0..u32::from(prefix)).all(|bit| {
            let at = width - 1 - bit;
            (a >> at) & 1 == (b >> at) & 1
        })
    }

    proptest! {
        #[test]
        fn allowing_is_equal_to_comparing_bits(
            rule in any::<u32>(), flip in 0u32..=31, prefix in 0u8..=32, form in 0u8..3,
        ) {
            // An address that differs from the rule in one bit, so that both outcomes are common.
            let address = rule ^ (1 << flip);
            let list = Allowlist::new(
                vec![ipnet::Ipv4Net::new(rule.into(), prefix).unwrap().into()],
                vec![],
            );
            let v4 = std::net::Ipv4Addr::from(address);
            let expected = same_prefix(rule.into(), address.into(), 32, prefix);
            let (client, expected): (IpAddr, bool) = match form {
                0 => (v4.into(), expected),
                1 => (v4.to_ipv6_mapped().into(), expected),
                _ => (std::net::Ipv6Addr::from(0x2002 << 112 | u128::from(address)).into(), false),
            };
            prop_assert_eq!(list.allows(client), expected);
        }

        #[test]
        fn an_ipv6_rule_is_compared_bit_by_bit(
            rule in any::<u128>(),
            flip in prop::option::of(0u32..=127),
            prefix in prop_oneof![0u8..=128, prop::sample::select(&[0u8, 1, 127, 128][..])],
        ) {
            let address = flip.map_or(rule, |flip| rule ^ (1 << flip));
            let list = Allowlist::new(
                vec![ipnet::Ipv6Net::new(rule.into(), prefix).unwrap().into()],
                vec![],
            );
            let client = std::net::Ipv6Addr::from(address);
            let expected = client.to_ipv4_mapped().is_none() && same_prefix(rule, address, 128, prefix);
            prop_assert_eq!(list.allows(client.into()), expected);
        }

        /// Against the plain way: all hops as one list, proxies taken off its end.
        #[test]
        fn the_client_is_the_nearest_hop_that_is_no_proxy(
            hops in prop::collection::vec(prop::sample::select(&HOPS[..]), 0..6),
            lines in prop::collection::vec(any::<bool>(), 6),
            peer in prop::sample::select(&["10.0.0.1", "::ffff:10.9.9.9", "192.0.2.1"][..]),
        ) {
            let list = Allowlist::new(vec![], networks(&["10.0.0.0/8", "2001:db8::/32"]));
            let mut header: Vec<String> = Vec::new();
            for (hop, new_line) in hops.iter().zip(lines) {
                match header.last_mut() {
                    Some(line) if !new_line => line.push_str(&[",", hop.0].concat()),
                    _ => header.push(hop.0.to_owned()),
                }
            }
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let is_proxy = |ip: &IpAddr| {
                let text = ip.to_string();
                text.starts_with("10.") || text.starts_with("2001:db8:")
            };
            let mut path = hops.iter().map(|hop| hop.1.map(ip)).collect::<Vec<_>>();
            path.push(Some(ip(peer).to_canonical()));
            let first = path[0];
            let nearest = path.into_iter().rev().find(|hop| hop.is_none_or(|ip| !is_proxy(&ip)));
            let expected = nearest.unwrap_or(first);
            prop_assert_eq!(list.client(ip(peer), &forwarded(&header)), expected, "{:?}", header);
        }

        #[test]
        fn an_ipv6_rule_never_lets_a_mapped_address_in(rule in any::<u128>(), prefix in 0u8..=128, v4 in any::<u32>()) {
            let rule = ipnet::Ipv6Net::new(rule.into(), prefix).unwrap();
            let list = Allowlist::new(vec![rule.into()], vec![]);
            let mapped = std::net::Ipv4Addr::from(v4).to_ipv6_mapped();
            prop_assert!(!list.allows(mapped.into()));
        }
    }
}
