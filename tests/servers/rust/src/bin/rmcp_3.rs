//! A server on rmcp 3.9.0, which speaks both eras: one tool asks the client by a request, one by its result.

use std::error::Error;

use rmcp_3::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, InputRequiredResult,
    ListToolsResult, PaginatedRequestParams, ServerConfig, ServerRequest,
};
use rmcp_3::service::RequestContext;
use rmcp_3::transport::io::stdio;
use rmcp_3::{RoleServer, ServerHandler, ServiceExt as _};
use serde_json::json;
use test_servers::{capabilities, failed, greeting, model, question, run, tools};

const KEY: &str = "who";

struct Asking;

async fn ask_by_request(context: RequestContext<RoleServer>) -> CallToolResult {
    let question: ServerRequest = model(question());
    match context.peer.send_request(question).await {
        Ok(answer) => model(greeting(&answer)),
        Err(fault) => model(failed(&fault)),
    }
}

fn ask_by_result(call: &CallToolRequestParams) -> CallToolResponse {
    let answers = call.input_responses.as_ref();
    match answers.and_then(|answers| answers.get(KEY)) {
        Some(answer) => model::<CallToolResult>(greeting(answer)).into(),
        None => {
            let required =
                json!({"resultType": "input_required", "inputRequests": {KEY: question()}});
            model::<InputRequiredResult>(required).into()
        }
    }
}

impl ServerHandler for Asking {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::default();
        info.capabilities = model(capabilities());
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(model(tools(&["ask_by_request", "ask_by_result"])))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(match &*call.name {
            "ask_by_request" => ask_by_request(context).await.into(),
            _ => ask_by_result(&call),
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        Asking.serve(stdio()).await?.waiting().await?;
        Ok(())
    })
}
