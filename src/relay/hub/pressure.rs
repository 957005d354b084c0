//! Hearers that are behind: a burst of the child is read no faster than they take it, for a moment.
//!
//! A child writes thousands of messages in the time that a stream takes to send a few hundred. Without a
//! pause every stream would overflow, also those whose clients read as fast as they can. But the pause is
//! everybody's who waits for the child, so it is bounded. Each stream of a hearer has [`PATIENCE`] to catch up; one
//! that does not is not waited for again until it has, and loses its stream when that is full. The streams of calls,
//! of which a client opens as many as it likes, are waited for at the expense of its principal's [`ALLOWANCE`]; when
//! that is used up they lose progress and logs. While another principal waits for the child, neither is waited for but
//! for a [`MOMENT`].

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::Sink;
use crate::types::PrincipalId;

/// Parts in a hundred of what may wait, above which a hearer is behind, and down to which it has to come
/// to have caught up. Far apart, or a client that takes one message in each pause would slow the child down
/// to its own pace.
const BEHIND: usize = 50;
const CAUGHT_UP: usize = 25;

/// How long a hearer is waited for. The system lets a stream go on when a third of its buffer is free again,
/// about a megabyte: enough for whoever reads that much in this time.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a child is paused for the calls of one principal, and how many times as long it takes to regain that.
const ALLOWANCE: Duration = Duration::from_millis(500);
const REGAIN: u32 = 4;

/// How long a child is paused for one principal while another waits for it, enough for a client that reads, and how
/// many times as long it takes to regain that: half a percent of the time, which no p99 shows.
const MOMENT: Duration = Duration::from_millis(25);
const REGAIN_MOMENT: u32 = 200;

/// The kind of stream that a sink is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamKind {
    /// A hearer's, which has its own patience.
    Hearer,
    /// That of a call, which is waited for at the expense of its principal.
    Call,
}

/// Principals of which a stream without patience is looked at after each line: it may have caught up.
const OVERDUE_CHECKS: usize = 2;
/// Streams and places in queues, below which nothing is swept.
const MIN_SWEEP: usize = 64;

/// The streams that are behind; usually none.
///
/// After each line only the stream that has been behind for longest is looked at, for each principal and kind, because a
/// principal may have thousands that it does not read.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    behind: FxHashMap<StreamAddress, Behind>,
    groups: FxHashMap<PrincipalId, Group>,
    /// Principals that have overdue streams, in the order in which one of each is looked at: those of one that has
    /// thousands must not keep those of another from being found to have caught up.
    overdue: VecDeque<PrincipalId>,
    /// How many streams and places there may be before those of streams that are gone are swept.
    sweep_at: usize,
}

/// The address of a sink. No other sink has it while a weak reference to the first one is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct StreamAddress(usize);

impl StreamAddress {
    fn of(sink: &Arc<dyn Sink>) -> Self {
        Self(Arc::as_ptr(sink).cast::<()>().addr())
    }
}

/// The place of a stream in a queue: that of an earlier time at which it was behind is void.
type Place = (StreamAddress, Instant);

#[derive(Debug)]
struct Behind {
    /// A reader that is gone takes with it what waited for it.
    sink: Weak<dyn Sink>,
    since: Instant,
}

impl Behind {
    fn has_caught_up(&self) -> bool {
        let sink = self.sink.upgrade();
        sink.is_none_or(|sink| sink.fullness() <= CAUGHT_UP)
    }
}

/// The streams of one principal that are behind, those first that have been so for longest, and what it has left.
#[derive(Debug)]
struct Group {
    hearers: VecDeque<Place>,
    calls: VecDeque<Place>,
    /// Streams of hearers that have no patience left.
    overdue: VecDeque<Place>,
    /// It is among those whose overdue streams are looked at.
    has_turn: bool,
    /// When all that its calls may take is regained.
    calls_regained: Instant,
    /// When all that it may take from others is regained.
    from_others_regained: Instant,
    /// The child is paused for it.
    is_felt: bool,
    /// The child is paused for its calls.
    calls_felt: bool,
}

impl Group {
    fn new(now: Instant) -> Self {
        Self {
            hearers: VecDeque::new(),
            calls: VecDeque::new(),
            overdue: VecDeque::new(),
            has_turn: false,
            calls_regained: now,
            from_others_regained: now,
            is_felt: false,
            calls_felt: false,
        }
    }

    /// Charges the principal for the time for which the child was paused for it.
    fn charge(&mut self, waited: Duration, now: Instant, others_wait: bool) {
        if self.calls_felt {
            self.calls_regained = self.calls_regained.max(now) + waited * REGAIN;
        }
        if self.is_felt && others_wait {
            self.from_others_regained = self.from_others_regained.max(now) + waited * REGAIN_MOMENT;
        }
    }

    fn is_empty(&self) -> bool {
        self.hearers.is_empty() && self.calls.is_empty()
    }

