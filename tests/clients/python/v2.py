"""A client of the Python SDK v2, which speaks both eras; see steps.py.

WAY is `legacy`, `modern`, or `auto` (asks the server which era it speaks), which is what the SDK does by itself.
"""

import sys
from contextlib import asynccontextmanager

import anyio
import httpx2
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client

import steps

URL, TOKEN, *WAY = sys.argv[1:]
MODES = {(): {}, ("auto",): {"mode": "auto"}, ("legacy",): {"mode": "legacy"}, ("modern",): {"mode": "2026-07-28"}}


async def fill_in(context, params):
    return types.ElicitResult(action="accept", content=steps.FORM)


async def note(message):
    steps.note(message)


async def complete(context, params):
    content = types.TextContent(type="text", text=steps.COMPLETION)
    return types.CreateMessageResult(role="assistant", content=content, model="test-model")


class Session:
    """One connection."""

    def __init__(self, client):
        self.client = client
        self.revision = client.protocol_version

    async def tools(self):
        return (await self.client.list_tools()).tools

    async def prompts(self):
        return (await self.client.list_prompts()).prompts

    async def resources(self):
        return (await self.client.list_resources()).resources

    async def call(self, name, arguments, progress=None):
        return await self.client.call_tool(name, arguments, progress_callback=progress)

    async def call_and_cancel(self, name, arguments):
        with anyio.CancelScope() as call:

            async def cancel(done, total, message):
                call.cancel()

            await self.call(name, arguments, cancel)
        return call.cancelled_caught


@asynccontextmanager
async def open_session(ends_session):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30)) as http:
        transport = streamable_http_client(URL, http_client=http, terminate_on_close=ends_session)
        mode = MODES[tuple(WAY)]
        callbacks = {"elicitation_callback": fill_in, "sampling_callback": complete, "message_handler": note}
        async with Client(transport, **callbacks, **mode) as client:
            yield Session(client)


steps.main(open_session)
