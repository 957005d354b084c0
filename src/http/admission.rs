//! Who may enter, decided from the peer's address and the head of the request alone.
//!
//! The order is a promise: address, then `Host` and `Origin`, then the token. A refusal says which of
//! them failed and nothing else, in constant words. No byte of a body has been read by then.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use tokio_util::sync::CancellationToken;

use super::allowlist::{Allowlist, Standing};
use super::config::{AdmissionConfig, TokenEntry};
use super::host::{self, NameFault, Names};
use super::token::{self, Holder, Tokens};
use crate::fault::{Fault, FaultKind};
use crate::types::{Principal, PrincipalId};

/// The rules by which a request is let in.
#[derive(Debug)]
pub(super) struct Admission {
    allowlist: Allowlist,
    names: Names,
    tokens: Tokens,
}

/// A request that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Who speaks.
    pub(super) principal: Arc<Principal>,
    /// From which address, forwarding by trusted proxies seen through.
    pub(super) client: IpAddr,
    /// How long the token is still valid; `None` is for ever.
    pub(super) valid_for: Option<Duration>,
    /// Cancelled when the token is taken out of the config.
    pub(super) revoked: CancellationToken,
}

/// A request that was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The check that failed.
    pub(super) check: Check,
    /// The address to count it against: the client's, or the peer's where that is unknown.
    pub(super) client: IpAddr,
}

/// The checks, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The peer's address.
    Address,
    /// That there is exactly one `Host`.
    HostCount,
    /// `Host`, and the authority of an absolute-form target.
    Host,
    /// `Origin`.
    Origin,
    /// The bearer token.
    Token,
}

impl Check {
    /// The check in one word, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::HostCount => "host_count",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Token => "token",
        }
    }

    /// What the client is told.
    pub(super) fn fault(self) -> Fault {
        let (kind, message) = match self {
            Self::Address => (FaultKind::AuthDenied, "client address not allowed"),
            Self::HostCount => (
                FaultKind::InvalidRequest,
                "exactly one host header is required",
            ),
            Self::Host => (FaultKind::HostDenied, "host not allowed"),
            Self::Origin => (FaultKind::OriginDenied, "origin not allowed"),
            Self::Token => (
                FaultKind::AuthFailed,
                "exactly one valid bearer token is required",
            ),
        };
        Fault::new(kind, message)
    }
}

impl Admission {
    /// Takes the configured rules; empty lists let nobody in.
    pub(super) fn new(config: AdmissionConfig) -> Self {
        Self::of(config, Tokens::new)
    }

    /// The rules of another config, with the tokens that are in both as they are.
    pub(super) fn succeeded_by(&self, config: AdmissionConfig) -> Self {
        Self::of(config, |entries| self.tokens.succeeded_by(entries))
    }

    /// Ends what would outlive the tokens that these rules have not any more; gives whose they were.
    pub(super) fn revoke_what_is_not_in(&self, successor: &Self) -> Vec<PrincipalId> {
        self.tokens.revoke_what_is_not_in(&successor.tokens)
    }

    fn of(config: AdmissionConfig, known: impl FnOnce(Vec<TokenEntry>) -> Tokens) -> Self {
        let AdmissionConfig {
            allowed_clients,
            allowed_hosts,
            allowed_origins,
            trusted_proxies,
            tokens,
            failed_auth_per_minute: _,
        } = config;
        Self {
            allowlist: Allowlist::new(allowed_clients, trusted_proxies),
            names: Names::new(&allowed_hosts, &allowed_origins),
            tokens: known(tokens),
        }
    }

    /// Everybody who has a token.
    pub(super) fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.tokens.principals()
    }

    /// Who holds a token, for tests of what becomes of tokens.
    #[cfg(test)]
    pub(super) fn holder(&self, presented: &[u8], now: SystemTime) -> Option<Holder<'_>> {
        self.tokens.holder(presented, now)
    }

    /// The cause in a head for which a check has refused it: the name as it came, or what is wrong with the token.
    pub(super) fn refusal_detail(&self, check: Check, parts: &Parts) -> Option<String> {
        match check {
            Check::Host => self.names.foreign_host(&parts.uri, &parts.headers),
            Check::Origin => host::origins(&parts.headers),
            Check::Token => Some(token::refusal_cause(&parts.headers, &self.tokens)),
            Check::Address | Check::HostCount => None,
        }
    }

    /// What a connection from this address can be good for.
    pub(super) fn standing(&self, peer: IpAddr) -> Standing {
        self.allowlist.standing(peer)
    }
}

