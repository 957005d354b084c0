//! Places: who has one, who gives one away, and that none is lost.

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;
use crate::http::fixture;

fn limits(max_connections: usize, max_connections_per_ip: usize) -> LimitsConfig {
    LimitsConfig {
        max_connections,
        max_connections_per_ip,
        ..fixture::config().limits
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn is_evicted(slot: &Slot) -> bool {
    slot.evicted().is_cancelled()
}

/// H006, RD05: an address has one share, however it is written, and so has a /64.
#[tokio::test]
async fn caps_hold_by_address_group_and_places_are_given_back() {
    let slots = Slots::new(fixture::door(limits(64, 1)));
    for (first, same, other) in [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
        ("127.0.0.1", "127.0.0.2", "192.0.2.1"),
    ] {
        let first = slots.take(ip(first)).unwrap();
        first.authenticate();
        assert!(slots.take(ip(same)).is_none(), "{same} is the same");
        let other = slots.take(ip(other)).unwrap();
        drop(first);
        assert_eq!(
            slots.0.open().by_group.len(),
            1,
            "an entry without connections"
        );
        assert!(slots.take(ip(same)).is_some(), "the place is free");
        drop(other);
    }
}

#[test]
fn strangers_cannot_take_the_places_of_those_who_may_enter() {
    let limits = limits(32, 8);
    let mut open = Open::default();
    let mut take = |peer: &str, standing| {
        let taken = (0..100).filter_map(|_| open.take(ip(peer), standing, &limits));
        let taken: Vec<_> = taken.filter(|taken| !taken.was_anothers).collect();
        for taken in &taken {
            open.authenticate(taken.number);
        }
        taken.len()
    };
    assert_eq!(take("203.0.113.1", Standing::Stranger), 2);
    assert_eq!(take("203.0.113.2", Standing::Stranger), 0);
    assert_eq!(take("192.0.2.1", Standing::Client), 8);
    assert_eq!(
        take("192.0.2.2", Standing::Proxy),
        22,
        "a proxy may have all that is left"
    );
    open.give_back(0, ip("203.0.113.1"), Standing::Stranger);
    let stranger = open.take(ip("203.0.113.2"), Standing::Stranger, &limits);
    assert!(stranger.is_some());
}

/// RD05: who has shown no token gives way, the oldest first, and who has shown one does not.
#[tokio::test]
async fn connections_without_a_token_give_their_places_to_new_ones() {
    for (limits, other) in [(limits(3, 64), "192.0.2.2"), (limits(64, 3), "192.0.2.1")] {
        let slots = Slots::new(fixture::door(limits));
        let take = || slots.take(ip("192.0.2.1"));
        let (owner, first, second) = (take().unwrap(), take().unwrap(), take().unwrap());
        owner.authenticate();
        let newcomer = slots.take(ip(other)).unwrap();
        assert_eq!((is_evicted(&owner), is_evicted(&first)), (false, true));
        assert_eq!((is_evicted(&second), is_evicted(&newcomer)), (false, false));
        newcomer.authenticate();
        second.authenticate();
        drop(first);
        assert!(slots.take(ip(other)).is_none(), "all have shown a token");
        drop(owner);
        assert!(slots.take(ip(other)).is_some());
    }
}

/// RD05: what is told to leave takes no more than a share of the descriptors before it has closed.
#[tokio::test]
async fn nobody_is_accepted_while_too_many_are_leaving() {
    let slots = Slots::new(fixture::door(limits(32, 64)));
    let mut open: Vec<_> = (0..33).map_while(|_| slots.take(ip("192.0.2.1"))).collect();
    assert_eq!(open.len(), 33);
    slots.settled().await;
    open.extend(slots.take(ip("192.0.2.1")));
    assert_eq!(
        slots.settled().now_or_never(),
        None,
        "two of 32 are leaving"
    );
    // One that has lost its place does not get it back by a late token.
    open[0].authenticate();
    assert_eq!(slots.settled().now_or_never(), None);
    let first = open.remove(0);
    let waiting = async {
        slots.settled().await;
    };
    let closing = async { drop(first) };
    tokio::join!(biased; waiting, closing);
}

proptest! {
    /// Whatever happens in whatever order, nothing is open when everything is closed, and no bound is passed before.
    #[test]
    fn places_are_neither_lost_nor_made(steps in prop::collection::vec((0u8..4, any::<prop::sample::Index>(), 0u8..3), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let limits = limits(8, 4);
        let slots = Slots::new(fixture::door(limits));
        let mut open = Vec::new();
        for (step, which, host) in steps {
            match step {
                0 | 1 => open.extend(slots.take([192, 0, 2, host].into())),
                2 if !open.is_empty() => which.get::<Slot>(&open).authenticate(),
                _ if !open.is_empty() => drop(open.swap_remove(which.index(open.len()))),
                _ => {}
            }
            let table = slots.0.open();
            prop_assert!(table.total <= limits.max_connections);
            prop_assert!(table.by_group.values().all(|here| here.open <= limits.max_connections_per_ip));
            prop_assert_eq!(table.total + table.leaving, open.len());
        }
        drop(open);
        let table = slots.0.open();
        prop_assert_eq!((table.total, table.leaving, table.strangers), (0, 0, 0));
        prop_assert!(table.by_group.is_empty() && table.unauthenticated.is_empty());
    }
}
