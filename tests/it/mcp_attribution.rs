//! A shared server of the field asks its clients something: nobody but the one whose call has caused it is asked.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::mcp::{Session, modern_call, modern_post, tool_call};
use crate::support::sse::Sse;
use crate::support::stdio::text_of;
use crate::support::{Gateway, Server};

/// A real server on a loaded machine takes its time to start.
const SOON: Duration = Duration::from_secs(30);
const ELICITS: &str = "trigger-elicitation-request";
const SAMPLES: &str = "trigger-sampling-request";

/// A person with a session that can be asked for everything, its stream open.
struct Person {
    name: &'static str,
    session: Session,
    own: Sse,
}

/// What one person saw: on the stream of the session, and on the streams of calls.
struct Seen {
    name: &'static str,
    own: Vec<String>,
    calls: Vec<String>,
}

impl Person {
    async fn new(name: &'static str, client: &Client) -> Self {
        let all = json!({"elicitation": {}, "sampling": {}});
        let session = Session::open_with(client, "/all/mcp", "2025-11-25", &all).await;
        let own = session.listen().await;
        Self { name, session, own }
    }

    async fn calls(&self, tool: &str) -> Sse {
        let arguments = match tool {
            SAMPLES => json!({"prompt": format!("for {}", self.name), "maxTokens": 10}),
            _ => json!({}),
        };
        self.session
            .stream(&tool_call(tool, tool, &arguments))
            .await
    }

    /// Starts what takes longer than the test, and waits until the server is at it.
    async fn is_busy(&self) -> Sse {
        let arguments = json!({"duration": 100, "steps": 1000});
        let mut call = tool_call("long", "trigger-long-running-operation", &arguments);
        call["params"]["_meta"] = json!({"progressToken": self.name});
        let mut stream = self.session.stream(&call).await;
        let progress = stream.message(SOON).await;
        assert_eq!(progress["params"]["progressToken"], self.name, "{progress}");
        stream
    }

    /// Calls a tool that asks, answers with the own name, and gives what was on the stream of the call.
    async fn is_asked(&self, tool: &str, events: &Mutex<Vec<&str>>) -> Vec<Value> {
        let mut stream = self.calls(tool).await;
        let question = stream.message(SOON).await;
        events.lock().unwrap().push(self.name);
        assert_eq!(question["method"], method_of(tool), "{question}");
        if tool == SAMPLES {
            let prompt = question["params"]["messages"][0]["content"]["text"].as_str();
            assert!(prompt.unwrap().ends_with(self.name), "{question}");
        }
        events.lock().unwrap().push(self.name);
        self.session.reply(&question, &self.answer(tool)).await;
        let mut heard = vec![question];
        heard.extend(stream.messages(SOON).await);
        let [_, response] = &heard[..] else {
            panic!("expected one question and the response: {heard:?}");
        };
        let told = response["result"]["content"].to_string();
        assert!(told.contains(&self.signature()), "{response}");
        heard
    }

    fn signature(&self) -> String {
        format!("signed by {}", self.name)
    }

    fn answer(&self, tool: &str) -> Value {
        match tool {
            SAMPLES => {
                let content = json!({"type": "text", "text": self.signature()});
                json!({"role": "assistant", "model": "m", "content": content})
            }
            _ => json!({"action": "accept", "content": {"name": self.signature()}}),
        }
    }

    /// Ends the session, and gives what was on its stream from beginning to end.
    async fn leaves(mut self, calls: &[Value]) -> Seen {
        assert_eq!(self.session.end().await.status, 204);
        let own = self.own.messages(SOON).await;
        Seen {
            name: self.name,
            own: own.iter().map(kind_of).collect(),
            calls: calls.iter().map(kind_of).collect(),
        }
    }
}

fn method_of(tool: &str) -> &'static str {
    match tool {
        SAMPLES => "sampling/createMessage",
        _ => "elicitation/create",
    }
}

fn kind_of(message: &Value) -> String {
    match message["method"].as_str() {
        Some(method) => method.to_owned(),
        None => format!("response to {}", message["id"]),
    }
}

/// What each saw, as a table.
fn table(title: &str, seen: &[&Seen]) -> String {
    let rows = seen.iter().map(|seen| {
        format!(
            "| {} | {} | {} |\n",
            seen.name,
            seen.own.join(", "),
            seen.calls.join(", ")
        )
    });
    format!(
        "{title}\n| who | stream of the session | streams of calls |\n| --- | --- | --- |\n{}",
        rows.collect::<String>()
    )
}

/// A shared server and two people.
async fn two_people(server: Server) -> (Gateway, Person, Person) {
    let gateway = Gateway::builder().people().server(server).start();
    let alice = Person::new("alice", &gateway.alice()).await;
    let bob = Person::new("bob", &gateway.bob()).await;
    (gateway, alice, bob)
}

fn is_question(kind: &str) -> bool {
    [ELICITS, SAMPLES]
        .iter()
        .any(|tool| kind == method_of(tool))
}

