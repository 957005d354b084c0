//! What one connection knows, and which method is answered by whom.

use serde_json::{Map, Value, json};

use super::call::{Call, Ended, Failure};
use super::calls::{Calls, Setup};
use super::era::{self, Cache, Era, Level};
use super::message::{self, Message};
use super::output::Output;
use super::rpc::{self, RpcError};
use super::{prompts, resources, tools};

type Params = Map<String, Value>;

/// The reader's side of the connection.
#[derive(Debug)]
pub(super) struct Session {
    output: Output,
    calls: Calls,
    /// The legacy handshake was done.
    initialized: bool,
    /// Set by `logging/setLevel`; before that no log message is sent.
    log_level: Option<Level>,
}

impl Session {
    pub(super) fn new(output: Output) -> Self {
        Self {
            calls: Calls::new(output.clone()),
            output,
            initialized: false,
            log_level: None,
        }
    }

    /// Takes one message; what can take time runs on.
    pub(super) fn receive(&mut self, line: &[u8]) {
        match message::parse(line) {
            Ok(Message::Request { id, method, params }) => self.request(&id, &method, params),
            Ok(Message::Notification { method, params }) => {
                if let ("notifications/cancelled", Some(id)) =
                    (method.as_str(), params.get("requestId"))
                {
                    self.calls.cancel(id);
                }
            }
            Ok(Message::Response) => {}
            Err(malformed) => {
                let error = rpc::error(malformed.id.as_ref(), &malformed.error);
                self.output.send(&error);
            }
        }
    }

    /// The input has ended: what waits is ended, what works may finish.
    pub(super) fn end(&self) {
        self.calls.end();
    }

    fn request(&mut self, id: &Value, method: &str, params: Params) {
        let answer = self.answer(id, method, params);
        match answer {
            Ok(Some(result)) => self.output.send(&rpc::result(id, &result)),
            Ok(None) => {}
            Err(error) => self.output.send(&rpc::error(Some(id), &error)),
        }
    }

    /// The result, or `None` where a call was started that answers by itself.
    fn answer(
        &mut self,
        id: &Value,
        method: &str,
        params: Params,
    ) -> Result<Option<Value>, RpcError> {
        let era = Era::of(&params)?;
        if self.calls.is_open(id) {
            return Err(rpc::invalid_request(format!(
                "a request with id {id} is under way"
            )));
        }
        self.check_order(era, method)?;
        let result = match (method, era) {
            ("initialize", Era::Legacy) => self.initialize(&params)?,
            ("ping", Era::Legacy) => json!({}),
            ("logging/setLevel", Era::Legacy) => {
                let level = params.get("level").unwrap_or(&Value::Null);
                self.log_level = Some(Level::parse(level)?);
                json!({})
            }
            ("server/discover", Era::Modern { .. }) => era.cacheable(discover(), Cache::Fixed),
            ("tools/list", _) => era.cacheable(tools::list(), Cache::Fixed),
            ("prompts/list", _) => era.cacheable(prompts::list(), Cache::Fixed),
            ("resources/list", _) => era.cacheable(resources::list(), Cache::Fixed),
            ("resources/templates/list", _) => era.cacheable(resources::templates(), Cache::Fixed),
            _ => {
                self.start(id, method, era, params)?;
                return Ok(None);
            }
        };
        Ok(Some(era.finish(result)))
    }

    /// A legacy client must have shaken hands, apart from pings (MCP 2025-11-25, lifecycle); who
    /// forgot the claim of a modern one is told of both.
    fn check_order(&self, era: Era, method: &str) -> Result<(), RpcError> {
        let free = matches!(method, "initialize" | "ping") || self.initialized;
        if era.is_modern() || (free && method != "server/discover") {
            return Ok(());
        }
        Err(rpc::invalid_params(format!(
            "{method:?} needs a claim of revision {} in _meta, or an initialize before it",
            era::MODERN
        )))
    }

    fn initialize(&mut self, params: &Params) -> Result<Value, RpcError> {
        let Some(Value::String(requested)) = params.get("protocolVersion") else {
            return Err(rpc::invalid_params("protocolVersion must be a string"));
        };
        self.initialized = true;
        Ok(json!({
            "protocolVersion": era::negotiate(requested),
            "capabilities": era::capabilities(),
            "serverInfo": era::server_info(),
            "instructions": era::INSTRUCTIONS,
        }))
    }

    /// Starts what may take time on a thread of its own.
    fn start(&self, id: &Value, method: &str, era: Era, params: Params) -> Result<(), RpcError> {
        type Work = fn(&Call, Era, &Params) -> Result<Value, Failure>;
        let work: Work = match (method, era) {
            ("tools/call", _) => tools::call,
            ("resources/read", _) => resources::read,
            ("prompts/get", _) => prompts::get,
            ("subscriptions/listen", Era::Modern { .. }) => {
                let id = id.clone();
                let setup = self.setup(&id, era, &params)?;
                self.calls.start(setup, move |call| listen(call, &id, era));
                return Ok(());
            }
            _ => return Err(rpc::method_not_found(method)),
        };
        let setup = self.setup(id, era, &params)?;
        self.calls.start(setup, move |call| {
            work(call, era, &params).map(|result| era.finish(result))
        });
        Ok(())
    }

    fn setup(&self, id: &Value, era: Era, params: &Params) -> Result<Setup, RpcError> {
        let meta = params.get("_meta");
        let progress_token = meta.and_then(|meta| meta.get("progressToken")).cloned();
        if !progress_token.as_ref().is_none_or(message::is_legal_id) {
            return Err(rpc::invalid_params(
                "progressToken must be a string or an integer",
            ));
        }
        Ok(Setup {
            id: id.clone(),
            progress_token,
            log_level: match era {
                Era::Legacy => self.log_level,
                Era::Modern { log_level } => log_level,
            },
        })
    }
}

fn discover() -> Value {
    json!({
        "supportedVersions": [era::MODERN],
        "capabilities": era::capabilities(),
        "instructions": era::INSTRUCTIONS,
    })
}

/// Holds a subscription open. None of the kinds that a client can ask for ever happens here, so none
/// is acknowledged (MCP 2026-07-28, subscriptions: the acknowledgement comes first and names what is
/// honoured).
fn listen(call: &Call, id: &Value, era: Era) -> Result<Value, Failure> {
    let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
    call.send(
        "notifications/subscriptions/acknowledged",
        &json!({"_meta": meta, "notifications": {}}),
    );
    match call.wait_for_end() {
        Ended::Cancelled => Err(Ended::Cancelled.into()),
        Ended::Stopping => Ok(era.finish(json!({ "_meta": meta }))),
    }
}
