//! One call of a tool that asks its client, by a client of either era that answers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::mcp::{Session, modern_call, modern_post, tool_call};
use crate::support::sse::Sse;

/// A process of Python takes seconds to start on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// What every client says when it is asked for its name.
pub(super) const NAME: &str = "ada";

/// What became of a call.
#[derive(Debug)]
pub(super) struct Asked {
    /// How often its client was asked.
    pub(super) questions: usize,
    /// The text of the result, or of the error.
    pub(super) text: String,
}

fn form() -> Value {
    json!({"action": "accept", "content": {"name": NAME}})
}

fn text_of(answer: &Value) -> String {
    let error = answer["error"]["message"].as_str();
    let text = error.or(answer["result"]["content"][0]["text"].as_str());
    text.unwrap_or_else(|| panic!("neither text nor error: {answer}"))
        .to_owned()
}

/// Calls in a session of its own, and answers on the stream of the call.
pub(super) async fn by_legacy_client(client: &Client, path: &str, tool: &str) -> Asked {
    let elicitation = json!({"elicitation": {}});
    let session = Session::open_with(client, path, "2025-11-25", &elicitation).await;
    let call = session.message(&tool_call("call", tool, &json!({})));
    let response = call.send().await.expect("an answer");
    if response.headers()["content-type"] == "application/json" {
        let text = text_of(&Answer::read(response).await.json());
        return Asked { questions: 0, text };
    }
    let mut stream = Sse::new(response);
    let mut questions = 0;
    loop {
        let message = stream.message(SOON).await;
        if message["method"] == "elicitation/create" {
            questions += 1;
            session.reply(&message, &form()).await;
        } else if message["method"].is_null() {
            session.end().await;
            let text = text_of(&message);
            return Asked { questions, text };
        }
    }
}

/// Calls, and calls again with the answers for as long as the result asks for them.
pub(super) async fn by_modern_client(client: &Client, path: &str, tool: &str) -> Asked {
    let mut call = modern_call(tool, &json!({}), &json!({"elicitation": {}}));
    call["params"]["_meta"]["io.modelcontextprotocol/clientInfo"] =
        json!({"name": "test", "version": "1"});
    let mut questions = 0;
    loop {
        let response = modern_post(client, path, &call).send().await;
        let answer = response_of(response.expect("an answer")).await;
        let result = &answer["result"];
        if result["resultType"] != "input_required" {
            let text = text_of(&answer);
            return Asked { questions, text };
        }
        let asked = result["inputRequests"].as_object().expect("questions");
        questions += asked.len();
        let answers = asked.keys().map(|key| (key.clone(), form()));
        call["params"]["inputResponses"] = Value::Object(answers.collect());
        if let Some(state) = result.get("requestState") {
            call["params"]["requestState"] = state.clone();
        }
    }
}

/// The response, alone or at the end of a stream.
async fn response_of(response: reqwest::Response) -> Value {
    if response.headers()["content-type"] == "application/json" {
        return Answer::read(response).await.json();
    }
    let mut messages = Sse::new(response).messages(SOON).await;
    messages.pop().expect("a response")
}

/// The number of questions on a stream that ends.
pub(super) async fn questions_on(mut stream: Sse) -> usize {
    let messages = stream.messages(SOON).await;
    let asks = |message: &&Value| message["method"] == "elicitation/create";
    messages.iter().filter(asks).count()
}