#[tokio::test]
async fn a_question_goes_to_the_one_whose_call_has_caused_it_while_another_listens() {
    let (_gateway, alice, bob) = two_people(Server::everything("all")).await;
    let (mut of_alice, mut of_bob) = (Vec::new(), Vec::new());
    let events = Mutex::default();
    for tool in [ELICITS, SAMPLES] {
        of_alice.extend(alice.is_asked(tool, &events).await);
        of_bob.extend(bob.is_asked(tool, &events).await);
    }
    let (alice, bob) = (alice.leaves(&of_alice).await, bob.leaves(&of_bob).await);
    let table = table("each in turn, the other idle", &[&alice, &bob]);
    println!("{table}");
    for seen in [&alice, &bob] {
        let asked = seen.calls.iter().filter(|kind| is_question(kind));
        assert_eq!(asked.count(), 2, "{table}");
        assert!(!seen.own.iter().any(|kind| is_question(kind)), "{table}");
    }
}

/// H099: where it could be meant for a stranger, the server is refused and nobody is asked.
#[tokio::test]
async fn a_question_that_either_of_two_can_have_caused_is_put_to_neither() {
    let (_gateway, alice, bob) = two_people(Server::everything("all")).await;
    let (mut of_alice, mut of_bob) = (Vec::new(), Vec::new());
    let (mut long_of_alice, mut long_of_bob) = (alice.is_busy().await, bob.is_busy().await);
    for tool in [ELICITS, SAMPLES] {
        for (person, heard) in [(&alice, &mut of_alice), (&bob, &mut of_bob)] {
            let arguments = json!({"prompt": person.name, "maxTokens": 10});
            let refused = person.session.ask(&tool_call(tool, tool, &arguments)).await;
            assert_eq!(refused["result"]["isError"], true, "{refused}");
            let why = text_of(&refused);
            assert!(why.contains("no single client has caused this"), "{why}");
            heard.push(refused);
        }
    }
    // What they hear next of what takes long is progress, as before.
    for (long, heard) in [
        (&mut long_of_alice, &mut of_alice),
        (&mut long_of_bob, &mut of_bob),
    ] {
        heard.push(long.message(SOON).await);
    }
    let (alice, bob) = (alice.leaves(&of_alice).await, bob.leaves(&of_bob).await);
    let table = table("both have calls under way", &[&alice, &bob]);
    println!("{table}");
    for seen in [&alice, &bob] {
        let all = seen.own.iter().chain(&seen.calls);
        assert_eq!(all.filter(|kind| is_question(kind)).count(), 0, "{table}");
    }
}

#[tokio::test]
async fn calls_that_are_made_one_by_one_are_all_asked() {
    let server = Server::everything("all").set("client_features", "serialize");
    let (_gateway, alice, bob) = two_people(server).await;
    let (mut of_alice, mut of_bob) = (Vec::new(), Vec::new());
    let events = Mutex::default();
    for tool in [ELICITS, SAMPLES, ELICITS, SAMPLES] {
        let both = tokio::join!(alice.is_asked(tool, &events), bob.is_asked(tool, &events));
        of_alice.extend(both.0);
        of_bob.extend(both.1);
    }
    let (alice, bob) = (alice.leaves(&of_alice).await, bob.leaves(&of_bob).await);
    let table = table("both at once, made one by one", &[&alice, &bob]);
    println!("{table}");
    for seen in [&alice, &bob] {
        let asked = seen.calls.iter().filter(|kind| is_question(kind));
        assert_eq!(asked.count(), 4, "{table}");
        assert!(!seen.own.iter().any(|kind| is_question(kind)), "{table}");
    }
    // Asked and answered, before the other is asked.
    let events = events.into_inner().unwrap();
    assert!(
        events.chunks(2).all(|pair| pair[0] == pair[1]),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_tool_whose_client_cannot_be_asked_says_so_at_once() {
    let gateway = Gateway::builder().server(Server::everything("all")).start();
    let client = gateway.client();
    let all = json!({"elicitation": {}, "sampling": {}});
    let nothing = Session::open(&client, "/all/mcp", "2025-11-25").await;
    let no_stream = Session::open_with(&client, "/all/mcp", "2025-11-25", &all).await;
    for tool in [ELICITS, SAMPLES] {
        let arguments = json!({"prompt": "?", "maxTokens": 10});
        let legacy = tool_call("legacy", tool, &arguments);
        let modern = modern_post(
            &client,
            "/all/mcp",
            &modern_call(tool, &arguments, &json!({})),
        );
        for refused in [
            nothing.ask(&legacy).await,
            no_stream.json_only(&legacy).await.json(),
            client.send(modern).await.json(),
            client.rpc("all", &legacy).await.json(),
        ] {
            assert_eq!(refused["result"]["isError"], true, "{refused}");
            let why = text_of(&refused);
            assert!(why.starts_with("MCP error -32"), "{why}");
        }
    }
}
