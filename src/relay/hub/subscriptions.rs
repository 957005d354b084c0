//! The resources that the clients of one server subscribe to: counted, and bounded for each client and each token.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::State;
use crate::fault::{Fault, FaultKind};
use crate::types::PrincipalId;

/// Subscriptions and the bytes of their URIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SubscriptionUsage {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// Subscriptions of one session, or of one `subscriptions/listen`.
pub(super) const MAX_OF_CLIENT: SubscriptionUsage = SubscriptionUsage {
    count: 1024,
    bytes: 256 * 1024,
};
/// Subscriptions of one token at one server.
const MAX_OF_PRINCIPAL: SubscriptionUsage = SubscriptionUsage {
    count: 4096,
    bytes: 1024 * 1024,
};

impl SubscriptionUsage {
    /// Adds a URI; `false`, and it is not added, where that would be more than `most`.
    pub(super) fn add(&mut self, uri: &str, most: Self) -> bool {
        let fits = self.count < most.count && self.bytes.saturating_add(uri.len()) <= most.bytes;
        if fits {
            self.count += 1;
            self.bytes += uri.len();
        }
        fits
    }

    fn subtract(&mut self, uri: &str) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(uri.len());
    }
}

/// The subscriptions of one session, or of one `subscriptions/listen`.
#[derive(Debug)]
pub(super) struct ClientSubscriptions {
    principal: PrincipalId,
    uris: BTreeSet<Arc<str>>,
    usage: SubscriptionUsage,
}

impl ClientSubscriptions {
    pub(super) fn of(principal: PrincipalId) -> Self {
        Self {
            principal,
            uris: BTreeSet::new(),
            usage: SubscriptionUsage::default(),
        }
    }

    pub(super) fn contains(&self, uri: &str) -> bool {
        self.uris.contains(uri)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.uris.iter()
    }
}

/// The subscriptions of all clients of one server.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// How many clients subscribe to each resource.
    holders: BTreeMap<Arc<str>, usize>,
    of_principals: BTreeMap<PrincipalId, SubscriptionUsage>,
}

impl Subscriptions {
    /// Whether any client subscribes to a resource.
    pub(super) fn contains(&self, uri: &str) -> bool {
        self.holders.contains_key(uri)
    }

    /// Adds a subscription of a client; `true` where nobody had it before. Refused where the client or its token has
    /// too many.
    pub(super) fn add(
        &mut self,
        client: &mut ClientSubscriptions,
        uri: &str,
    ) -> Result<bool, Fault> {
        if client.contains(uri) {
            return Ok(false);
        }
        let of_principal = self.of_principals.entry(client.principal).or_default();
        let mut of_client = client.usage;
        if !of_client.add(uri, MAX_OF_CLIENT) {
            return Err(too_many("session", MAX_OF_CLIENT));
        }
        if !of_principal.add(uri, MAX_OF_PRINCIPAL) {
            return Err(too_many("token", MAX_OF_PRINCIPAL));
        }
        client.usage = of_client;
        let known = self.holders.get_key_value(uri);
        let uri = known.map_or_else(|| uri.into(), |(uri, _)| Arc::clone(uri));
        client.uris.insert(Arc::clone(&uri));
        let holders = self.holders.entry(uri).or_default();
        *holders += 1;
        Ok(*holders == 1)
    }

    /// Takes a subscription of a client out; `true` where nobody has it any more.
    pub(super) fn remove(&mut self, client: &mut ClientSubscriptions, uri: &str) -> bool {
        if let Some(uri) = client.uris.take(uri) {
            client.usage.subtract(&uri);
            self.release(client.principal, &uri);
        }
        !self.contains(uri)
    }

    /// Takes every subscription of a client out that is gone, and gives those that nobody has any more.
    pub(super) fn remove_client(&mut self, client: &ClientSubscriptions) -> Vec<Arc<str>> {
        for uri in client.iter() {
            self.release(client.principal, uri);
        }
        let unwanted = client.iter().filter(|uri| !self.contains(uri));
        unwanted.cloned().collect()
    }

