//! One of many who use the same servers, and look at everything that they are told.

use tokio::time::Instant;

use super::super::*;
use crate::support::client::Answer;
use crate::support::mcp::{modern_call, modern_post};
use crate::support::sse::{Item, Sse};

/// Who has a token.
pub(super) const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
const SERVERS: [&str; 2] = ["s1", "s2"];
const SAMPLING: &str = "sampling/createMessage";

/// One client of a person: a session with an open stream on each server, and requests without one.
pub(super) struct Worker {
    name: &'static str,
    number: usize,
    client: Client,
    sessions: Vec<(Session, Sse)>,
    random: u64,
    deeds: usize,
}

impl Worker {
    pub(super) async fn new(name: &'static str, number: usize, client: Client, seed: u64) -> Self {
        let mut sessions = Vec::new();
        for server in SERVERS {
            sessions.push(open(&client, server).await);
        }
        Self {
            name,
            number,
            client,
            sessions,
            random: seed.wrapping_add(number as u64),
            deeds: 0,
        }
    }

    /// The ids of its sessions as of now: others try them.
    pub(super) fn session_ids(&self) -> (&'static str, Vec<String>) {
        let ids = self.sessions.iter().map(|(session, _)| session.id.clone());
        (self.name, ids.collect())
    }

    /// Does what it draws until the time is over; gives how much that was.
    pub(super) async fn work(&mut self, known: &[(&str, Vec<String>)], end: Instant) -> usize {
        while Instant::now() < end {
            self.deed(known).await;
            self.deeds += 1;
        }
        for (session, mut own) in std::mem::take(&mut self.sessions) {
            self.leave(&session, &mut own).await;
        }
        self.deeds
    }

    /// A number below `below` (splitmix64).
    fn draw(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }

    /// A word that nobody has said before.
    fn word(&self) -> String {
        format!("word-of-{}-{}-{}", self.name, self.number, self.deeds)
    }

    /// Nothing of what was heard is a word of somebody else.
    fn sees(&self, heard: &str) {
        for other in PEOPLE.iter().filter(|other| **other != self.name) {
            let theirs = format!("word-of-{other}");
            assert!(
                !heard.contains(&theirs),
                "{} saw {theirs}: {heard}",
                self.name
            );
        }
    }

    /// The same, and it is the answer to what was asked.
    fn is_told(&self, told: &Value) {
        self.sees(&told.to_string());
        assert!(
            told.to_string().contains(&self.word()),
            "{}: {told}",
            self.word()
        );
    }

    async fn deed(&mut self, known: &[(&str, Vec<String>)]) {
        let at = self.draw(SERVERS.len());
        let (server, word) = (SERVERS[at], self.word());
        let nonce = word.clone();
        match self.draw(10) {
            0 => {
                let text = json!({"text": word, "nonce": nonce});
                self.is_told(&self.client.call(server, "echo", &text).await.json());
            }
            1 => {
                let call = tool_call(1, "fidelity", &json!({"said": word, "nonce": nonce}));
                self.is_told(&self.client.wrapped_rpc(server, &call).await.json());
            }
            2 => {
                let deed = json!({"do": "progress", "count": 3, "interval_ms": 2, "note": word, "say": word, "nonce": nonce});
                let mut call = tool_call(1, "gremlin", &deed);
                call["params"]["_meta"] = json!({"progressToken": 0});
                let stream = self.sessions[at].0.message(&call).send().await.unwrap();
                for told in messages(stream).await {
                    self.is_told(&told);
                }
            }
            3 => {
                let deed = json!({"do": "progress", "count": 2, "note": word, "say": word, "nonce": nonce});
                let mut call = modern_call("gremlin", &deed, &json!({}));
                call["params"]["_meta"]["progressToken"] = 0.into();
                let path = format!("/{server}/mcp");
                let stream = modern_post(&self.client, &path, &call)
                    .send()
                    .await
                    .unwrap();
                for told in messages(stream).await {
                    self.is_told(&told);
                }
            }
            4 => {
                let deed = json!({"do": "log", "level": "error", "text": word, "nonce": nonce});
                self.sees(&self.sessions[at].0.deed(&deed).await.to_string());
            }
            5 => self.is_asked(at).await,
            6 => {
                let deed = json!({"do": "refuse", "code": 7, "message": word, "data": {"said": word}, "nonce": nonce});
                let session = &self.sessions[at].0;
                self.is_told(&session.ask(&tool_call(1, "gremlin", &deed)).await);
            }
            7 => {
                let uri = format!("gremlin://{word}");
                let session = &self.sessions[at].0;
                let wish = request(1, "resources/subscribe", &json!({"uri": uri}));
                session.ask(&wish).await;
                session
                    .deed(&json!({"do": "updated", "uri": uri, "nonce": nonce}))
                    .await;
            }
            8 => {
                let (session, mut own) = self.sessions.remove(at);
                self.leave(&session, &mut own).await;
                self.sessions.insert(at, open(&self.client, server).await);
            }
            _ => self.steals(known, at).await,
        }
    }

