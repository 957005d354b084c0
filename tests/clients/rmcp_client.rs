//! `rmcp_client`: the Rust SDK as a client of the fixture behind a URL. It exists for the tests and is not installed.
//!
//! `rmcp_client URL TOKEN [auto|legacy|modern]`
//!
//! `auto` asks the server which era it speaks; `legacy` is what the SDK does by itself. Prints one JSON object,
//! `{"revision": "…", "steps": {"connect": "ok", "tools": "a reason", …}}`; exit code 0 only if every step is ok.
//! The steps are those of the other SDKs' clients beside this file.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is all it is for"
)]
#![expect(
    deprecated,
    reason = "sampling is deprecated, and servers of both eras still ask for it"
)]

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationCapability, ErrorData, Implementation, ProgressNotificationParam,
    ProtocolVersion, Role, SamplingCapability, SamplingMessage, SamplingMessageContentBlock,
    TextContent,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt as _, NotificationContext, RequestContext, RoleClient,
    RunningService,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ServiceExt as _};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

const STEP: Duration = Duration::from_secs(15);

/// The client's side: a person who fills in forms, a model, and an ear for progress.
#[derive(Clone, Debug, Default)]
struct Side {
    progress: Arc<Mutex<Vec<f64>>>,
    progressed: Arc<Notify>,
}

impl Side {
    /// The progress since the last look.
    fn take_progress(&self) -> Vec<f64> {
        std::mem::take(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientHandler for Side {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = Some(ElicitationCapability::default());
        capabilities.sampling = Some(SamplingCapability::default());
        ClientConfig::new(capabilities, Implementation::new("rmcp", "3"))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let form = json!({"name": "ada"});
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(form))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let text = SamplingMessageContentBlock::Text(TextContent::new("Paris"));
        let message = SamplingMessage::new(Role::Assistant, text);
        Ok(CreateMessageResult::new(message, "test-model".to_owned()))
    }

    async fn on_progress(
        &self,
        news: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.push(news.progress);
        self.progressed.notify_one();
    }
}

/// What the command line says.
#[derive(Debug)]
struct Options {
    url: String,
    token: String,
    way: Option<String>,
}

type Client = RunningService<RoleClient, Side>;

async fn connect(options: &Options) -> Result<Client> {
    let config = StreamableHttpClientTransportConfig::with_uri(options.url.as_str())
        .auth_header(options.token.as_str());
    let transport = StreamableHttpClientTransport::from_config(config);
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let mode = match options.way.as_deref() {
        None => return Ok(Side::default().serve(transport).await?),
        Some("legacy") => ClientLifecycleMode::Initialize,
        Some("modern") => ClientLifecycleMode::Discover { preferred_versions },
        Some("auto") => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: None,
        },
        Some(way) => bail!("{way}: expected auto, legacy or modern"),
    };
    Ok(Side::default()
        .serve_with_lifecycle(transport, mode)
        .await?)
}

fn params(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap_or_default();
    CallToolRequestParams::new(tool).with_arguments(arguments)
}

fn text_of(result: &CallToolResult) -> Result<&str> {
    let text = result.content.first().and_then(|block| block.as_text());
    let text = text.context("a result without text")?.text.as_str();
    ensure!(result.is_error != Some(true), "{text}");
    Ok(text)
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> Result<String> {
    let result = client.call_tool(params(tool, arguments)).await?;
    Ok(text_of(&result)?.to_owned())
}

fn listed<'a>(names: impl Iterator<Item = &'a str>, expected: &str) -> Result<()> {
    let names: Vec<&str> = names.collect();
    ensure!(
        names.contains(&expected),
        "{expected} is not among {names:?}"
    );
    Ok(())
}

async fn tools(client: &Client) -> Result<()> {
    let tools = client.list_all_tools().await?;
    listed(tools.iter().map(|tool| &*tool.name), "test_simple_text")
}

async fn prompts(client: &Client) -> Result<()> {
    let prompts = client.list_all_prompts().await?;
    listed(
        prompts.iter().map(|prompt| &*prompt.name),
        "test_simple_prompt",
    )
}