    /// Whether there is nothing to be known of the principal.
    fn is_over(&self, now: Instant) -> bool {
        let is_regained = self.calls_regained <= now && self.from_others_regained <= now;
        self.is_empty() && !self.has_turn && is_regained
    }
}

impl Pressure {
    /// Looks at a sink that was given a message.
    pub(super) fn look_at(
        &mut self,
        sink: &Arc<dyn Sink>,
        kind: StreamKind,
        principal: PrincipalId,
        now: Instant,
    ) {
        let fullness = sink.fullness();
        let address = StreamAddress::of(sink);
        if fullness <= CAUGHT_UP && !self.behind.is_empty() {
            self.behind.remove(&address);
        }
        if fullness <= BEHIND || self.behind.contains_key(&address) {
            return;
        }
        let behind = Behind {
            sink: Arc::downgrade(sink),
            since: now,
        };
        self.behind.insert(address, behind);
        let group = self.groups.entry(principal);
        let group = group.or_insert_with(|| Group::new(now));
        let queue = match kind {
            StreamKind::Hearer => &mut group.hearers,
            StreamKind::Call => &mut group.calls,
        };
        queue.push_back((address, now));
        self.sweep();
    }

    /// Nobody is behind.
    pub(super) fn is_empty(&self) -> bool {
        self.behind.is_empty()
    }

    /// Whether anybody is to be waited for. `others_wait` tells whether anybody but a principal waits for the child,
    /// and `waited` how long the child was paused since this was asked last: that is charged also where the last
    /// stream has caught up meanwhile.
    pub(super) fn is_felt(
        &mut self,
        waited: Duration,
        now: Instant,
        others_wait: impl Fn(PrincipalId) -> bool,
    ) -> bool {
        self.check_overdue();
        let behind = &mut self.behind;
        let mut felt = false;
        for (principal, group) in &mut self.groups {
            // Not asked for one that has nothing more than something to regain.
            let others_wait = (group.is_felt || !group.is_empty()) && others_wait(*principal);
            group.charge(waited, now, others_wait);
            let is_patient = |since: Instant| now < since + PATIENCE;
            while let Some((_, since)) = first_behind(&mut group.hearers, behind)
                && !is_patient(since)
            {
                group.overdue.extend(group.hearers.pop_front());
            }
            if !group.overdue.is_empty() && !group.has_turn {
                group.has_turn = true;
                self.overdue.push_back(*principal);
            }
            let hearers_felt = !group.hearers.is_empty();
            let calls_felt = first_behind(&mut group.calls, behind).is_some()
                && group.calls_regained < now + ALLOWANCE * REGAIN;
            let may_pause =
                !others_wait || group.from_others_regained < now + MOMENT * REGAIN_MOMENT;
            group.calls_felt = calls_felt && may_pause;
            group.is_felt = (hearers_felt || calls_felt) && may_pause;
            felt |= group.is_felt;
        }
        self.groups.retain(|_, group| !group.is_over(now));
        felt
    }

    /// Takes streams that have caught up out of those without patience, a few at a time, of each principal in turn.
    fn check_overdue(&mut self) {
        for _ in 0..OVERDUE_CHECKS {
            let Some(principal) = self.overdue.pop_front() else {
                return;
            };
            let Some(group) = self.groups.get_mut(&principal) else {
                continue;
            };
            let first = first_behind(&mut group.overdue, &mut self.behind);
            group.has_turn = first.is_some();
            if let Some(place) = first {
                group.overdue.pop_front();
                group.overdue.push_back(place);
                self.overdue.push_back(principal);
            }
        }
    }

    /// Takes out what is kept of streams that are gone or have caught up, once for as many as are there.
    fn sweep(&mut self) {
        let places = |group: &Group| group.hearers.len() + group.calls.len() + group.overdue.len();
        let queued: usize = self.groups.values().map(places).sum();
        if self.behind.len() + queued <= self.sweep_at.max(MIN_SWEEP) {
            return;
        }
        let behind = &mut self.behind;
        behind.retain(|_, stream| !stream.has_caught_up());
        let is_valid = |place: &Place| is_valid(behind, place);
        let mut left = behind.len();
        for group in self.groups.values_mut() {
            group.hearers.retain(is_valid);
            group.calls.retain(is_valid);
            group.overdue.retain(is_valid);
            left += places(group);
        }
        self.sweep_at = 2 * left;
    }
}

/// The first stream of a queue that is still behind; those before it are taken out.
fn first_behind(
    queue: &mut VecDeque<Place>,
    behind: &mut FxHashMap<StreamAddress, Behind>,
) -> Option<Place> {
    while let Some(place) = queue.front().copied() {
        if is_valid(behind, &place) {
            if !behind.get(&place.0).is_none_or(Behind::has_caught_up) {
                return Some(place);
            }
            behind.remove(&place.0);
        }
        queue.pop_front();
    }
    None
}

fn is_valid(behind: &FxHashMap<StreamAddress, Behind>, (address, since): &Place) -> bool {
    behind
        .get(address)
        .is_some_and(|stream| stream.since == *since)
}
