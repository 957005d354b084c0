//! MCP clients of Streamable HTTP: a session of the legacy era, and requests of the modern one.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::sse::Sse;
use super::stdio::text_of;

const SOON: Duration = Duration::from_secs(10);

/// The revision of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";

/// A JSON-RPC request.
pub(crate) fn request(id: impl Into<Value>, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A request for a tool.
pub(crate) fn tool_call(id: impl Into<Value>, tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    request(id, "tools/call", &params)
}

/// `initialize` with this wish, of a client that can be asked for nothing.
pub(crate) fn initialize(revision: &str) -> Value {
    initialize_with(revision, &json!({}))
}

/// `initialize` with this wish, of a client that can be asked for this.
pub(crate) fn initialize_with(revision: &str, capabilities: &Value) -> Value {
    let info = json!({"name": "test", "version": "1"});
    let params =
        json!({"protocolVersion": revision, "capabilities": capabilities, "clientInfo": info});
    request("initialize", "initialize", &params)
}

/// `POST` of a message, in both forms that an MCP client takes.
pub(crate) fn post(client: &Client, path: &str, message: &Value) -> RequestBuilder {
    client
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(message.to_string())
}

/// A session of the legacy era.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    client: Client,
    path: String,
    revision: String,
    pub(crate) id: String,
}

impl Session {
    /// Shakes hands as a client that can be asked for nothing; panics when the server wants another
    /// revision or gives no session.
    pub(crate) async fn open(client: &Client, path: &str, revision: &str) -> Self {
        Self::open_with(client, path, revision, &json!({})).await
    }

    /// The same as a client with these capabilities.
    pub(crate) async fn open_with(
        client: &Client,
        path: &str,
        revision: &str,
        capabilities: &Value,
    ) -> Self {
        let opened = Self::try_open(client, path, revision, capabilities).await;
        opened.unwrap_or_else(|refused| panic!("{}", refused.text()))
    }

    /// The same where the gateway may refuse it; the error is its answer.
    pub(crate) async fn try_open(
        client: &Client,
        path: &str,
        revision: &str,
        capabilities: &Value,
    ) -> Result<Self, Answer> {
        let hello = initialize_with(revision, capabilities);
        let shaken = client.send(post(client, path, &hello)).await;
        if shaken.status != 200 {
            return Err(shaken);
        }
        let answer = shaken.json();
        if answer.get("error").is_some() {
            return Err(shaken);
        }
        assert_eq!(answer["result"]["protocolVersion"], revision, "{answer}");
        let session = Self {
            client: client.clone(),
            path: path.to_owned(),
            revision: revision.to_owned(),
            id: shaken.header("mcp-session-id").to_owned(),
        };
        assert!(!session.id.is_empty(), "{:?}", shaken.headers);
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let told = session.tell(&done).await;
        if told.status == 202 {
            Ok(session)
        } else {
            Err(told)
        }
    }

    /// The same session, as another client would present it.
    pub(crate) fn stolen_by(&self, client: &Client) -> Self {
        Self {
            client: client.clone(),
            ..self.clone()
        }
    }

    /// The same client with another session.
    pub(crate) fn with_id(&self, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..self.clone()
        }
    }

    /// The same session on another path.
    pub(crate) fn on(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    fn in_session(&self, request: RequestBuilder) -> RequestBuilder {
        request
            .header("mcp-session-id", &self.id)
            .header("mcp-protocol-version", &self.revision)
    }

    /// `POST` of a message, to be added to.
    pub(crate) fn message(&self, message: &Value) -> RequestBuilder {
        self.in_session(post(&self.client, &self.path, message))
    }

    /// `POST` of a message, its answer read whole.
    pub(crate) async fn tell(&self, message: &Value) -> Answer {
        self.client.send(self.message(message)).await
    }

    /// The same from a client that takes no event stream.
    pub(crate) async fn json_only(&self, message: &Value) -> Answer {
        let request = self.client.request(Method::POST, &self.path);
        let request = self.in_session(request.json(message));
        self.client
            .send(request.header("accept", "application/json"))
            .await
    }

    /// `POST` of a request; its response, in whichever form it comes and whatever comes before it.
    pub(crate) async fn ask(&self, message: &Value) -> Value {
        let response = self.message(message).send().await.expect("an answer");
        let kind = response.headers()["content-type"].to_str().unwrap();
        if kind == "application/json" {
            return Answer::read(response).await.json();
        }
        let mut stream = Sse::new(response);
        loop {
            let heard = stream.message(SOON).await;
            if heard["id"] == message["id"] && heard["method"].is_null() {
                return heard;
            }
        }
    }

    /// Answers what the server has asked; panics unless the answer is taken.
    pub(crate) async fn reply(&self, question: &Value, result: &Value) {
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
        let taken = self.tell(&answer).await;
        assert_eq!(taken.status, 202, "{question}: {}", taken.text());
    }

    /// Calls a tool and gives the text of its result.
    pub(crate) async fn call(&self, tool: &str, arguments: &Value) -> String {
        text_of(
            &self
                .ask(&tool_call(format!("call {tool}"), tool, arguments))
                .await,
        )
    }

    /// Asks a gremlin for a deed.
    pub(crate) async fn deed(&self, arguments: &Value) -> Value {
        self.ask(&tool_call("deed", "gremlin", arguments)).await
    }

    /// `POST` of a message that is answered with a stream.
    pub(crate) async fn stream(&self, message: &Value) -> Sse {
        Sse::new(self.message(message).send().await.expect("an answer"))
    }

    /// `GET`, to be added to.
    pub(crate) fn get(&self) -> RequestBuilder {
        let request = self.client.request(Method::GET, &self.path);
        self.in_session(request)
            .header("accept", "text/event-stream")
    }

    /// What `GET` is answered with where it is refused.
    pub(crate) async fn get_whole(&self) -> Answer {
        self.client.send(self.get()).await
    }

    /// The stream of the session.
    pub(crate) async fn listen(&self) -> Sse {
        Sse::new(self.get().send().await.expect("an answer"))
    }

    /// The rest of a stream, after the event with this id.
    pub(crate) async fn resume(&self, last_event: &str) -> Sse {
        let request = self.get().header("last-event-id", last_event);
        Sse::new(request.send().await.expect("an answer"))
    }

    /// `DELETE`
    pub(crate) async fn end(&self) -> Answer {
        let request = self.client.request(Method::DELETE, &self.path);
        self.client.send(self.in_session(request)).await
    }
}

/// A modern request for a tool, of a client that can be asked for this.
pub(crate) fn modern_call(tool: &str, arguments: &Value, capabilities: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    let mut message = modern("call", "tools/call", &params);
    let meta = &mut message["params"]["_meta"];
    meta["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    message
}

/// A request of the modern era, its claims made.
pub(crate) fn modern(id: impl Into<Value>, method: &str, params: &Value) -> Value {
    let mut message = request(id, method, params);
    let meta = &mut message["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    message
}

/// `POST` of a modern request with the headers that repeat what it says.
pub(crate) fn modern_post(client: &Client, path: &str, message: &Value) -> RequestBuilder {
    let method = message["method"].as_str().expect("a method");
    let params = &message["params"];
    let request = post(client, path, message)
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", method);
    match params["name"].as_str().or(params["uri"].as_str()) {
        Some(name) => request.header("mcp-name", name),
        None => request,
    }
}
