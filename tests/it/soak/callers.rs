//! Callers that behave: plain JSON-RPC, sessions of the legacy era, requests of the modern one, one server
//! or all of them as one.

use std::sync::Arc;

use fastrand::Rng;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::book::Finding;
use super::deeds::{Deed, is_foreign};
use super::exchange::exchange;
use super::scene::{FAULTY, PATIENCE, Scene, server_id};
use super::verdict;
use crate::support::client::Client;
use crate::support::mcp::{initialize, modern, modern_post, post, tool_call};

/// The newest revision of the legacy era.
const LEGACY: &str = "2025-11-25";

/// How a caller speaks.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// `POST /{server_id}/rpc`
    Plain,
    /// `POST /rpc`
    Wrapped,
    /// `/{server_id}/mcp` with a session.
    Session,
    /// `/{server_id}/mcp` without.
    Modern,
    /// `/mcp` with a session.
    SessionWithAll,
    /// `/mcp` without.
    ModernWithAll,
    /// Only the server that no fault meets.
    Control,
}

/// Who comes: twenty-eight; the others are rude.
const WAYS: [(Way, usize); 7] = [
    (Way::Plain, 6),
    (Way::Wrapped, 3),
    (Way::Session, 6),
    (Way::Modern, 6),
    (Way::SessionWithAll, 3),
    (Way::ModernWithAll, 3),
    (Way::Control, 1),
];

/// Lets all callers in.
pub(super) fn enter(scene: &Arc<Scene>, tasks: &mut JoinSet<()>) {
    let ways = WAYS
        .iter()
        .flat_map(|(way, count)| std::iter::repeat_n(*way, *count));
    for (number, way) in ways.enumerate() {
        let caller = Caller {
            client: scene.client(number),
            scene: Arc::clone(scene),
            number,
        };
        tasks.spawn(caller.live(way));
    }
}

#[derive(Debug)]
struct Caller {
    scene: Arc<Scene>,
    client: Client,
    number: usize,
}

impl Caller {
    async fn live(self, way: Way) {
        let mut rng = self.scene.rng(self.number);
        let mut calls = 0;
        while self.scene.goes_on() {
            calls += 1;
            let server = server_id(rng.usize(0..FAULTY));
            let deed = Deed::any(&mut rng, self.scene.mark(self.number));
            // Ids are the caller's own business, and every caller uses the same ones.
            let id = if rng.bool() {
                json!(calls % 50)
            } else {
                json!(format!("{}", calls % 50))
            };
            let single = tool_call(id.clone(), deed.tool, &deed.arguments);
            match way {
                Way::Plain => {
                    let request = post(&self.client, &format!("/{server}/rpc"), &single);
                    self.ask(request, &deed, &id).await;
                }
                Way::Wrapped => {
                    let wrapper = json!({"server_id": server, "payload": single});
                    self.ask(post(&self.client, "/rpc", &wrapper), &deed, &id)
                        .await;
                }
                Way::Session => {
                    self.session(&mut rng, &format!("/{server}/mcp"), false)
                        .await;
                }
                Way::SessionWithAll => self.session(&mut rng, "/mcp", true).await,
                Way::Modern => {
                    let call = modern_tool_call(&id, deed.tool, &deed.arguments);
                    let request = modern_post(&self.client, &format!("/{server}/mcp"), &call);
                    self.ask(request, &deed, &id).await;
                }
                Way::ModernWithAll => {
                    let tool = format!("{server}__{}", deed.tool);
                    let call = modern_tool_call(&id, &tool, &deed.arguments);
                    self.ask(modern_post(&self.client, "/mcp", &call), &deed, &id)
                        .await;
                }
                Way::Control => self.control().await,
            }
            tokio::time::sleep(std::time::Duration::from_millis(rng.u64(0..40))).await;
        }
    }

    /// One request, entered with its end.
    async fn ask(&self, request: RequestBuilder, deed: &Deed, id: &Value) {
        self.scene.book.asked();
        let asked = Instant::now();
        let heard = exchange(request.timeout(PATIENCE)).await;
        verdict::enter(
            &self.scene.book,
            self.number,
            deed,
            id,
            heard,
            asked.elapsed(),
        );
    }

