//! Instances come and go; the supervisor is the real one, and its servers sleep.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::advance;

use super::*;
use crate::fault::{Delivered, FaultKind};
use crate::instruments::Instruments;
use crate::protocol::Era;
use crate::relay::config::{ClientCapabilities, ClientFeatures};
use crate::shards::Shard;
use crate::state_dir::StateDir;
use crate::supervisor::fixture::{self, Heard, Unattended};
use crate::supervisor::{EraMemory, Handshake, Origin, Submission, Supervisor};

const IDLE: Duration = Duration::from_mins(1);
const NOT_YET: Duration = Duration::from_secs(59);
const SECOND: Duration = Duration::from_secs(1);

/// What these tests keep of an instance.
#[derive(Debug)]
struct Noted {
    handle: ServerHandle,
    key: InstanceKey,
}

impl Kept for Noted {
    fn handles(&self) -> Vec<ServerHandle> {
        vec![self.handle.clone()]
    }

    fn close(&self) -> Vec<ServerHandle> {
        self.handles()
    }

    fn autostarts(&self, _handle: &ServerHandle) -> bool {
        true
    }
}

struct House {
    supervisor: Arc<Supervisor>,
    pool: Instances<Noted>,
}

/// A server of which two instances may be there.
fn config(instance: Instance) -> ServerConfig {
    ServerConfig {
        supervisor: fixture::config(),
        instance,
        revive_sessions: false,
        client_features: ClientFeatures::Attribute,
        client_capabilities: ClientCapabilities::default(),
        max_instances: 2,
        instance_idle: IDLE,
    }
}

fn house(instance: Instance) -> House {
    house_of(config(instance))
}

fn house_of(config: ServerConfig) -> House {
    let supervisor = Arc::new(Supervisor::new(
        &Instruments::noop(),
        EraMemory::open(StateDir::in_memory()),
    ));
    let starter = Arc::clone(&supervisor);
    let make: Make<Noted> = Box::new(move |key, config, predecessor| Noted {
        handle: starter.add(
            config,
            Arc::new(Heard::default()),
            &Shard::here(),
            predecessor.into_iter().collect(),
        ),
        key: key.clone(),
    });
    House {
        supervisor,
        pool: Instances::new(config, make),
    }
}

fn principal(id: u32) -> Principal {
    Principal {
        id: PrincipalId(id),
        fingerprint: crate::types::TokenFingerprint::default(),
        name: format!("p{id}").into(),
        admin: id == 0,
        servers: None,
    }
}

impl House {
    fn lease(&self, id: u32) -> Result<Lease<Noted>, Fault> {
        self.pool.lease(&principal(id), None, None)
    }

    fn lease_session(&self, session: &str) -> Lease<Noted> {
        let session = session.into();
        let lease = self.pool.lease(&principal(1), Some(&session), None);
        lease.unwrap()
    }

    /// What an admin sees, after everything that is due was done.
    async fn names(&self) -> Vec<String> {
        self.settled().await;
        let seen = self.pool.processes(&principal(0)).into_iter();
        seen.filter_map(|process| Some(process.name?.to_string()))
            .collect()
    }

    /// Lets the sweep run, and every retirement come to its end.
    async fn settled(&self) {
        // The servers sleep: nothing here waits for more than another task's turn.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let present = self.pool.all().len();
        assert_eq!(self.supervisor.servers().len(), present, "a stray");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_server_has_one_instance_from_its_beginning_to_its_end() {
    let house = house(Instance::Shared);
    let shared = Arc::clone(&house.pool.all()[0]);
    assert_eq!(shared.key, InstanceKey::Shared);
    for id in 1..5 {
        let lease = house.lease(id).unwrap();
        assert!(Arc::ptr_eq(&lease, &shared));
    }
    house.pool.end_session(&"s".into());
    advance(IDLE * 10).await;
    assert_eq!(house.names().await, [""; 0], "none that is not shared");
    assert_eq!(house.pool.all().len(), 1);
    let seen = house.pool.processes(&principal(1));
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].handle, shared.handle);
    assert_eq!(house.pool.config().instance, Instance::Shared);
}