async fn resources(client: &Client) -> Result<()> {
    let resources = client.list_all_resources().await?;
    listed(
        resources.iter().map(|resource| &*resource.name),
        "static text",
    )
}

async fn progress(client: &Client) -> Result<()> {
    client.service().take_progress();
    let text = call(client, "test_tool_with_progress", json!({})).await?;
    let seen = client.service().take_progress();
    ensure!(seen == [0.0, 50.0, 100.0], "progress was {seen:?}");
    ensure!(text == "all done", "{text}");
    Ok(())
}

async fn elicitation(client: &Client) -> Result<()> {
    let text = call(client, "test_input_required_result_elicitation", json!({})).await?;
    ensure!(text == "Hello, ada!", "{text}");
    Ok(())
}

async fn sampling(client: &Client) -> Result<()> {
    let text = call(client, "test_input_required_result_sampling", json!({})).await?;
    ensure!(text == "Paris", "{text}");
    Ok(())
}

/// Cancels a call as soon as it is known to run. In this SDK a caller drops the call, and the server is told.
async fn cancel(client: &Client) -> Result<()> {
    let label = json!({"label": std::process::id().to_string()});
    let progressed = Arc::clone(&client.service().progressed);
    // What an earlier call reported.
    let _ = tokio::time::timeout(Duration::ZERO, progressed.notified()).await;
    tokio::select! {
        ended = call(client, "test_slow_tool", label.clone()) => bail!("the call ended by itself: {ended:?}"),
        () = progressed.notified() => {}
    }
    let text = call(client, "test_await_cancellation", label).await?;
    ensure!(text == "cancelled", "{text}");
    Ok(())
}

/// Connects anew, after the first connection was dropped.
async fn reconnect(options: &Options) -> Result<()> {
    let mut client = connect(options).await?;
    let text = call(&client, "test_simple_text", json!({})).await?;
    ensure!(
        text == "This is a simple text response for testing.",
        "{text}"
    );
    client.close().await?;
    Ok(())
}

/// What became of each step, in order.
#[derive(Debug, Default)]
struct Outcomes(Map<String, Value>);

impl Outcomes {
    /// Waits for a step, notes what became of it, and gives what it gave.
    async fn note<T>(&mut self, name: &str, step: impl Future<Output = Result<T>>) -> Option<T> {
        let ended = tokio::time::timeout(STEP, step).await;
        let result = ended.unwrap_or_else(|_| bail!("not done after {STEP:?}"));
        let outcome = match &result {
            Ok(_) => "ok".to_owned(),
            Err(fault) => format!("{fault:#}"),
        };
        self.0.insert(name.to_owned(), outcome.into());
        result.ok()
    }
}

/// Takes every step and gives the revision that was spoken.
async fn run(options: &Options, outcomes: &mut Outcomes) -> Option<String> {
    let client = outcomes.note("connect", connect(options)).await?;
    outcomes.note("tools", tools(&client)).await;
    outcomes.note("prompts", prompts(&client)).await;
    outcomes.note("resources", resources(&client)).await;
    outcomes.note("progress", progress(&client)).await;
    outcomes.note("elicitation", elicitation(&client)).await;
    outcomes.note("sampling", sampling(&client)).await;
    outcomes.note("cancel", cancel(&client)).await;
    let peer = client.peer_info();
    drop(client);
    outcomes.note("reconnect", reconnect(options)).await;
    Some(peer?.protocol_version.as_str().to_owned())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(token)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: rmcp_client URL TOKEN [auto|legacy|modern]");
        return ExitCode::from(2);
    };
    let way = arguments.next();
    let mut outcomes = Outcomes::default();
    let revision = run(&Options { url, token, way }, &mut outcomes).await;
    let Outcomes(steps) = outcomes;
    let all_ok = steps.values().all(|step| step == "ok");
    println!("{}", json!({"revision": revision, "steps": steps}));
    if all_ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
