"""A client of the Python SDK v1, which speaks the legacy era only; see steps.py."""

import sys
from contextlib import asynccontextmanager

import anyio
import httpx
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client

import steps

URL, TOKEN = sys.argv[1:3]


async def fill_in(context, params):
    return types.ElicitResult(action="accept", content=steps.FORM)


async def complete(context, params):
    content = types.TextContent(type="text", text=steps.COMPLETION)
    return types.CreateMessageResult(role="assistant", content=content, model="test-model")


async def silent(done, total, message):
    pass


class Session:
    """One connection."""

    def __init__(self):
        self.client = None
        self.revision = None
        self.progressing = anyio.Event()
        self.token = None

    async def note(self, message):
        """Notes which request reports progress; its token is the id of the request."""
        steps.note(message)
        if isinstance(message, types.ServerNotification) and isinstance(message.root, types.ProgressNotification):
            self.token = message.root.params.progressToken
            self.progressing.set()

    async def tools(self):
        return (await self.client.list_tools()).tools

    async def prompts(self):
        return (await self.client.list_prompts()).prompts

    async def resources(self):
        return (await self.client.list_resources()).resources

    async def call(self, name, arguments, progress=None):
        return await self.client.call_tool(name, arguments, progress_callback=progress)

    async def call_and_cancel(self, name, arguments):
        """This SDK leaves it to the caller to tell the server."""
        self.progressing = anyio.Event()
        with anyio.CancelScope() as call:
            async with anyio.create_task_group() as group:
                group.start_soon(self.call, name, arguments, silent)
                await self.progressing.wait()
                params = types.CancelledNotificationParams(requestId=self.token, reason="enough")
                notification = types.CancelledNotification(params=params)
                await self.client.send_notification(types.ClientNotification(notification))
                call.cancel()
        return call.cancelled_caught


@asynccontextmanager
async def open_session(ends_session):
    session = Session()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(30)) as http,
        streamable_http_client(URL, http_client=http, terminate_on_close=ends_session) as (reader, writer, _),
        ClientSession(
            reader,
            writer,
            elicitation_callback=fill_in,
            sampling_callback=complete,
            message_handler=session.note,
        ) as client,
    ):
        session.revision = (await client.initialize()).protocolVersion
        session.client = client
        yield session


steps.main(open_session)
