"""What every Python client does with the fixture behind a URL, whichever SDK it is made of.

    python v1.py|v2.py URL TOKEN [WAY]

With the variable SURVIVE it connects, says "ok", and then makes one call in the same session for every line on its
stdin, each time saying "ok" or what went wrong. It says "changed" whenever it is told that a list has changed.

Else it prints one JSON object, {"revision": "…", "steps": {"connect": "ok", "tools": "a reason", …}}; exit code 0 only if
every step is ok.
"""

import json
import os
import sys
import uuid

import anyio
from mcp.client import streamable_http

STEP_SECONDS = 15
# What the person behind the client fills in, and what its model says.
FORM = {"name": "ada"}
COMPLETION = "Paris"


def text_of(result):
    text = result.content[0].text
    # The v1 and the v2 spelling.
    assert not getattr(result, "isError", getattr(result, "is_error", False)), text
    return text


def same(found, expected):
    assert found == expected, f"{found!r}, expected {expected!r}"


async def listed(names, expected):
    found = [entry.name for entry in await names]
    assert expected in found, f"{expected} is not among {found}"


async def tools(session):
    await listed(session.tools(), "test_simple_text")


async def prompts(session):
    await listed(session.prompts(), "test_simple_prompt")


async def resources(session):
    await listed(session.resources(), "static text")


async def progress(session):
    seen = []

    async def note(done, total, message):
        seen.append(done)

    result = await session.call("test_tool_with_progress", {}, note)
    same(seen, [0, 50, 100])
    same(text_of(result), "all done")


async def elicitation(session):
    same(text_of(await session.call("test_input_required_result_elicitation", {})), "Hello, ada!")


async def sampling(session):
    same(text_of(await session.call("test_input_required_result_sampling", {})), COMPLETION)


async def cancel(session):
    """Cancels a call as soon as it is known to run: the caller is told at once, and so is the server."""
    label = str(uuid.uuid4())
    with anyio.fail_after(5):
        assert await session.call_and_cancel("test_slow_tool", {"label": label}), "the call ended by itself"
    same(text_of(await session.call("test_await_cancellation", {"label": label})), "cancelled")


STEPS = (tools, prompts, resources, progress, elicitation, sampling, cancel)


def reason(fault):
    """The text of an exception; the first one of a group, which says nothing itself."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    if isinstance(fault, TimeoutError):
        return "not done in time"
    return f"{type(fault).__name__}: {fault}"


async def attempt(step, *arguments):
    try:
        with anyio.fail_after(STEP_SECONDS):
            await step(*arguments)
    except Exception as fault:
        return reason(fault)
    return "ok"


async def run_steps(open_session):
    """Connects, takes every step, drops the connection without a word, and comes again."""
    steps = {}
    revision = None
    try:
        async with open_session(ends_session=False) as session:
            steps["connect"] = "ok"
            revision = session.revision
            for step in STEPS:
                steps[step.__name__] = await attempt(step, session)
    except Exception as fault:
        steps["disconnect" if steps else "connect"] = reason(fault)
        return revision, steps

    async def reconnect():
        async with open_session(ends_session=True) as session:
            text = text_of(await session.call("test_simple_text", {}))
            same(text, "This is a simple text response for testing.")

    steps["reconnect"] = await attempt(reconnect)
    return revision, steps


def note(message):
    """Says so where a message of the server is about a list that has changed."""
    method = getattr(getattr(message, "root", message), "method", "")
    if "SURVIVE" in os.environ and method.endswith("/list_changed"):
        print("changed", flush=True)


async def survive(open_session):
    # On a loaded machine a gateway takes longer to start than the SDKs try to get their stream back.
    streamable_http.MAX_RECONNECTION_ATTEMPTS = 1000

    async def call():
        text = text_of(await session.call("test_simple_text", {}))
        same(text, "This is a simple text response for testing.")

    async with open_session(ends_session=True) as session:
        print(await attempt(call), flush=True)
        while await anyio.to_thread.run_sync(sys.stdin.readline):
            print(await attempt(call), flush=True)


def main(open_session):
    """Runs every step and ends the process. `open_session(ends_session)` is an asynchronous context with the
    `revision`, the lists `tools`, `prompts` and `resources`, `call` and `call_and_cancel`."""
    if "SURVIVE" in os.environ:
        return anyio.run(survive, open_session)
    revision, steps = anyio.run(run_steps, open_session)
    print(json.dumps({"revision": revision, "steps": steps}))
    sys.exit(0 if all(step == "ok" for step in steps.values()) else 1)
