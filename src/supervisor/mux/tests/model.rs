//! Any sequence of deeds, against a model that is slow and plain.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Deed {
    Submit,
    SubmitOwn,
    Take,
    /// The writer ends after so many frames of its last batch.
    PutBack(usize),
    Answer(usize),
    AnswerAgain(usize),
    Cancel(usize),
    Abandon(usize),
    Wait(u64),
    /// The present life is lost and the next begins.
    Lose,
    Gate(Gate),
    GiveUp,
}

fn deed() -> impl Strategy<Value = Deed> {
    let gates = vec![
        Gate::Open,
        Gate::Open,
        Gate::Hold(700 * MS),
        Gate::Asleep(900 * MS),
        Gate::Stopped,
        Gate::Failed,
        Gate::ShuttingDown,
    ];
    let which = 0usize..20;
    prop_oneof![
        8 => Just(Deed::Submit),
        1 => Just(Deed::SubmitOwn),
        6 => Just(Deed::Take),
        1 => (0usize..5).prop_map(Deed::PutBack),
        5 => which.clone().prop_map(Deed::Answer),
        1 => which.clone().prop_map(Deed::AnswerAgain),
        2 => which.clone().prop_map(Deed::Cancel),
        1 => which.prop_map(Deed::Abandon),
        2 => (1u64..1500).prop_map(Deed::Wait),
        1 => Just(Deed::Lose),
        3 => prop::sample::select(gates).prop_map(Deed::Gate),
        1 => Just(Deed::GiveUp),
    ]
}

/// One request as the model sees it; `outcome` is gone when the request has left.
#[derive(Debug)]
struct Request {
    own: bool,
    written: Option<Incarnation>,
    deadline: Instant,
    outcome: oneshot::Receiver<Outcome>,
}

/// What a road's end must look like.
type Expected = (FaultKind, Delivered);

struct Model {
    mux: Mux,
    gate: Gate,
    life: Incarnation,
    open: BTreeMap<u64, Request>,
    left: Vec<u64>,
    /// Frames whose bytes went to a child, which nothing may repeat.
    sent: HashSet<u64>,
    batch: Vec<Frame>,
    /// Requests that the child must be told of.
    withdrawn: HashSet<u64>,
}

impl Model {
    fn new() -> Self {
        Self {
            mux: mux(Gate::Open),
            gate: Gate::Open,
            life: FIRST,
            open: BTreeMap::new(),
            left: Vec::new(),
            sent: HashSet::new(),
            batch: Vec::new(),
            withdrawn: HashSet::new(),
        }
    }

    fn refusal(&self) -> Option<FaultKind> {
        match self.gate {
            Gate::Open | Gate::Hold(_) | Gate::Asleep(_) => None,
            Gate::Stopped => Some(FaultKind::ServerStopped),
            Gate::Failed => Some(FaultKind::ServerFailed),
            Gate::ShuttingDown => Some(FaultKind::ShuttingDown),
        }
    }

    fn queued(&self) -> usize {
        let waits = |request: &&Request| !request.own && request.written.is_none();
        self.open.values().filter(waits).count()
    }

    fn in_flight(&self) -> usize {
        let written = |request: &&Request| !request.own && request.written.is_some();
        self.open.values().filter(written).count()
    }

    fn pick(&self, at: usize) -> Option<u64> {
        let count = self.open.len();
        self.open.keys().nth(at % count.max(1)).copied()
    }

