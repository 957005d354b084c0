"""A stdio server of the Python SDK v2, both eras: one tool asks the client by a request, one by its result."""

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from pydantic import BaseModel


class Form(BaseModel):
    """Who the person is."""

    name: str


server = MCPServer("asking-v2")


@server.tool()
async def ask_by_request(context: Context) -> str:
    """Asks for a name."""
    answer = await context.elicit("Who are you?", Form)
    return f"Hello, {answer.data.name}!"


@server.tool()
async def ask_by_result(context: Context) -> str | InputRequiredResult:
    """Asks for a name."""
    answer = (context.input_responses or {}).get("who")
    if answer:
        return f"Hello, {answer.content['name']}!"
    params = ElicitRequestFormParams(message="Who are you?", requested_schema=Form.model_json_schema())
    return InputRequiredResult(input_requests={"who": ElicitRequest(params=params)})


server.run("stdio")
