//! What the edge must know: where to listen, who may enter, and its limits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::tls::Tls;
use crate::types::Principal;

/// The edge, every value final and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 picks one.
    pub bind: SocketAddr,
    /// Another address to listen on, at the same port, where this machine has it: `::1`, for `localhost`.
    pub bind_also: Option<IpAddr>,
    /// With it every connection is TLS; without it none is.
    pub tls: Option<Tls>,
    /// Who may enter.
    pub admission: AdmissionConfig,
    /// Bounds and deadlines of connections and requests.
    pub limits: LimitsConfig,
}

/// The way of programs on this machine to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// Such as `http://127.0.0.1:7411`.
    pub base_url: String,
    /// A value of the Host header that is let in, where that of the URL is not.
    pub host: Option<String>,
}

impl Config {
    /// The way of programs on this machine to a gateway with this config that listens on `address`.
    pub fn local_address(&self, mut address: SocketAddr) -> LocalAddress {
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let own = address.to_string();
        let name = own.rsplit_once(':').map_or(&*own, |(name, _port)| name);
        let hosts = &self.admission.allowed_hosts;
        let is_let_in = hosts.iter().any(|host| *host == own || host == name);
        LocalAddress {
            base_url: format!("{scheme}://{own}"),
            host: hosts.first().filter(|_| !is_let_in).cloned(),
        }
    }

    /// Puts the port that was picked into the allowed origins that were made from `bind_port` 0.
    pub fn listens_on(&mut self, port: u16) {
        for origin in &mut self.admission.allowed_origins {
            if let Some(host) = origin.strip_suffix(":0") {
                *origin = format!("{host}:{port}");
            }
        }
    }
}

/// Who may enter. Empty lists let nobody in; `config` refuses them at load.
#[derive(Clone, Debug)]
pub struct AdmissionConfig {
    /// Peer networks; IPv4-mapped rules are already IPv4.
    pub allowed_clients: Vec<IpNet>,
    /// Values of `Host` that are let in, lower case, without a trailing dot. An entry with a port
    /// matches that port only; one without matches any.
    pub allowed_hosts: Vec<String>,
    /// Values of `Origin` that are let in: `scheme://host[:port]`, lower case.
    pub allowed_origins: Vec<String>,
    /// Peers whose forwarding header is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The tokens.
    pub tokens: Vec<TokenEntry>,
    /// Failed authentications per peer address and minute; more are answered with 429.
    pub failed_auth_per_minute: u32,
}

/// One token: the SHA-256 of it, never itself, and what it stands for.
#[derive(Clone)]
pub struct TokenEntry {
    /// SHA-256 of the token's bytes.
    pub sha256: [u8; 32],
    /// From this wall time on it is refused.
    pub expires_at: Option<std::time::SystemTime>,
    /// Who holds it.
    pub principal: Principal,
}

impl std::fmt::Debug for TokenEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenEntry")
            .field("name", &self.principal.name)
            .finish_non_exhaustive()
    }
}

/// Bounds and deadlines of connections and requests.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// Body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Open connections.
    pub max_connections: usize,
    /// Open connections from one address group.
    pub max_connections_per_ip: usize,
    /// Requests under way for one token.
    pub max_in_flight_per_token: usize,
    /// Open event streams of one token.
    pub max_streams_per_token: usize,
    /// Accepted to first byte; with TLS, accepted to the end of the handshake, and from there to the first
    /// byte of a request.
    pub first_byte: Duration,
    /// First byte to end of the headers.
    pub headers: Duration,
    /// End of the headers to end of the body.
    pub body: Duration,
    /// A kept-alive connection without a request.
    pub idle: Duration,
    /// From the signal to the end of what is under way.
    pub drain: Duration,
}

/// The canonical form of a peer address: an IPv4-mapped IPv6 address is IPv4 (GHSA-xpcf-pg52-r92g is
/// what happens otherwise).
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The addresses that count as one: IPv6 by /64, which is what one host is given, and 127.0.0.0/8, which every local
/// user has.
pub(super) fn address_group(ip: IpAddr) -> IpAddr {
    match canonical(ip) {
        IpAddr::V4(ip) if ip.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RD05: one group for all of 127.0.0.0/8, and one for each /64.
    #[test]
    fn addresses_that_one_host_chooses_freely_are_one_group() {
        for (address, group) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.9.8.7", "127.0.0.1"),
            ("::1", "::"),
            ("::ffff:127.0.0.2", "127.0.0.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let group: IpAddr = group.parse().unwrap();
            assert_eq!(address_group(address.parse().unwrap()), group, "{address}");
        }
    }
}