    /// Each picked request has left, with this fault.
    fn ended(
        &mut self,
        which: impl Fn(&Request) -> bool,
        expected: impl Fn(&Request) -> Expected,
    ) -> usize {
        let ids: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, request)| which(request))
            .map(|(&id, _)| id)
            .collect();
        for id in &ids {
            let mut request = self.open.remove(id).unwrap();
            let (kind, delivered) = expected(&request);
            assert_fault(&mut request.outcome, kind, delivered);
            self.left.push(*id);
        }
        ids.len()
    }

    fn submit(&mut self, own: bool) {
        let config = self.mux.table().config;
        let id = self.mux.mint();
        let whose = (!own).then(|| origin(1, &id.to_string()));
        // What can be written at once does not wait.
        let free = config.max_in_flight - self.in_flight();
        let room = config.max_queue + usize::from(self.gate == Gate::Open) * free;
        let refused = self
            .refusal()
            .or_else(|| (self.queued() >= room).then_some(FaultKind::ServerBusy));
        let patience = match self.gate {
            Gate::Hold(patience) | Gate::Asleep(patience) if !own => patience,
            _ => config.timeout,
        };
        match self.mux.submit(id, frame_of(id), from(whose)) {
            Ok(outcome) => {
                assert!(own || refused.is_none(), "let in despite {refused:?}");
                let deadline = Instant::now() + patience;
                let written = None;
                let request = Request {
                    own,
                    written,
                    deadline,
                    outcome,
                };
                assert!(self.open.insert(id, request).is_none(), "an id used twice");
            }
            Err(fault) => {
                assert_eq!(
                    (Some(fault.kind), fault.delivered),
                    (refused, Some(Delivered::No))
                );
                assert!(!own);
            }
        }
    }

    fn take(&mut self) {
        self.sent
            .extend(self.batch.drain(..).filter_map(|frame| frame.id));
        self.batch = take(&self.mux, self.life);
        for frame in &self.batch {
            let Some(id) = frame.id else {
                let text = std::str::from_utf8(&frame.bytes).unwrap();
                let told = self
                    .withdrawn
                    .iter()
                    .find(|id| text.contains(&format!("\"requestId\":{id},")));
                let told =
                    *told.unwrap_or_else(|| panic!("{text} tells of nothing that was written"));
                self.withdrawn.remove(&told);
                continue;
            };
            assert!(!self.sent.contains(&id), "request {id} was written twice");
            let request = self
                .open
                .get_mut(&id)
                .expect("a request that has left is not written");
            assert_eq!(request.written, None);
            assert!(
                request.own || self.gate == Gate::Open,
                "written through {:?}",
                self.gate
            );
            request.written = Some(self.life);
            request.deadline = Instant::now() + self.mux.table().config.timeout;
        }
        assert!(self.in_flight() <= self.mux.table().config.max_in_flight);
    }

    fn put_back(&mut self, written: usize) {
        let unwritten = self.batch.split_off(written.min(self.batch.len()));
        let ids: Vec<u64> = unwritten.iter().filter_map(|frame| frame.id).collect();
        // A writer puts back where its life ends, and that ends cancellations too.
        self.withdrawn.clear();
        self.mux.put_back(unwritten);
        for id in ids {
            if let Some(request) = self.open.get_mut(&id).filter(|request| !request.own) {
                request.written = None;
            }
        }
        self.refused_behind_the_gate();
        self.lose();
    }

    fn refused_behind_the_gate(&mut self) {
        if let Some(kind) = self.refusal() {
            self.ended(
                |request| !request.own && request.written.is_none(),
                |_| (kind, Delivered::No),
            );
        }
    }

    fn lose(&mut self) {
        let life = self.life;
        assert!(self.mux.lose(life));
        self.ended(
            |request| request.own || request.written == Some(life),
            |_| (FaultKind::ServerLost, Delivered::Unknown),
        );
        self.withdrawn.clear();
        self.life = life.next();
        self.mux.begin(self.life);
    }

    fn cancel(&mut self, id: u64) {
        let request = &self.open[&id];
        let (own, written) = (request.own, request.written.is_some());
        let found = self.mux.cancel(&origin(1, &id.to_string()), None);
        assert_eq!(found, !own);
        if found {
            let delivered = self.withdraw(id, written);
            let mut request = self.open.remove(&id).unwrap();
            assert_fault(&mut request.outcome, FaultKind::RequestCancelled, delivered);
            self.left.push(id);
        }
    }

    fn withdraw(&mut self, id: u64, written: bool) -> Delivered {
        if written {
            self.withdrawn.insert(id);
            Delivered::Unknown
        } else {
            Delivered::No
        }
    }

    fn wait(&mut self) {
        let now = Instant::now();
        let gate = self.gate;
        let expired = self.mux.expire(now, None);
        let late: Vec<_> = self
            .open
            .iter()
            .filter(|(_, request)| request.deadline <= now)
            .map(|(&id, request)| (id, request.own, request.written.is_some()))
            .collect();
        for &(id, _, written) in &late {
            self.withdraw(id, written);
        }
        self.ended(
            |request| request.deadline <= now,
            |request| match (request.written, gate) {
                (Some(_), _) => (FaultKind::ServerTimeout, Delivered::Unknown),
                (None, Gate::Open) => (FaultKind::ServerBusy, Delivered::No),
                (None, _) => (FaultKind::ServerStarting, Delivered::No),
            },
        );
        assert_eq!(expired, late.iter().filter(|(_, own, _)| !own).count());
    }

    fn set_gate(&mut self, gate: Gate) {
        self.mux.set_gate(gate);
        self.gate = gate;
        if gate == Gate::Open {
            let deadline = Instant::now() + self.mux.table().config.timeout;
            let waiting = |request: &&mut Request| request.written.is_none();
            for request in self.open.values_mut().filter(waiting) {
                request.deadline = deadline;
            }
        }
        self.refused_behind_the_gate();
    }

    fn give_up(&mut self) {
        self.mux.give_up();
        let written = self
            .open
            .iter()
            .filter(|(_, request)| request.written.is_some());
        self.withdrawn.extend(written.map(|(&id, _)| id));
        self.ended(
            |_| true,
            |request| {
                let delivered = if request.written.is_some() {
                    Delivered::Unknown
                } else {
                    Delivered::No
                };
                (FaultKind::ShuttingDown, delivered)
            },
        );
    }

    async fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Submit => self.submit(false),
            Deed::SubmitOwn => self.submit(true),
            Deed::Take => self.take(),
            Deed::PutBack(written) => self.put_back(written),
            Deed::Answer(at) => {
                let Some(id) = self.pick(at) else { return };
                let written = self.open[&id].written.is_some();
                assert_eq!(self.mux.answer(id, Ok(answer_to(id))), written);
                if written {
                    let mut request = self.open.remove(&id).unwrap();
                    assert_eq!(request.outcome.try_recv(), Ok(Ok(answer_to(id))));
                    self.left.push(id);
                }
            }
            Deed::AnswerAgain(at) => {
                let Some(&id) = self.left.get(at) else { return };
                assert!(!self.mux.answer(id, Ok(answer_to(id))));
                assert_eq!(self.mux.unexpected(id), DropReason::LateReply);
            }
            Deed::Cancel(at) => {
                if let Some(id) = self.pick(at) {
                    self.cancel(id);
                }
            }
            Deed::Abandon(at) => {
                let Some(id) = self.pick(at) else { return };
                let request = self.open.remove(&id).unwrap();
                self.withdraw(id, request.written.is_some());
                self.mux.abandon(id);
                self.left.push(id);
            }
            Deed::Wait(ms) => {
                advance(Duration::from_millis(ms)).await;
                self.wait();
            }
            Deed::Lose => self.lose(),
            Deed::Gate(gate) => self.set_gate(gate),
            Deed::GiveUp => self.give_up(),
        }
        let load = Load {
            in_flight: self.in_flight(),
            queued: self.queued(),
        };
        assert_eq!(self.mux.load(), load);
        for (id, request) in &mut self.open {
            let outcome = request.outcome.try_recv();
            assert_eq!(
                outcome,
                Err(oneshot::error::TryRecvError::Empty),
                "request {id}"
            );
        }
    }
}

proptest! {
    #[test]
    fn each_request_leaves_by_one_road(deeds in prop::collection::vec(deed(), 0..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            for deed in deeds {
                model.perform(deed).await;
            }
            model.give_up();
            assert_eq!(model.mux.load(), Load::default());
            assert!(model.mux.is_idle());
        });
    }
}
