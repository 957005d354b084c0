// A client of the TypeScript SDK v2, which speaks both eras; see steps.mjs.
//
// WAY is `auto` (asks the server which era it speaks), `modern` (no other), or `legacy`, which is what the SDK does
// by itself.

import { createRequire } from "node:module";

import { COMPLETION, FORM, RECONNECTION, note, run } from "./steps.mjs";

const require = createRequire(import.meta.url);
const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");

const [url, token, way] = process.argv.slice(2);
const mode = way === "modern" ? { pin: "2026-07-28" } : way;

async function open() {
  const client = new Client(
    { name: "typescript-v2", version: "1" },
    { capabilities: { elicitation: {}, sampling: {} }, versionNegotiation: mode && { mode } },
  );
  client.setRequestHandler("elicitation/create", async () => FORM);
  client.setRequestHandler("sampling/createMessage", async () => COMPLETION);
  client.fallbackNotificationHandler = note;
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { Authorization: `Bearer ${token}` } },
    ...(process.env.SURVIVE && { reconnectionOptions: RECONNECTION }),
  });
  await client.connect(transport);
  return {
    revision: client.getNegotiatedProtocolVersion(),
    tools: async () => (await client.listTools()).tools,
    prompts: async () => (await client.listPrompts()).prompts,
    resources: async () => (await client.listResources()).resources,
    call: (name, parameters, options) => client.callTool({ name, arguments: parameters }, options),
    end: () => transport.terminateSession(),
    close: () => client.close(),
  };
}

await run(open);