    /// Has the server ask something in the course of a call, and answers it.
    async fn is_asked(&self, at: usize) {
        let word = self.word();
        let params = json!({"messages": [], "maxTokens": 1, "systemPrompt": word});
        let requests = json!({"q": {"method": SAMPLING, "params": params}});
        let deed = if SERVERS[at] == "s1" {
            json!({"do": "ask", "method": SAMPLING, "params": params, "nonce": word})
        } else {
            json!({"do": "input_required", "requests": requests, "state": word})
        };
        let session = &self.sessions[at].0;
        let response = session
            .message(&tool_call(1, "gremlin", &deed))
            .send()
            .await;
        let response = response.unwrap();
        if !is_stream(&response) {
            // It was refused, because others had calls under way.
            return self.sees(&Answer::read(response).await.text());
        }
        let mut stream = Sse::new(response);
        while let Some(item) = stream.next(SOON).await {
            let Item::Event(event) = item else { continue };
            let Some(data) = event.data.filter(|data| !data.is_empty()) else {
                continue;
            };
            self.sees(&data);
            let told: Value = serde_json::from_str(&data).unwrap();
            if told["method"] == SAMPLING {
                self.is_told(&told);
                let content = json!({"type": "text", "text": word});
                let result = json!({"role": "assistant", "model": "m", "content": content});
                session.reply(&told, &result).await;
            }
        }
    }

    /// Tries the sessions of others, those that have ended too.
    async fn steals(&mut self, known: &[(&str, Vec<String>)], at: usize) {
        let (owner, ids) = &known[self.draw(known.len())];
        let stolen = self.sessions[at].0.with_id(&ids[at]);
        if *owner == self.name {
            return;
        }
        let resumed = self
            .client
            .send(stolen.get().header("last-event-id", "1-0"));
        for answer in [
            stolen.tell(&ping()).await,
            stolen.get_whole().await,
            resumed.await,
        ] {
            assert_eq!(answer.status, 404, "{}", answer.text());
        }
    }

    /// Ends a session and looks at all that was on its stream.
    async fn leave(&self, session: &Session, own: &mut Sse) {
        assert_eq!(session.end().await.status, 204);
        for told in own.messages(SOON).await {
            self.sees(&told.to_string());
        }
    }
}

async fn open(client: &Client, server: &str) -> (Session, Sse) {
    let path = format!("/{server}/mcp");
    let session = Session::open_with(client, &path, REVISION, &json!({"sampling": {}})).await;
    let own = session.listen().await;
    (session, own)
}

fn is_stream(response: &reqwest::Response) -> bool {
    let kind = response.headers()["content-type"].to_str().unwrap();
    kind.starts_with("text/event-stream")
}

/// All messages of an answer, in whichever form it comes.
async fn messages(response: reqwest::Response) -> Vec<Value> {
    if is_stream(&response) {
        Sse::new(response).messages(SOON).await
    } else {
        vec![Answer::read(response).await.json()]
    }
}