    fn release(&mut self, principal: PrincipalId, uri: &str) {
        if let Some(holders) = self.holders.get_mut(uri) {
            *holders -= 1;
            if *holders == 0 {
                self.holders.remove(uri);
            }
        }
        if let Some(usage) = self.of_principals.get_mut(&principal) {
            usage.subtract(uri);
            if usage.count == 0 {
                self.of_principals.remove(&principal);
            }
        }
    }
}

impl State {
    /// The resources that anybody wants to hear of, each with one that does.
    pub(super) fn wanted_by(&self) -> BTreeMap<Arc<str>, PrincipalId> {
        let hearers = self.hearers.values();
        let wanted = hearers.flat_map(|hearer| {
            let resources = hearer.resources.iter();
            resources.map(|uri| (Arc::clone(uri), hearer.principal))
        });
        wanted.collect()
    }

    /// The principal that wants a resource and follows this one, all of them taken in a circle.
    pub(super) fn wanting_after(&self, uri: &str, principal: PrincipalId) -> Option<PrincipalId> {
        if !self.is_wanted(uri) {
            return None;
        }
        let hearers = self.hearers.values();
        let wanting = hearers.filter(|hearer| hearer.resources.contains(uri));
        let principals = wanting.map(|hearer| hearer.principal);
        principals.min_by_key(|one| (*one <= principal, *one))
    }
}

fn too_many(whose: &str, most: SubscriptionUsage) -> Fault {
    let SubscriptionUsage { count, bytes } = most;
    let text = format!(
        "too many subscriptions of this {whose}: at most {count}, and {bytes} bytes of URIs, at one server"
    );
    Fault::new(FaultKind::RateLimited, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_client_of_a_resource_are_known() {
        let mut all = Subscriptions::default();
        let mut clients = [1, 1, 2].map(|id| ClientSubscriptions::of(PrincipalId(id)));
        let [one, two, three] = &mut clients;
        assert_eq!(all.add(one, "a:"), Ok(true));
        assert_eq!(all.add(one, "a:"), Ok(false), "twice");
        assert_eq!(all.add(two, "a:"), Ok(false));
        assert_eq!(all.add(three, "a:"), Ok(false));
        assert_eq!(all.add(three, "b:"), Ok(true));
        assert!(!all.remove(one, "a:") && !all.remove(one, "a:"));
        assert!(!all.remove(two, "a:"));
        let gone = all.remove_client(three);
        assert_eq!(gone, ["a:".into(), "b:".into()] as [Arc<str>; 2]);
        assert!(all.holders.is_empty() && all.of_principals.is_empty());
    }

    /// RD01: a client has so many subscriptions and no more, its token neither, in count and in bytes; those of other
    /// tokens are not affected, and what is given back can be had again.
    #[test]
    fn subscriptions_are_bounded_by_count_and_bytes() {
        for long in [0, 200] {
            let uri = |number: usize| format!("{number:0>8}{}", "x".repeat(long));
            let (mut all, mut clients) = (Subscriptions::default(), Vec::new());
            let mut taken = 0;
            while clients.len() < 10 {
                let mut client = ClientSubscriptions::of(PrincipalId(1));
                while all.add(&mut client, &uri(taken)).is_ok() {
                    taken += 1;
                }
                let SubscriptionUsage { count, bytes } = client.usage;
                assert!(count <= MAX_OF_CLIENT.count && bytes <= MAX_OF_CLIENT.bytes);
                clients.push(client);
            }
            let usage = all.of_principals[&PrincipalId(1)];
            assert!(
                usage.count == MAX_OF_PRINCIPAL.count
                    || usage.bytes > MAX_OF_PRINCIPAL.bytes - 1000
            );
            let mut other = ClientSubscriptions::of(PrincipalId(2));
            assert_eq!(all.add(&mut other, "another's"), Ok(true));
            let first = clients.remove(0);
            assert!(!all.remove_client(&first).is_empty());
            let mut next = ClientSubscriptions::of(PrincipalId(1));
            assert_eq!(all.add(&mut next, "again"), Ok(true));
        }
    }
}
