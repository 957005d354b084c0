// What every TypeScript client does with the fixture behind a URL, whichever SDK it is made of.
//
//   node v1.mjs|v2.mjs URL TOKEN [WAY]
//
// With the variable SURVIVE it connects, says "ok", and then makes one call in the same session for every line on its
// stdin, each time saying "ok" or what went wrong. It says "changed" whenever it is told that a list has changed.
//
// Else it prints one JSON object, {"revision": "…", "steps": {"connect": "ok", "tools": "a reason", …}}; exit code 0 only
// if every step is ok. The packages are found by NODE_PATH.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";

const STEP_MS = 15_000;

/** What the person behind the client fills in, and what its model says. */
export const FORM = { action: "accept", content: { name: "ada" } };
export const COMPLETION = {
  role: "assistant",
  content: { type: "text", text: "Paris" },
  model: "test-model",
  stopReason: "endTurn",
};

const textOf = (result) => {
  assert.ok(!result.isError, JSON.stringify(result));
  return result.content[0].text;
};

async function lists(names, expected) {
  const listed = (await names).map((entry) => entry.name ?? entry.uri);
  assert.ok(listed.includes(expected), `${expected} is not among ${listed}`);
}

async function progress(session) {
  const seen = [];
  const result = await session.call("test_tool_with_progress", {}, { onprogress: (news) => seen.push(news.progress) });
  assert.deepEqual(seen, [0, 50, 100]);
  assert.equal(textOf(result), "all done");
}

async function elicitation(session) {
  assert.equal(textOf(await session.call("test_input_required_result_elicitation", {})), "Hello, ada!");
}

async function sampling(session) {
  assert.equal(textOf(await session.call("test_input_required_result_sampling", {})), "Paris");
}

/** Cancels a call as soon as it is known to run: the caller is told at once, and so is the server. */
async function cancel(session) {
  const label = randomUUID();
  const abort = new AbortController();
  const call = session.call("test_slow_tool", { label }, { signal: abort.signal, onprogress: () => abort.abort("enough") });
  await assert.rejects(call, /enough/);
  assert.equal(textOf(await session.call("test_await_cancellation", { label })), "cancelled");
}

/** Drops the connection without a word, comes again, and ends that session as one should. */
async function reconnect(session, open) {
  await session.close();
  const next = await open();
  try {
    const text = textOf(await next.call("test_simple_text", {}));
    assert.equal(text, "This is a simple text response for testing.");
  } finally {
    await next.end();
    await next.close();
  }
}

/** Says so where a notification is about a list that has changed. */
export async function note(notification) {
  if (process.env.SURVIVE && notification.method.endsWith("/list_changed")) {
    console.log("changed");
  }
}

/** On a loaded machine a gateway takes longer to start than the SDKs try to get their stream back. */
export const RECONNECTION = {
  initialReconnectionDelay: 100,
  maxReconnectionDelay: 1000,
  reconnectionDelayGrowFactor: 1.5,
  maxRetries: 1000,
};

async function survive(open) {
  const session = await open();
  const call = () =>
    outcome(async () => {
      const text = textOf(await session.call("test_simple_text", {}));
      assert.equal(text, "This is a simple text response for testing.");
    });
  console.log(await call());
  for await (const _line of createInterface({ input: process.stdin })) {
    console.log(await call());
  }
  await session.close();
  process.exit(0);
}

async function outcome(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${STEP_MS} ms`)), STEP_MS);
  });
  try {
    await Promise.race([work(), late]);
    return "ok";
  } catch (fault) {
    return String(fault?.message ?? fault) || "failed";
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs every step and ends the process. `open` connects and gives a session: its `revision`, the lists `tools`,
 * `prompts` and `resources`, `call(name, arguments, options)`, `end` for the session and `close`
 * for the connection.
 */
export async function run(open) {
  if (process.env.SURVIVE) {
    await survive(open);
    return;
  }
  const steps = {};
  let session;
  steps.connect = await outcome(async () => {
    session = await open();
  });
  if (session) {
    const work = {
      tools: () => lists(session.tools(), "test_simple_text"),
      prompts: () => lists(session.prompts(), "test_simple_prompt"),
      resources: () => lists(session.resources(), "static text"),
      progress: () => progress(session),
      elicitation: () => elicitation(session),
      sampling: () => sampling(session),
      cancel: () => cancel(session),
      reconnect: () => reconnect(session, open),
    };
    for (const [name, step] of Object.entries(work)) {
      steps[name] = await outcome(step);
    }
  }
  const allOk = Object.values(steps).every((step) => step === "ok");
  const report = JSON.stringify({ revision: session?.revision ?? null, steps });
  // Exits itself, because kept connections would hold it for seconds.
  process.stdout.write(`${report}\n`, () => process.exit(allOk ? 0 : 1));
}
