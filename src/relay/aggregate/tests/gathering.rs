//! Lists of servers that answer, do not, or cannot.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::instruments::Instruments;
use crate::memory_budget::MemoryBudget;
use crate::protocol::Era;
use crate::relay::ClientFeatures;
use crate::relay::aggregate::Kind;
use crate::relay::aggregate::ask::Asker;
use crate::relay::aggregate::cursor::{More, PageTrail, parse};
use crate::relay::aggregate::gather::{PATIENCE, handshake, list};
use crate::relay::aggregate::last_lists::{Gap, Shown};
use crate::relay::tests::listening::{changed, queue, waiting};
use crate::relay::upstream::{Parts, Upstream};
use crate::supervisor::fixture::{Heard, Unattended};
use crate::supervisor::{Handshake, Listener, State};
use crate::types::{Incarnation, Principal, PrincipalId};

/// One server that the test plays.
struct Child {
    played: Unattended,
    server: Arc<Upstream>,
    tasks: TaskTracker,
}

impl Child {
    fn new(capabilities: &str) -> Self {
        Self::of(Unattended::ready(shaken(capabilities)))
    }

    fn of(child: Unattended) -> Self {
        let instruments = Instruments::noop().for_server(child.handle.id());
        let parts = Parts::new(
            child.handle.id(),
            instruments,
            ClientFeatures::Attribute,
            crate::relay::instances::InstanceKey::Shared,
            CancellationToken::new(),
        );
        let server = Arc::new(parts.attach(child.handle.clone()));
        Self {
            played: child,
            server,
            tasks: TaskTracker::new(),
        }
    }

    /// The list, and how long it was waited for.
    async fn list(&self, more: Option<&[More<'_>]>) -> (Value, Duration) {
        self.list_for(1, Kind::Tools, more).await
    }

    /// The list of a kind for a principal, and how long it was waited for.
    async fn list_for(
        &self,
        principal: u32,
        kind: Kind,
        more: Option<&[More<'_>]>,
    ) -> (Value, Duration) {
        let asker = Asker {
            tasks: &self.tasks,
            memory: &MemoryBudget::new(usize::MAX),
            principal: Arc::new(Principal {
                id: PrincipalId(principal),
                fingerprint: crate::types::TokenFingerprint::default(),
                name: "someone".into(),
                admin: false,
                servers: None,
            }),
            session: None,
            quota: None,
            client_id: Bytes::from_static(b"7"),
        };
        let asked = Instant::now();
        let servers = [&self.server];
        let list = list(&asker, kind, &servers, more, Era::Modern).await;
        (serde_json::from_str(&list).unwrap(), asked.elapsed())
    }

    /// The tools that are listed while the server answers the requests that it reads with this.
    async fn answered(&self, rest: &str) -> Vec<String> {
        let ((list, _), _) = tokio::join!(biased; self.list(None), self.answer(rest));
        names(&list)
    }

    /// Answers every request that can be read by now; gives their params.
    async fn answer(&self, rest: &str) -> Vec<Value> {
        let mut params = Vec::new();
        for line in self.played.read() {
            let request: Value = serde_json::from_str(&line).unwrap();
            let listener: Arc<dyn Listener> = Arc::new(Heard::default());
            let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},{rest}}}\n", request["id"]);
            self.played.write(&listener, &answer).await;
            params.push(request["params"].clone());
        }
        params
    }

    fn gap(&self) -> Option<Shown> {
        let gaps: Vec<Gap> = self.server.last_lists.gaps();
        gaps.first().map(|gap| gap.shown)
    }
}

fn shaken(capabilities: &str) -> Handshake {
    Handshake {
        era: Era::Legacy,
        revision: "2025-11-25".to_owned(),
        capabilities: capabilities.into(),
        server_info: "{}".into(),
        instructions: None,
    }
}