    async fn control(&self) {
        let deed = Deed::echo(self.scene.mark(self.number));
        let call = tool_call(1, deed.tool, &deed.arguments);
        self.scene.book.asked();
        let asked = Instant::now();
        let heard = exchange(post(&self.client, "/control/rpc", &call).timeout(PATIENCE)).await;
        let took = asked.elapsed();
        self.scene.book.control(took);
        if !heard.as_ref().is_ok_and(|heard| heard.status == 200) {
            let text = format!("{}: the untouched server: {heard:?}", deed.mark);
            self.scene.book.find(Finding::Strange, text);
        }
        verdict::enter(&self.scene.book, self.number, &deed, &json!(1), heard, took);
    }

    /// A session with some calls, sometimes with its stream open, mostly ended as it should be.
    async fn session(&self, rng: &mut Rng, path: &str, all: bool) {
        let Some(session) = self.shake_hands(path).await else {
            return;
        };
        let stream = rng.bool().then(|| self.listen(path, &session));
        for call in 0..rng.u32(1..30) {
            if !self.scene.goes_on() {
                break;
            }
            let deed = Deed::any(rng, self.scene.mark(self.number));
            let tool = if all {
                format!("{}__{}", server_id(rng.usize(0..FAULTY)), deed.tool)
            } else {
                deed.tool.to_owned()
            };
            let id = json!(call);
            let mut message = tool_call(id.clone(), &tool, &deed.arguments);
            message["params"]["_meta"] = json!({"progressToken": call});
            let request = in_session(post(&self.client, path, &message), &session);
            self.ask(request, &deed, &id).await;
        }
        if rng.u32(0..10) > 0 {
            let request = in_session(self.client.request(Method::DELETE, path), &session);
            let ended = exchange(request.timeout(PATIENCE)).await;
            if !ended
                .as_ref()
                .is_ok_and(|heard| matches!(heard.status, 200 | 202 | 204))
            {
                let text = format!("the end of a session on {path}: {ended:?}");
                self.scene.book.find(Finding::Strange, text);
            }
        }
        if let Some(stream) = stream {
            stream.abort();
        }
    }

    /// `initialize`, entered as every request; the session's id, unless the server was not to be had.
    async fn shake_hands(&self, path: &str) -> Option<String> {
        let hello = initialize(LEGACY);
        self.scene.book.asked();
        let asked = Instant::now();
        let heard = exchange(post(&self.client, path, &hello).timeout(PATIENCE)).await;
        let session = heard.as_ref().ok().and_then(|heard| heard.session.clone());
        if let (Some(session), Ok(heard)) = (session, &heard)
            && heard.status == 200
            && heard
                .messages
                .first()
                .is_some_and(|one| one["result"].is_object())
        {
            self.scene.book.ended("session", asked.elapsed());
            let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            let told = exchange(in_session(post(&self.client, path, &done), &session)).await;
            if !told.as_ref().is_ok_and(|heard| heard.status == 202) {
                let text = format!("notifications/initialized on {path}: {told:?}");
                self.scene.book.find(Finding::Strange, text);
            }
            return Some(session);
        }
        let deed = Deed::gremlin(
            json!({"do": "initialize"}),
            self.scene.mark(self.number),
            false,
        );
        let id = json!("initialize");
        verdict::enter(
            &self.scene.book,
            self.number,
            &deed,
            &id,
            heard,
            asked.elapsed(),
        );
        None
    }

    /// Reads the stream of a session for as long as the session lasts: nothing of others may come.
    fn listen(&self, path: &str, session: &str) -> tokio::task::AbortHandle {
        let request = self.client.request(Method::GET, path);
        let request = in_session(request, session).header("accept", "text/event-stream");
        let (scene, number) = (Arc::clone(&self.scene), self.number);
        let listening = tokio::spawn(async move {
            let Ok(mut response) = request.send().await else {
                return;
            };
            while let Ok(Some(bytes)) = response.chunk().await {
                let text = String::from_utf8_lossy(&bytes);
                if is_foreign(&text, number) {
                    scene
                        .book
                        .find(Finding::Crossed, format!("caller {number} heard {text}"));
                }
            }
        });
        listening.abort_handle()
    }
}

fn in_session(request: RequestBuilder, session: &str) -> RequestBuilder {
    request
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", LEGACY)
}

pub(super) fn modern_tool_call(id: &Value, tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": id}});
    modern(id.clone(), "tools/call", &params)
}