#[tokio::test(start_paused = true)]
async fn each_principal_has_its_own_and_finds_it_again() {
    let house = house(Instance::Client);
    assert!(house.pool.all().is_empty());
    let one = house.lease(1).unwrap();
    assert_eq!(one.key, InstanceKey::Client(PrincipalId(1)));
    let two = house.lease(2).unwrap();
    assert!(!Arc::ptr_eq(&one, &two));
    let again = house.lease_session("a session");
    assert!(Arc::ptr_eq(&one, &again), "in a session or not");
    assert_eq!(house.names().await, ["p1", "p2"]);
    let own = house.pool.processes(&principal(2));
    assert_eq!(own.len(), 1, "whose the others are is nobody's business");
    assert_eq!(own[0].handle, two.handle);
    assert_eq!(house.pool.all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_session_has_its_own_and_what_comes_without_one_shares_by_principal() {
    let house = house(Instance::Session);
    let session = house.lease_session("0123456789abcdef");
    let own = InstanceKey::Session("0123456789abcdef".into());
    assert_eq!(session.key, own);
    let none = house.lease(1).unwrap();
    assert_eq!(none.key, InstanceKey::Client(PrincipalId(1)));
    assert_eq!(
        house.names().await,
        ["01234567", "p1"],
        "no id is told whole"
    );
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_told_what_its_own_client_can_do() {
    let house = house(Instance::Session);
    let roots: Arc<str> = r#"{"roots":{}}"#.into();
    let session = "s".into();
    let own = house
        .pool
        .lease(&principal(1), Some(&session), Some(Arc::clone(&roots)));
    let own = own.unwrap();
    assert_eq!(own.handle.config().client_capabilities, roots);
    let configured = house.lease(1).unwrap();
    assert_eq!(&*configured.handle.config().client_capabilities, "{}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_nobody_uses_is_retired_and_no_other() {
    let house = house(Instance::Client);
    let held = house.lease(1).unwrap();
    drop(house.lease(2).unwrap());
    advance(NOT_YET).await;
    assert_eq!(house.names().await, ["p1", "p2"]);
    drop(house.lease(2).unwrap());
    advance(NOT_YET).await;
    assert_eq!(house.names().await, ["p1", "p2"], "it was used since");
    advance(SECOND).await;
    assert_eq!(house.names().await, ["p1"]);
    advance(IDLE * 10).await;
    assert_eq!(house.names().await, ["p1"], "it is held");
    drop(held);
    advance(IDLE).await;
    assert_eq!(house.names().await, [""; 0]);
}

/// A request that was written runs on when the one who made it is gone.
#[tokio::test(start_paused = true)]
async fn an_instance_with_a_request_under_way_is_in_use() {
    let handshake = Handshake {
        era: Era::Legacy,
        revision: "2025-11-25".to_owned(),
        capabilities: "{}".into(),
        server_info: "{}".into(),
        instructions: None,
    };
    let child = Unattended::ready(handshake);
    let handle = child.handle.clone();
    let make: Make<Noted> = Box::new(move |key, _, _| Noted {
        handle: handle.clone(),
        key: key.clone(),
    });
    let pool = Instances::new(config(Instance::Client), make);
    let lease = pool.lease(&principal(1), None, None).unwrap();
    let mux = child.handle.mux();
    let id = mux.mint();
    let submission = Submission {
        origin: Some(Origin {
            principal: PrincipalId(1),
            session: None,
            client_id: Bytes::from_static(b"1"),
        }),
        ..Submission::own()
    };
    let _outcome = mux.submit(id, Bytes::from_static(b"{}\n"), submission);
    drop(lease);
    for _ in 0..3 {
        advance(IDLE * 2).await;
        tokio::task::yield_now().await;
        assert_eq!(pool.all().len(), 1);
    }
    mux.abandon(id);
    advance(IDLE * 2).await;
    tokio::task::yield_now().await;
    assert_eq!(pool.all().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_room_the_longest_idle_one_goes() {
    let house = house(Instance::Client);
    for id in [2, 1] {
        drop(house.lease(id).unwrap());
        advance(SECOND).await;
    }
    let three = house.lease(3).unwrap();
    assert_eq!(house.names().await, ["p1", "p3"]);
    let one = house.lease(1).unwrap();
    let fault = house.lease(4).unwrap_err();
    assert_eq!(fault.kind, FaultKind::ServerBusy);
    assert_eq!(fault.delivered, Some(Delivered::No));
    assert!(fault.retry_after.is_some());
    assert!(house.lease(1).is_ok(), "who has one is not refused");
    drop((one, three));
    assert!(house.lease(4).is_ok());
}

/// RD06: a principal that opens session after session gets half of the processes, at the cost of its own.
#[tokio::test(start_paused = true)]
async fn one_principal_leaves_instances_for_others() {
    let mut config = config(Instance::Session);
    config.max_instances = 4;
    config.supervisor.requests.divided = true;
    let house = house_of(config);
    let other = house.lease(2).unwrap();
    let idle = house.pool.lease(&principal(2), Some(&"quiet".into()), None);
    drop(idle.unwrap());
    advance(SECOND).await;
    let held = [house.lease_session("a"), house.lease_session("b")];
    let refused = house.lease(1).unwrap_err();
    assert_eq!(refused.kind, FaultKind::RateLimited);
    assert_eq!(house.names().await, ["a", "b", "p2", "quiet"]);
    drop(held);
    advance(SECOND).await;
    // What is idle of its own goes, not what has been idle for longer.
    let _more = [house.lease_session("c"), house.lease_session("d")];
    let refused = house.lease(1).unwrap_err();
    assert_eq!(refused.kind, FaultKind::RateLimited);
    assert_eq!(house.names().await, ["c", "d", "p2", "quiet"]);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_being_stopped_are_bounded_too() {
    let house = house(Instance::Session);
    // No other task has its turn here: nothing that ends is gone yet.
    for session in ["a", "b"] {
        drop(house.lease_session(session));
        house.pool.end_session(&session.into());
    }
    let fault = house.lease(1).unwrap_err();
    assert_eq!(fault.kind, FaultKind::ServerBusy);
    house.settled().await;
    assert!(house.lease(1).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_instance_of_a_session_ends_with_it_whoever_holds_it() {
    let house = house(Instance::Session);
    let held = house.lease_session("s");
    house.pool.end_session(&"other".into());
    assert_eq!(house.names().await, ["s"]);
    house.pool.end_session(&"s".into());
    assert_eq!(house.names().await, [""; 0]);
    let fault = held.handle.start(true).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::ShuttingDown);
    let next = house.lease_session("s");
    assert!(!Arc::ptr_eq(&held, &next), "a new one under the same name");
    drop(held);
    advance(IDLE).await;
    assert_eq!(house.names().await, ["s"], "it is held still");
}

/// A server may hold a lock or a folder that only one process can have: an instance waits for the end of those of its own
/// key, also of one before that which never had a process, and of no other.
#[tokio::test(start_paused = true)]
async fn an_instance_waits_for_the_end_of_those_before_it() {
    let made = Arc::new(Mutex::new(Vec::new()));
    let making = Arc::clone(&made);
    let processes = Arc::new(Mutex::new(Vec::new()));
    let starting = Arc::clone(&processes);
    let make: Make<Noted> = Box::new(move |key, _, predecessor| {
        making.lock().unwrap().push(predecessor);
        let process = Unattended::asleep();
        let handle = process.handle.clone();
        starting.lock().unwrap().push(Some(process));
        Noted {
            handle,
            key: key.clone(),
        }
    });
    let config = ServerConfig {
        max_instances: 9,
        ..config(Instance::Session)
    };
    let pool = Instances::new(config, make);
    let start = |session: &str| {
        let lease = pool.lease(&principal(1), Some(&session.into()), None);
        drop(lease.unwrap());
        made.lock().unwrap().last().cloned().unwrap()
    };
    let settled = async || {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    let end = |at: usize| drop(processes.lock().unwrap()[at].take());
    assert!(start("s").is_none());
    pool.end_session(&"s".into());
    let second = start("s").unwrap();
    assert!(start("other").is_none());
    pool.end_session(&"s".into());
    let third = start("s").unwrap();
    end(1);
    settled().await;
    assert!(!second.is_cancelled() && !third.is_cancelled());
    end(0);
    settled().await;
    assert!(second.is_cancelled() && third.is_cancelled());
    pool.end_session(&"s".into());
    end(3);
    settled().await;
    assert!(start("s").is_none(), "nothing is left of the one before");
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_nothing_is_swept_or_started() {
    let house = house(Instance::Client);
    let _one = house.lease(1).unwrap();
    house.supervisor.shutdown().await;
    house.pool.close().await;
    let late = house.lease(2).unwrap();
    assert!(late.handle.status().has_ended());
    assert_eq!(house.supervisor.servers(), []);
}