fn names(list: &Value) -> Vec<String> {
    let tools = list["tools"].as_array().unwrap();
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// `hold_ms` of a server that the test plays.
const HOLD: Duration = Duration::from_secs(1);
const ONE: &str = r#""result":{"tools":[{"name":"one"}],"ttlMs":9}"#;
const TWO: &str = r#""result":{"tools":[{"name":"two"}]}"#;

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_is_shown_as_it_answers() {
    let child = Child::new(r#"{"tools":{}}"#);
    assert_eq!(child.answered(ONE).await, ["test__one"]);
    assert_eq!(child.answered(TWO).await, ["test__two"]);
    assert_eq!(child.gap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_waited_for_once_and_shown_as_it_last_was() {
    let child = Child::new(r#"{"tools":{}}"#);
    child.answered(ONE).await;
    let (list, took) = child.list(None).await;
    assert_eq!(
        (names(&list), took),
        (vec!["test__one".to_owned()], PATIENCE)
    );
    assert_eq!(list["ttlMs"], 0, "it is not of now");
    assert_eq!(child.gap(), Some(Shown::LastKnown));
    let (list, took) = child.list(None).await;
    assert_eq!((names(&list).len(), took), (1, Duration::ZERO));
    // The answer that comes at last is kept, and the server is asked again.
    child.answer(TWO).await;
    child.tasks.close();
    child.tasks.wait().await;
    let (list, took) = child.list(None).await;
    assert_eq!(
        (names(&list), took),
        (vec!["test__two".to_owned()], PATIENCE)
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_of_which_nothing_is_known_is_left_out() {
    let child = Child::new(r#"{"tools":{}}"#);
    let (list, took) = child.list(None).await;
    assert_eq!((names(&list).len(), took), (0, PATIENCE));
    assert_eq!(child.gap(), Some(Shown::Nothing));
}

/// The client has a list that lacks this server's tools, and no other reason to ask again.
#[tokio::test(start_paused = true)]
async fn a_list_that_was_left_out_is_announced_when_it_comes() {
    let capabilities = r#"{"tools":{},"prompts":{}}"#;
    let child = Child::new(capabilities);
    let hub = &child.server.hub;
    hub.handshake_completed(Incarnation(1), &shaken(capabilities));
    hub.ready(Incarnation(1));
    let queues = [queue(), queue()];
    let [one, other] = [1, 2].map(PrincipalId);
    let _ear = hub.join(one, Arc::clone(&queues[0]) as _);
    let _other = hub.join(other, Arc::clone(&queues[1]) as _);
    let told = || [waiting(&queues[0]), waiting(&queues[1])];
    let nothing: [Vec<String>; 2] = [vec![], vec![]];
    let late_answer = async |rest: &str| {
        child.answer(rest).await;
        child.tasks.close();
        child.tasks.wait().await;
    };
    child.list(None).await;
    assert_eq!(child.gap(), Some(Shown::Nothing));
    let (_, took) = child.list_for(1, Kind::Prompts, None).await;
    assert_eq!(
        took,
        Duration::ZERO,
        "another list is not waited for either"
    );
    assert_eq!(told(), nothing);
    late_answer(ONE).await;
    let both = vec![changed("tools"), changed("prompts")];
    assert_eq!(told(), [both, vec![]], "and nobody who had not asked");
    // One that comes late where the last known one was shown is announced by the server, if it is another at all.
    child.list(None).await;
    assert_eq!(child.gap(), Some(Shown::LastKnown));
    late_answer(TWO).await;
    assert_eq!(told(), nothing);
    // Asked for again, this one would be left out again.
    child.list_for(1, Kind::Prompts, None).await;
    late_answer(r#""result":{"no":"list"}"#).await;
    assert_eq!(told(), nothing);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_answer_now_is_not_waited_for() {
    for state in [State::Backoff, State::Failed, State::Stopping] {
        let child = Child::new(r#"{"tools":{}}"#);
        child.played.set_state(state);
        let (list, took) = child.list(None).await;
        assert_eq!((names(&list).len(), took), (0, Duration::ZERO));
        assert_eq!(child.gap(), Some(Shown::Nothing));
        child.played.set_state(State::Ready);
        child.answered(ONE).await;
        assert_eq!(child.gap(), None);
        child.played.set_state(state);
        let (list, took) = child.list(None).await;
        assert_eq!((names(&list).len(), took), (1, Duration::ZERO));
        assert_eq!(child.gap(), Some(Shown::LastKnown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_missed_a_probe_is_asked_only_where_nothing_is_known() {
    let child = Child::new(r#"{"tools":{}}"#);
    child.played.set_state(State::Unhealthy);
    assert_eq!(child.answered(ONE).await, ["test__one"]);
    let (list, took) = child.list(None).await;
    assert_eq!((names(&list).len(), took), (1, Duration::ZERO));
    assert_eq!(child.gap(), Some(Shown::LastKnown));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_such_a_list_is_no_gap() {
    let child = Child::new(r#"{"prompts":{}}"#);
    let (list, _) = child.list(None).await;
    assert_eq!((names(&list).len(), child.gap()), (0, None));
    assert_eq!(
        child.played.read(),
        Vec::<String>::new(),
        "it is not even asked"
    );
    let child = Child::new(r#"{"tools":{}}"#);
    let error = r#""error":{"code":-32601,"message":"no"}"#;
    assert_eq!((child.answered(error).await.len(), child.gap()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_list_is_a_gap() {
    for rest in [
        r#""error":{"code":-32000,"message":"no"}"#,
        r#""result":{}"#,
        r#""result":{"tools":[{"title":"no name"}]}"#,
        r#""result":{"resultType":"input_required","inputRequests":{}}"#,
    ] {
        let child = Child::new(r#"{"tools":{}}"#);
        assert_eq!(child.answered(rest).await.len(), 0);
        assert_eq!(child.gap(), Some(Shown::Nothing), "{rest}");
        child.answered(ONE).await;
        assert_eq!(child.answered(rest).await, ["test__one"]);
        assert_eq!(child.gap(), Some(Shown::LastKnown), "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_asked_for_where_the_last_one_ended() {
    let child = Child::new(r#"{"tools":{}}"#);
    let server = id("test");
    let more = [More {
        server: &server,
        cursor: String::new(),
        trail: PageTrail::default(),
    }];
    let (_, params) = tokio::join!(biased; child.list(Some(&more)), child.answer(ONE));
    assert_eq!(params, [json!({"cursor": ""})]);
    let (list, _) = child.list(Some(&[])).await;
    assert_eq!(names(&list).len(), 0);
    assert_eq!(child.played.read(), Vec::<String>::new(), "it has no more");
}

/// RD09: the part of a server whose cursors go in a circle ends, and that is noted until its list has an end again.
#[tokio::test(start_paused = true)]
async fn a_list_that_goes_in_a_circle_ends_and_is_a_gap() {
    const TO_A: &str = r#""result":{"tools":[{"name":"one"}],"nextCursor":"a"}"#;
    const TO_B: &str = r#""result":{"tools":[{"name":"one"}],"nextCursor":"b"}"#;
    let server = id("test");
    let reach = [&server];
    let child = Child::new(r#"{"tools":{}}"#);
    // A cursor that never moves, and a circle of two.
    for (answers, pages) in [(&[TO_A, TO_A][..], 2), (&[TO_A, TO_B, TO_A], 3)] {
        let mut cursor: Option<String> = None;
        let mut read = 0;
        for answer in answers {
            let more = cursor.as_ref();
            let more = more.map(|cursor| parse(Kind::Tools, cursor, Reach(&reach)).unwrap());
            let ((list, _), _) =
                tokio::join!(biased; child.list(more.as_deref()), child.answer(answer));
            assert_eq!(names(&list), ["test__one"]);
            read += 1;
            cursor = list["nextCursor"].as_str().map(str::to_owned);
        }
        assert_eq!((read, cursor), (pages, None));
        assert_eq!(child.gap(), Some(Shown::Beginning));
        // The first page says nothing of the end.
        child.answered(TO_A).await;
        assert_eq!(child.gap(), Some(Shown::Beginning));
    }
    child.answered(ONE).await;
    assert_eq!(child.gap(), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_has_said_of_itself_is_not_waited_for() {
    let child = Child::new(r#"{"tools":{}}"#);
    child.played.set_state(State::Failed);
    let known = handshake(&child.server).await.unwrap();
    assert_eq!(&*known.capabilities, r#"{"tools":{}}"#);
}

/// RB01: the life after one that the era probe has ended is waited for as a first start is, and one that is being woken
/// is shown as it last was.
#[tokio::test(start_paused = true)]
async fn a_first_start_is_waited_for_in_whichever_life_it_succeeds() {
    let child = Child::of(Unattended::asleep());
    child.played.set_state(State::Starting);
    child.played.await_first_start(Incarnation(2));
    let (list, took) = child.list(None).await;
    assert_eq!((names(&list).len(), took), (0, HOLD));
    child.played.shake(shaken(r#"{"tools":{}}"#));
    assert_eq!(child.answered(ONE).await, ["test__one"]);
    child.played.set_state(State::Starting);
    child.played.await_first_start(Incarnation(3));
    let (list, took) = child.list(None).await;
    assert_eq!((names(&list).len(), took), (1, Duration::ZERO));
    assert_eq!(child.gap(), None);
}
