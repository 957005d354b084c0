//! The frames that wait to be written to one server: bounded, and served fairly among their owners.
//!
//! Each owner has a lane, which keeps the order of its frames. Of the lanes whose next frame can be written the
//! one that was served the fewest bytes is next (start-time fair queueing: P. Goyal et al., SIGCOMM 1996), so two
//! owners that both wait are served the same, give or take one frame each, whatever the sizes and numbers of
//! their frames. An owner that had nothing to send earns nothing by that.
//!
//! Frames of the server's own lane (handshake, probe, refusals) go before all others, and are few.

use std::collections::VecDeque;

use super::frame::{Frame, FrameClass, Owner};

/// Control frames of one owner (cancellations, answers to the server) that may wait, and their bytes.
pub(super) const MAX_CONTROL: usize = 1024;
const MAX_CONTROL_BYTES: usize = 8 * 1024 * 1024;
/// Lanes that are kept although they are empty, because their owners are likely to come back.
const KEPT_LANES: usize = 32;

/// Bounds of what waits, for all owners together or for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueUsage {
    pub(super) frames: usize,
    pub(super) bytes: usize,
}

/// What may be written now.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteTerms {
    /// Frames other than control frames may be written.
    pub(super) open: bool,
    /// One more request may be in flight.
    pub(super) free: bool,
    /// Requests of one owner that may be in flight.
    pub(super) per_owner: usize,
    /// No exclusive request is at the server.
    pub(super) turn: bool,
}

/// What waits for one server.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    /// Frames of the server's own.
    server: VecDeque<Frame>,
    server_bytes: usize,
    /// One for each owner that has something to do with the server, and some that had.
    lanes: Vec<OwnerLane>,
    /// Where the lane stood that was served last.
    clock: u64,
    /// Ordered and exclusive frames in all lanes.
    waiting: QueueUsage,
}

#[derive(Debug)]
struct OwnerLane {
    owner: Owner,
    control: VecDeque<Frame>,
    ordered: VecDeque<Frame>,
    exclusive: VecDeque<Frame>,
    control_bytes: usize,
    /// Bytes of the ordered and exclusive frames.
    bytes: usize,
    /// Its requests in flight.
    in_flight: usize,
    /// What it was served, on the clock that all lanes share.
    served: u64,
    /// It could be served when the lanes were last compared.
    backlogged: bool,
}

impl OwnerLane {
    fn new(owner: Owner) -> Self {
        Self {
            owner,
            control: VecDeque::new(),
            ordered: VecDeque::new(),
            exclusive: VecDeque::new(),
            control_bytes: 0,
            bytes: 0,
            in_flight: 0,
            served: 0,
            backlogged: false,
        }
    }

    fn frames(&self) -> usize {
        self.ordered.len() + self.exclusive.len()
    }

    fn is_unused(&self) -> bool {
        self.frames() == 0 && self.control.is_empty() && self.in_flight == 0
    }

    /// The class of the frame that can be written next.
    fn next_class(&self, terms: &WriteTerms) -> Option<FrameClass> {
        if !self.control.is_empty() {
            return Some(FrameClass::Control);
        }
        if !terms.open {
            return None;
        }
        let free = terms.free && self.in_flight < terms.per_owner;
        if let Some(next) = self.ordered.front()
            && (free || !next.counted)
        {
            return Some(FrameClass::Ordered);
        }
        (free && terms.turn && !self.exclusive.is_empty()).then_some(FrameClass::Exclusive)
    }

    fn part(&mut self, class: FrameClass) -> &mut VecDeque<Frame> {
        match class {
            FrameClass::Control => &mut self.control,
            FrameClass::Ordered => &mut self.ordered,
            FrameClass::Exclusive => &mut self.exclusive,
        }
    }

    fn has_room_for_control(&self, len: usize) -> bool {
        has_room_for_control(self.control.len(), self.control_bytes, len)
    }
}

/// One frame alone always fits.
fn has_room_for_control(frames: usize, bytes: usize, len: usize) -> bool {
    frames == 0 || (frames < MAX_CONTROL && bytes.saturating_add(len) <= MAX_CONTROL_BYTES)
}

