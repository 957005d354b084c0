"""A stdio server of the Python SDK v1, legacy only: its tool asks the client by a request."""

from mcp.server.fastmcp import Context, FastMCP
from pydantic import BaseModel


class Form(BaseModel):
    """Who the person is."""

    name: str


server = FastMCP("asking-v1")


@server.tool()
async def ask_by_request(context: Context) -> str:
    """Asks for a name."""
    answer = await context.elicit("Who are you?", Form)
    return f"Hello, {answer.data.name}!"


server.run("stdio")