/// Decides on one request; `now` is wall time, for the expiry of tokens.
pub(super) fn admit(
    admission: &Admission,
    peer: IpAddr,
    parts: &Parts,
    now: SystemTime,
) -> Result<Admitted, Refused> {
    let Admission {
        allowlist,
        names,
        tokens,
    } = admission;
    let Some(client) = allowlist.client(peer, &parts.headers) else {
        return Err(Refused {
            check: Check::Address,
            client: super::config::canonical(peer),
        });
    };
    let refused = |check| Refused { check, client };
    if !allowlist.allows(client) {
        return Err(refused(Check::Address));
    }
    names
        .check(&parts.uri, &parts.headers)
        .map_err(|fault| match fault {
            NameFault::HostCount => refused(Check::HostCount),
            NameFault::Host => refused(Check::Host),
            NameFault::Origin => refused(Check::Origin),
        })?;
    let holder = token::presented(&parts.headers).and_then(|token| tokens.holder(token, now));
    match holder {
        Some(Holder {
            principal,
            expires_at,
            revoked,
        }) => Ok(Admitted {
            principal: Arc::clone(principal),
            client,
            valid_for: expires_at.map(|end| end.duration_since(now).unwrap_or_default()),
            revoked: revoked.clone(),
        }),
        None => Err(refused(Check::Token)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture;
    use http::Request;
    use std::time::UNIX_EPOCH;

    const INSIDE: &str = "127.0.0.1";
    const OUTSIDE: &str = "203.0.113.9";

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn outcome(peer: &str, headers: Headers<'_>) -> Result<String, Check> {
        let mut request = Request::builder().uri("/health");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let admission = Admission::new(fixture::config().admission);
        admit(&admission, peer.parse().unwrap(), &parts, UNIX_EPOCH)
            .map(|admitted| admitted.principal.name.to_string())
            .map_err(|refused| refused.check)
    }

    #[test]
    fn everything_right_lets_in() {
        let headers = [("host", "localhost"), ("authorization", "Bearer T1")];
        assert_eq!(outcome(INSIDE, &headers), Ok("one".to_owned()));
        assert_eq!(outcome("::ffff:127.0.0.1", &headers), Ok("one".to_owned()));
    }

    #[test]
    fn the_first_check_that_fails_is_the_one_that_is_told() {
        let (host, evil) = (("host", "localhost"), ("host", "evil.example"));
        let origin = ("origin", "https://evil.example");
        let token = ("authorization", "Bearer T1");
        let cases: [(&str, Headers<'_>, Check); 8] = [
            (OUTSIDE, &[evil, origin], Check::Address),
            (OUTSIDE, &[host, token], Check::Address),
            (INSIDE, &[origin], Check::HostCount),
            (INSIDE, &[host, host, token], Check::HostCount),
            (INSIDE, &[evil, origin, token], Check::Host),
            (INSIDE, &[host, origin], Check::Origin),
            (INSIDE, &[host, origin, token], Check::Origin),
            (
                INSIDE,
                &[host, ("authorization", "Bearer T2x")],
                Check::Token,
            ),
        ];
        for (peer, headers, expected) in cases {
            assert_eq!(outcome(peer, headers), Err(expected), "{peer} {headers:?}");
        }
    }

    /// H028, H029 and H031: what a socket for both families reports is IPv4, and no other address that has
    /// an IPv4 address in it is.
    #[test]
    fn only_a_mapped_address_is_taken_for_ipv4() {
        let mut config = fixture::config().admission;
        let rules = ["192.0.2.0/24", "127.0.0.0/8", "::1/128"];
        config.allowed_clients = rules.map(|rule| rule.parse().unwrap()).to_vec();
        let admission = Admission::new(config);
        let request = Request::builder()
            .uri("/health")
            .header("host", "localhost")
            .header("authorization", "Bearer T1");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        for (peer, allowed) in [
            ("::ffff:192.0.2.5", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:203.0.113.9", false),
            ("64:ff9b::192.0.2.5", false),
            ("64:ff9b:1::192.0.2.5", false),
            ("2002:c000:205::1", false),
            ("::192.0.2.5", false),
            ("::ffff:0:192.0.2.5", false),
            ("::127.0.0.1", false),
        ] {
            let outcome = admit(&admission, peer.parse().unwrap(), &parts, UNIX_EPOCH);
            let told = outcome.map_err(|refused| refused.check.fault().kind);
            assert_eq!(told.is_ok(), allowed, "{peer}");
            assert_eq!(
                told.err(),
                (!allowed).then_some(FaultKind::AuthDenied),
                "{peer}"
            );
        }
    }

    #[test]
    fn a_token_anywhere_but_in_the_header_is_no_token() {
        let host = ("host", "localhost");
        for other in [
            ("cookie", "access_token=T1"),
            ("x-api-key", "T1"),
            ("proxy-authorization", "Bearer T1"),
        ] {
            assert_eq!(
                outcome(INSIDE, &[host, other]),
                Err(Check::Token),
                "{other:?}"
            );
        }
    }

    /// H032: the peer's own address decides, whatever it says.
    #[test]
    fn a_forged_forwarding_header_changes_nothing() {
        let headers = [
            ("host", "localhost"),
            ("authorization", "Bearer T1"),
            ("x-forwarded-for", INSIDE),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", INSIDE),
        ];
        assert_eq!(outcome(OUTSIDE, &headers), Err(Check::Address));
    }
}
