//! What one token can do to take servers from others: each attack by itself, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::Gateway;
use crate::support::client::Client;
use crate::support::mcp::{
    Session, initialize_with, modern, modern_call, modern_post, post, tool_call,
};
use crate::support::socket::RawSocket;
use crate::support::wait::wait_until;

pub(super) const REVISION: &str = "2025-11-25";
/// From one round of an attack to the next.
const PAUSE: Duration = Duration::from_millis(20);
/// No round of an attack takes longer.
const ROUND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(20);

/// One attack, called by the fault that it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// Long lists of subscriptions at both eras, some of which the server refuses.
    Listens,
    /// Heavy requests for one server on a connection that has just used another one.
    ForeignPaths,
    /// Sessions with large capabilities and many subscriptions, and cursors that no server has given.
    Stores,
    /// Calls whose client hangs up.
    HangUps,
    /// Notifications, large and small.
    Notifications,
    /// Cancellations with a long reason.
    Cancellations,
    /// Connections that show no token.
    Strangers,
    /// Sessions of a server with a process for each.
    Instances,
    /// Log levels, set and never taken back.
    Levels,
    /// Lists of a server that never ends them, merged.
    EndlessLists,
    /// Bursts of messages before an answer, some of which are not read.
    Bursts,
    /// The turn of a server, and no answer to what it asks.
    Turns,
}

impl Attack {
    pub(super) const ALL: [Self; 12] = [
        Self::Listens,
        Self::ForeignPaths,
        Self::Stores,
        Self::HangUps,
        Self::Notifications,
        Self::Cancellations,
        Self::Strangers,
        Self::Instances,
        Self::Levels,
        Self::EndlessLists,
        Self::Bursts,
        Self::Turns,
    ];
}

/// Attacks that are under way on threads of their own, which end with this.
pub(super) struct Attacker {
    over: Arc<AtomicBool>,
    rounds: Vec<JoinHandle<()>>,
    /// How many rounds each attack has begun.
    begun: Vec<Arc<AtomicUsize>>,
    runtime: Runtime,
}

impl Attacker {
    /// Begins these attacks on a gateway with the token of [`Gateway::bob`].
    pub(super) fn begin(gateway: &Gateway, attacks: &[Attack]) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        let over = Arc::new(AtomicBool::new(false));
        let weapons = Arc::new(Weapons::new(gateway));
        let begun: Vec<_> = attacks.iter().map(|_| Arc::default()).collect();
        let rounds = attacks.iter().zip(&begun).map(|(&attack, begun)| {
            let (weapons, over) = (Arc::clone(&weapons), Arc::clone(&over));
            let begun: Arc<AtomicUsize> = Arc::clone(begun);
            runtime.spawn(async move {
                for number in 0.. {
                    begun.store(number + 1, Ordering::Relaxed);
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // Whatever it is answered, and whether it is.
                    let _ = timeout(ROUND, weapons.round(attack, number)).await;
                    sleep(PAUSE).await;
                }
            })
        });
        let rounds = rounds.collect();
        Self {
            over,
            rounds,
            begun,
            runtime,
        }
    }

    /// Waits until each attack is in its second round.
    pub(super) async fn take_hold(&self) {
        let in_second = |begun: &Arc<AtomicUsize>| begun.load(Ordering::Relaxed) > 1;
        wait_until("the attacks to take hold", SOON, || {
            self.begun.iter().all(in_second)
        })
        .await;
    }

    /// Ends them; fails the test where an attack was not what it was meant to be.
    pub(super) async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for round in self.rounds {
            round.await.expect("an attack that goes on");
        }
        self.runtime.shutdown_background();
    }
}

/// What the attacks need, made beforehand so that making it takes no time from those that are measured.
struct Weapons {
    client: Client,
    address: std::net::SocketAddr,
    listens: Vec<(&'static str, Value)>,
    large: String,
    notifications: [Value; 2],
    hello: Value,
}

pub(super) fn listen(of: &str, count: usize) -> Value {
    let uris: Vec<String> = (0..count).map(|number| format!("{of}:{number}")).collect();
    let wishes = json!({"notifications": {"resourceSubscriptions": uris}});
    modern("listen", "subscriptions/listen", &wishes)
}

impl Weapons {
    fn new(gateway: &Gateway) -> Self {
        let counts = [1024, 200_000, 1000, 2];
        let listens = (0..16).map(|number| {
            let of = ["a", "b", "refused", "c"][number / 4];
            let path = ["/g1/mcp", "/g2/mcp"][number % 2];
            (path, listen(&format!("{of}-{number}"), counts[number % 4]))
        });
        let notification = |text: String| json!({"jsonrpc": "2.0", "method": "notifications/own", "params": {"text": text}});
        let large = json!({"experimental": {"large": "c".repeat(100_000)}});
        Self {
            client: gateway.bob(),
            address: gateway.address(),
            listens: listens.collect(),
            large: "x".repeat(3_000_000),
            notifications: [10, 10_000].map(|length| notification("x".repeat(length))),
            hello: initialize_with(REVISION, &large),
        }
    }

