//! A server on rmcp 0.8.5, which ends when the first message that it reads is not `initialize`. One of its tools asks the
//! client by a request.

use std::error::Error;

use rmcp_0_8::model::{
    CallToolRequestParam, CallToolResult, ErrorData, ListToolsResult, PaginatedRequestParam,
    ServerInfo, ServerRequest,
};
use rmcp_0_8::service::RequestContext;
use rmcp_0_8::transport::io::stdio;
use rmcp_0_8::{RoleServer, ServerHandler, ServiceExt as _};
use test_servers::{capabilities, failed, greeting, model, question, run, said, tools};

struct Asking;

impl ServerHandler for Asking {
    fn get_info(&self) -> ServerInfo {
        let mut info = ServerInfo::default();
        info.capabilities = model(capabilities());
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParam>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(model(tools(&["echo", "ask_by_request"])))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParam,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        if call.name != "ask_by_request" {
            return Ok(model(said(&call.name)));
        }
        let question: ServerRequest = model(question());
        Ok(match context.peer.send_request(question).await {
            Ok(answer) => model(greeting(&answer)),
            Err(fault) => model(failed(&fault)),
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        Asking.serve(stdio()).await?.waiting().await?;
        Ok(())
    })
}
