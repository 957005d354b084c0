"""A client of FastMCP, which speaks by the Python SDK v2; see steps.py, of which it does `survive` only."""

import sys
from contextlib import asynccontextmanager

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

import steps

URL, TOKEN = sys.argv[1:3]


class Session:
    """One connection."""

    def __init__(self, client):
        self.client = client

    async def call(self, name, arguments):
        return await self.client.call_tool(name, arguments)


@asynccontextmanager
async def open_session(ends_session):
    transport = StreamableHttpTransport(URL, headers={"Authorization": f"Bearer {TOKEN}"})
    async with Client(transport) as client:
        yield Session(client)


steps.main(open_session)