    async fn round(&self, attack: Attack, number: usize) {
        let client = &self.client;
        match attack {
            Attack::Listens => {
                let (path, message) = &self.listens[number % self.listens.len()];
                drop(modern_post(client, path, message).send().await);
            }
            Attack::ForeignPaths => {
                let small = client.call("g2", "echo", &json!({"text": "small"})).await;
                drop(small);
                client
                    .call("g3", "echo", &json!({"text": self.large}))
                    .await;
            }
            Attack::Stores => self.fill_stores(number).await,
            Attack::HangUps => {
                let deed = json!({"do": "sleep", "ms": 1000});
                let calls = join_all((0..50).map(|_| client.deed("g1", &deed)));
                let _ = timeout(Duration::from_millis(300), calls).await;
            }
            Attack::Notifications => {
                let message = &self.notifications[number % 2];
                join_all((0..10).map(|_| client.rpc("g1", message))).await;
            }
            Attack::Cancellations => self.cancel(number).await,
            Attack::Strangers => {
                let connections = (0..20).map(|_| RawSocket::connect(self.address));
                let mut connections = join_all(connections).await;
                for connection in &mut connections {
                    connection
                        .send("POST /g1/mcp HTTP/1.1\r\nHost: x\r\n")
                        .await;
                }
            }
            Attack::Instances => {
                client.send(post(client, "/g3/mcp", &self.hello)).await;
            }
            Attack::Levels => {
                let Some(session) = self.session().await else {
                    return;
                };
                let level = ["emergency", "debug"][number % 2];
                let params = json!({"level": level});
                session
                    .tell(&crate::support::mcp::request(
                        1,
                        "logging/setLevel",
                        &params,
                    ))
                    .await;
            }
            Attack::EndlessLists => {
                let list = modern("list", "tools/list", &json!({}));
                client.send(modern_post(client, "/mcp", &list)).await;
            }
            Attack::Bursts => {
                let of = ["progress", "log"][number % 2];
                let deed = json!({"do": "burst", "of": of, "count": 2000, "text": "t".repeat(300)});
                let params =
                    json!({"name": "gremlin", "arguments": deed, "_meta": {"progressToken": 1}});
                let call = modern("burst", "tools/call", &params);
                let response = modern_post(client, "/g1/mcp", &call).header("mcp-name", "gremlin");
                if number.is_multiple_of(3) {
                    // As long as a round takes nobody reads it.
                    let _unread = response.send().await;
                    std::future::pending::<()>().await;
                } else {
                    client.send(response).await;
                }
            }
            Attack::Turns => {
                let schema = json!({"type": "object", "properties": {}});
                let params = json!({"message": "well?", "requestedSchema": schema});
                let deed = json!({"do": "ask", "method": "elicitation/create", "params": params, "wait_ms": 60_000});
                let call = modern_call("gremlin", &deed, &json!({"elicitation": {}}));
                client.send(modern_post(client, "/g4/mcp", &call)).await;
            }
        }
    }

    /// A session, if this token may have one more request under way.
    async fn session(&self) -> Option<Session> {
        let opened = Session::try_open(&self.client, "/g1/mcp", REVISION, &json!({})).await;
        opened.ok()
    }

    async fn fill_stores(&self, number: usize) {
        let client = &self.client;
        client.send(post(client, "/g1/mcp", &self.hello)).await;
        let Some(session) = self.session().await else {
            return;
        };
        let subscribe = |uri: usize| {
            let params = json!({"uri": format!("s-{number}:{uri}")});
            let message = crate::support::mcp::request(uri, "resources/subscribe", &params);
            let session = session.clone();
            async move { session.tell(&message).await }
        };
        join_all((0..30).map(subscribe)).await;
        let params = json!({"cursor": format!("{number}-{}", "c".repeat(1000))});
        let list = modern("list", "tools/list", &params);
        client.send(modern_post(client, "/mcp", &list)).await;
        session.end().await;
    }

    async fn cancel(&self, number: usize) {
        let Some(session) = self.session().await else {
            return;
        };
        let id = number.to_string();
        let deed = json!({"do": "sleep", "ms": 5000});
        let call = tool_call(id.as_str(), "gremlin", &deed);
        let params = json!({"requestId": id, "reason": "r".repeat(200_000)});
        let told = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        let cancel = async {
            sleep(Duration::from_millis(20)).await;
            session.tell(&told).await;
        };
        tokio::join!(session.tell(&call), cancel);
    }
}
