"""A client of FastMCP, which speaks by the Python SDK v2; see steps.py, of which it does `survive` only.

WAY is `legacy`, or `auto` (asks the server which era it speaks), which is what it does by itself.
"""

import sys
from contextlib import asynccontextmanager

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

import steps

URL, TOKEN, *WAY = sys.argv[1:]


class Session:
    """One connection."""

    def __init__(self, client):
        self.client = client

    async def call(self, name, arguments):
        return await self.client.call_tool(name, arguments)


async def note(message):
    steps.note(message)


@asynccontextmanager
async def open_session(ends_session):
    transport = StreamableHttpTransport(URL, headers={"Authorization": f"Bearer {TOKEN}"})
    mode = {"mode": WAY[0]} if WAY else {}
    async with Client(transport, message_handler=note, **mode) as client:
        yield Session(client)


steps.main(open_session)
