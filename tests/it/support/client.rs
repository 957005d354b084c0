//! An HTTP client with a token, and short words for the gateway's endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::sse::Sse;

/// Longer than any deadline of a gateway under test: a hang fails the test, not the machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads an answer to its end.
    pub(crate) async fn read(response: Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("the whole body").to_vec(),
        }
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|fault| panic!("{fault}: {} {}", self.status, self.text()))
    }

    /// A header's value; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The `error_code` of the plain endpoints' envelope, `null` when there is none.
    pub(crate) fn error_code(&self) -> Value {
        self.json()["error"]["error_code"].clone()
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .read_timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
}

/// A client of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client that sends this token with every request.
    pub(crate) fn new(address: SocketAddr, token: Option<&str>) -> Self {
        Self {
            http: builder().build().unwrap(),
            base: format!("http://{address}"),
            token: token.map(str::to_owned),
        }
    }

    /// The same over TLS, trusting nobody but this root.
    pub(crate) fn secure(
        address: SocketAddr,
        token: Option<&str>,
        root: reqwest::Certificate,
    ) -> Self {
        Self {
            http: builder().tls_certs_only([root]).build().unwrap(),
            base: format!("https://{address}"),
            token: token.map(str::to_owned),
        }
    }

    /// A request to a path, with the token, to be added to.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.expect("an answer")).await
    }

    /// `GET` of a path.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` of bytes as JSON.
    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, path);
        let request = request.header("content-type", "application/json");
        self.send(request.body(body)).await
    }

    /// `POST /{server_id}/rpc` of a message.
    pub(crate) async fn rpc(&self, server_id: &str, payload: &Value) -> Answer {
        self.post(&format!("/{server_id}/rpc"), payload.to_string())
            .await
    }

    /// `POST /rpc` of a message in its wrapper.
    pub(crate) async fn wrapped_rpc(&self, server_id: &str, payload: &Value) -> Answer {
        let wrapper = json!({"server_id": server_id, "payload": payload});
        self.post("/rpc", wrapper.to_string()).await
    }

    /// A tool call by `POST /{server_id}/rpc`.
    pub(crate) async fn call(&self, server_id: &str, tool: &str, arguments: &Value) -> Answer {
        let params = json!({"name": tool, "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        self.rpc(server_id, &message).await
    }

    /// Asks a gremlin for a deed.
    pub(crate) async fn deed(&self, server_id: &str, arguments: &Value) -> Answer {
        self.call(server_id, "gremlin", arguments).await
    }

    /// One entry of `GET /servers`.
    pub(crate) async fn status(&self, server_id: &str) -> Value {
        let servers = self.get("/servers").await.json();
        let entries = servers["servers"].as_array().expect("a list of servers");
        let entry = entries.iter().find(|entry| entry["server_id"] == server_id);
        entry
            .unwrap_or_else(|| panic!("{server_id} is not in {servers}"))
            .clone()
    }

    /// Opens a stream with a request; panics unless the answer is an event stream.
    pub(crate) async fn stream(&self, request: RequestBuilder) -> Sse {
        let response = request
            .header("accept", "application/json, text/event-stream")
            .send()
            .await
            .expect("an answer");
        Sse::new(response)
    }

    /// `GET` of a path as an event stream.
    pub(crate) async fn listen(&self, path: &str) -> Sse {
        self.stream(self.request(Method::GET, path)).await
    }
}
