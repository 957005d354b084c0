//! A client at the other ends of two pipes.

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::thread::JoinHandle;

use serde_json::{Value, json};

pub(super) struct Client {
    input: Option<PipeWriter>,
    output: BufReader<PipeReader>,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Client {
    pub(super) fn start() -> Self {
        let (server_in, input) = io::pipe().unwrap();
        let (output, server_out) = io::pipe().unwrap();
        let server = std::thread::spawn(move || {
            crate::host_server::serve(BufReader::new(server_in), server_out)
        });
        Self {
            input: Some(input),
            output: BufReader::new(output),
            server: Some(server),
        }
    }

    /// After the handshake of the newest legacy revision.
    pub(super) fn legacy() -> Self {
        let mut client = Self::start();
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}});
        let answer = client.ask("init", "initialize", &params);
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
        client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        client
    }

    pub(super) fn write(&self, line: &str) {
        writeln!(self.input.as_ref().unwrap(), "{line}").unwrap();
    }

    pub(super) fn send(&self, id: impl Into<Value>, method: &str, params: &Value) {
        let id: Value = id.into();
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.write(&message.to_string());
    }

    pub(super) fn cancel(&self, id: impl Into<Value>) {
        let id: Value = id.into();
        let message = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": id}});
        self.write(&message.to_string());
    }

    /// The next message; `None` when the server has closed its output.
    pub(super) fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// The answer to a request that is the only one under way.
    pub(super) fn ask(&mut self, id: impl Into<Value>, method: &str, params: &Value) -> Value {
        let id: Value = id.into();
        self.send(id.clone(), method, params);
        let answer = self.receive().unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub(super) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.ask(format!("call {tool}"), "tools/call", &params)
    }

    /// Closes the server's input and returns everything that it still says.
    pub(super) fn end(mut self) -> Vec<Value> {
        self.input = None;
        let rest = std::iter::from_fn(|| self.receive()).collect();
        self.server.take().unwrap().join().unwrap().unwrap();
        rest
    }
}

/// The `_meta` claim of a modern request, with what else the params hold.
pub(super) fn modern(params: Value) -> Value {
    let mut params = params;
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    params
}