impl FairQueue {
    /// Ordered and exclusive frames that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.frames
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.frames == 0
    }

    /// Ordered and exclusive frames of one owner that wait, its requests in flight, and the bytes of these frames.
    pub(super) fn usage(&self, owner: Owner) -> (QueueUsage, usize) {
        let lane = self.lanes.iter().find(|lane| lane.owner == owner);
        lane.map_or((QueueUsage::default(), 0), |lane| {
            let room = QueueUsage {
                frames: lane.frames(),
                bytes: lane.bytes,
            };
            (room, lane.in_flight)
        })
    }

    /// Whether an exclusive frame waits.
    pub(super) fn has_exclusive(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.exclusive.is_empty())
    }

    /// Whether any owner but this one and the server itself has a request in flight or a frame that waits.
    pub(super) fn is_used_beside(&self, owner: Owner) -> bool {
        let mut others = self.lanes.iter().filter(|lane| lane.owner != owner);
        others.any(|lane| !lane.is_unused())
    }

    /// Bytes of the ordered and exclusive frames that wait.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.bytes
    }

    fn lane(&mut self, owner: Owner) -> Option<&mut OwnerLane> {
        self.lanes.iter_mut().find(|lane| lane.owner == owner)
    }

    fn lane_or_new(&mut self, owner: Owner) -> Option<&mut OwnerLane> {
        let at = self.lanes.iter().position(|lane| lane.owner == owner);
        if at.is_none() {
            if self.lanes.len() >= KEPT_LANES {
                self.lanes.retain(|lane| !lane.is_unused());
            }
            self.lanes.push(OwnerLane::new(owner));
        }
        match at {
            Some(at) => self.lanes.get_mut(at),
            None => self.lanes.last_mut(),
        }
    }

    /// Adds a frame behind those of its owner. Control frames have a bound of their own: `false` where it is reached
    /// and the frame was dropped. The bounds of the others are checked where they are let in.
    pub(super) fn push(&mut self, frame: Frame) -> bool {
        let len = frame.bytes.len();
        if frame.owner == Owner::Server {
            let room = has_room_for_control(self.server.len(), self.server_bytes, len);
            // A request of the server's own is one of a handful, and has an entry that waits for its answer.
            if room || frame.id.is_some() {
                self.server_bytes += len;
                self.server.push_back(frame);
                return true;
            }
            return false;
        }
        let Some(lane) = self.lane_or_new(frame.owner) else {
            return false;
        };
        if frame.class == FrameClass::Control {
            if !lane.has_room_for_control(len) {
                return false;
            }
            lane.control_bytes += len;
            lane.control.push_back(frame);
            return true;
        }
        lane.bytes += len;
        lane.part(frame.class).push_back(frame);
        self.waiting.frames += 1;
        self.waiting.bytes += len;
        true
    }

    /// Puts a frame back that was taken, before the others of its owner.
    pub(super) fn push_front(&mut self, frame: Frame) {
        let len = frame.bytes.len();
        let Some(lane) = self.lane_or_new(frame.owner) else {
            return;
        };
        lane.bytes += len;
        lane.part(frame.class).push_front(frame);
        self.waiting.frames += 1;
        self.waiting.bytes += len;
    }

    /// Takes the frame that is next, if one can be written and fits.
    pub(super) fn pop(
        &mut self,
        terms: &WriteTerms,
        fits: impl Fn(&mut Frame) -> bool,
    ) -> Option<Frame> {
        if !self.server.is_empty() {
            let frame = self.server.pop_front_if(fits)?;
            self.server_bytes -= frame.bytes.len();
            return Some(frame);
        }
        let (at, class) = self.pick(terms)?;
        let lane = self.lanes.get_mut(at)?;
        let frame = lane.part(class).pop_front_if(fits)?;
        let len = frame.bytes.len();
        self.clock = lane.served;
        lane.served += frame.cost();
        if class == FrameClass::Control {
            lane.control_bytes -= len;
        } else {
            lane.bytes -= len;
            self.waiting.frames -= 1;
            self.waiting.bytes -= len;
        }
        Some(frame)
    }

    /// The lane that is next, and the part of it.
    fn pick(&mut self, terms: &WriteTerms) -> Option<(usize, FrameClass)> {
        if let [only] = self.lanes.as_slice() {
            return only.next_class(terms).map(|class| (0, class));
        }
        let mut next: Option<(usize, FrameClass, u64)> = None;
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let Some(class) = lane.next_class(terms) else {
                lane.backlogged = false;
                continue;
            };
            if !lane.backlogged {
                lane.backlogged = true;
                lane.served = lane.served.max(self.clock);
            }
            if next.is_none_or(|(_, _, served)| lane.served < served) {
                next = Some((at, class, lane.served));
            }
        }
        next.map(|(at, class, _)| (at, class))
    }

    /// A request of this owner was written.
    pub(super) fn written(&mut self, owner: Owner) {
        if let Some(lane) = self.lane_or_new(owner) {
            lane.in_flight += 1;
        }
    }

    /// A request of this owner is in flight no more.
    pub(super) fn landed(&mut self, owner: Owner) {
        if let Some(lane) = self.lane(owner) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
    }

    /// Takes out the frame of a request that is not to be written any more.
    pub(super) fn remove(&mut self, owner: Owner, class: FrameClass, id: u64) {
        if owner == Owner::Server {
            remove(&mut self.server, id, &mut self.server_bytes);
            return;
        }
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.owner == owner) else {
            return;
        };
        let mut bytes = lane.bytes;
        if remove(lane.part(class), id, &mut bytes) {
            self.waiting.frames -= 1;
            self.waiting.bytes -= lane.bytes - bytes;
            lane.bytes = bytes;
        }
    }

    /// Drops what is meant for the life of the server that is over.
    pub(super) fn drop_own(&mut self) {
        self.server.clear();
        self.server_bytes = 0;
        for lane in &mut self.lanes {
            lane.control.clear();
            lane.control_bytes = 0;
        }
        self.retain(|frame| !frame.own);
    }

    /// Drops every ordered and exclusive frame.
    pub(super) fn drop_waiting(&mut self) {
        self.retain(|_| false);
    }

    fn retain(&mut self, keep: impl Fn(&Frame) -> bool) {
        self.waiting = QueueUsage::default();
        for lane in &mut self.lanes {
            lane.ordered.retain(&keep);
            lane.exclusive.retain(&keep);
            let frames = lane.ordered.iter().chain(&lane.exclusive);
            lane.bytes = frames.map(|frame| frame.bytes.len()).sum();
            self.waiting.frames += lane.frames();
            self.waiting.bytes += lane.bytes;
        }
    }
}

/// `false` where the frame is not there.
fn remove(frames: &mut VecDeque<Frame>, id: u64, bytes: &mut usize) -> bool {
    let at = frames.iter().position(|frame| frame.id == Some(id));
    let frame = at.and_then(|at| frames.remove(at));
    *bytes -= frame.as_ref().map_or(0, |frame| frame.bytes.len());
    frame.is_some()
}
