//! A server with one tool on rmcp 0.8.5, which ends when the first message that it reads is not `initialize`.

use std::error::Error;

use rmcp_0_8::model::{
    CallToolRequestParam, CallToolResult, ErrorData, ListToolsResult, PaginatedRequestParam,
    ServerInfo,
};
use rmcp_0_8::service::RequestContext;
use rmcp_0_8::transport::io::stdio;
use rmcp_0_8::{RoleServer, ServerHandler, ServiceExt as _};
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
        _: Option<PaginatedRequestParam>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(model(tools(&["echo"])))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParam,
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
