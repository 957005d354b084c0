//! The relay around a server that the tests play themselves.

mod answers;
mod directory;
mod frames;
mod hearing;
mod levels;
pub(super) mod listening;
mod subscriptions;
mod tasks;
mod unsubscribing;
mod upstream;

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use serde_json::Value;

use super::hub::Hub;
use super::instances::InstanceKey;
use super::servers::Leased;
use super::servers::Server;
use super::upstream::Parts;
use super::*;
use crate::protocol::Era;
use crate::supervisor::Handshake;
use crate::supervisor::Listener;
use crate::supervisor::fixture::Unattended;
use crate::types::{Incarnation, PrincipalId, TokenFingerprint};

/// One server, and everybody who hears of it.
struct House {
    child: Unattended,
    upstream: Leased,
    server: Arc<Server>,
    shared: Arc<Shared>,
}

fn handshake(era: Era) -> Handshake {
    Handshake {
        era,
        revision: "2025-06-18".to_owned(),
        capabilities: r#"{"tools":{}}"#.into(),
        server_info: r#"{"name":"a \"b\"","version":"1"}"#.into(),
        instructions: Some(r#""be \"kind\"""#.into()),
    }
}

/// Tells a hub what the supervisor tells it of a life that becomes ready.
fn become_ready(hub: &Hub, incarnation: Incarnation, handshake: &Handshake) {
    hub.handshake_completed(incarnation, handshake);
    hub.ready(incarnation);
}

fn house(era: Era) -> House {
    house_of(&handshake(era))
}

fn house_of(handshake: &Handshake) -> House {
    let config = Config {
        stream_queue_events: 4,
        stream_queue_bytes: 1000,
        max_streams_per_token: 2,
        silence: Duration::from_secs(15),
        session_idle: Duration::from_mins(10),
        max_sessions_per_token: 2,
        replay_events: 4,
        replay_bytes: 1000,
        replay_bytes_per_token: 10_000,
        memory_bytes: 1 << 30,
    };
    let child = Unattended::ready(handshake.clone());
    let id = child.handle.id();
    let parts = parts_of(id, InstanceKey::Shared);
    let server = Arc::new(Server::of(
        parts.attach(child.handle.clone()),
        Instance::Shared,
    ));
    let upstream = server.lease(&principal(0), None, None, None).unwrap();
    become_ready(&upstream.hub, Incarnation(1), handshake);
    House {
        child,
        upstream,
        server,
        shared: Shared::new(config, &StateDir::in_memory()),
    }
}

fn parts_of(server: &ServerId, key: InstanceKey) -> Parts {
    let instruments = Instruments::noop().for_server(server);
    Parts::new(
        server,
        instruments,
        ClientFeatures::Attribute,
        key,
        CancellationToken::new(),
    )
}

fn hub_of(server: &ServerId) -> Arc<Hub> {
    parts_of(server, InstanceKey::Shared).hub
}

fn principal(id: u32) -> Principal {
    Principal {
        id: PrincipalId(id),
        fingerprint: TokenFingerprint::new([u8::try_from(id).unwrap_or(u8::MAX); 32]),
        name: "someone".into(),
        admin: false,
        servers: None,
    }
}

fn caller(principal: u32, session: Option<&EventStream>) -> Caller {
    Caller {
        principal: Arc::new(self::principal(principal)),
        door: Door::Raw,
        session: session.map(|stream| stream.session_id().to_owned()),
        headers: RoutingHeaders::default(),
        streams: false,
        prefers_stream: false,
        peer: ([127, 0, 0, 1], 1).into(),
        trace: None,
        quota: None,
    }
}

impl House {
    fn open(&self, principal: u32) -> Result<EventStream, Fault> {
        self.open_on(&self.upstream.hub, principal)
    }

    fn open_on(&self, hub: &Arc<Hub>, principal: u32) -> Result<EventStream, Fault> {
        let held = self.upstream.instruments.stream();
        Sessions::open(&self.shared.sessions, hub, PrincipalId(principal), held)
    }

    async fn send(&self, caller: Caller, body: &str) -> Result<Answer, Failure> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let target = Target::Server(self.upstream.handle.id().clone());
        match call::message(&self.shared, &self.server, &target, caller, body)? {
            Step::Over(answer) => Ok(answer),
            Step::Waits(request) => request.answer().await,
        }
    }

    /// Sends a request that the child must not hear of.
    async fn reply(&self, caller: Caller, body: &str) -> String {
        match self.send(caller, body).await {
            Ok(Answer::Reply(reply)) => text(&reply.message),
            other => panic!("{body}: {other:?}"),
        }
    }

    /// Sends a request, lets the child answer it with an empty result, and gives what the child saw.
    async fn asked(&self, caller: Caller, body: &str) -> Vec<String> {
        let child = async {
            let seen = self.child.read();
            for line in &seen {
                self.answer(line).await;
            }
            seen
        };
        let (sent, seen) = tokio::join!(biased; self.send(caller, body), child);
        assert!(sent.is_ok(), "{body}: {sent:?}");
        seen
    }

    /// The child answers this request with an empty result.
    async fn answer(&self, request: &str) {
        let id = &serde_json::from_str::<Value>(request).unwrap()["id"];
        self.say(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}"
        ))
        .await;
    }

    /// The child writes this line.
    async fn say(&self, line: &str) {
        let listener: Arc<dyn Listener> = Arc::clone(&self.upstream.hub) as _;
        self.child.write(&listener, &format!("{line}\n")).await;
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a stream has to say by now, and whether it has ended.
fn drained(stream: &mut EventStream) -> (Vec<String>, bool) {
    let mut seen = Vec::new();
    loop {
        match stream.next().now_or_never() {
            Some(Some(event)) => seen.push(text(&event)),
            Some(None) => return (seen, true),
            None => return (seen, false),
        }
    }
}

fn heard(stream: &mut EventStream) -> Vec<String> {
    drained(stream).0
}
