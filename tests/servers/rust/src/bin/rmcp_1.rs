//! A server with one tool on rmcp 1.3.0, which ends when the first message that it reads is not `initialize`.

use std::error::Error;

use rmcp_1::model::{
    CallToolRequestParams, CallToolResult, ErrorData, ListToolsResult, PaginatedRequestParams,
    ServerInfo,
};
use rmcp_1::service::RequestContext;
use rmcp_1::transport::io::stdio;
use rmcp_1::{RoleServer, ServerHandler, ServiceExt as _};
use test_servers::{capabilities, model, run, said, tools};

struct Echo;

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerInfo {
        let mut info = ServerInfo::default();
        info.capabilities = model(capabilities());
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(model(tools(&["echo"])))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        Ok(model(said(&call.name)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run(async {
        Echo.serve(stdio()).await?.waiting().await?;
        Ok(())
    })
}
