// A client of the TypeScript SDK v1, which speaks the legacy era only; see steps.mjs.

import { createRequire } from "node:module";

import { COMPLETION, FORM, RECONNECTION, note, run } from "./steps.mjs";

const require = createRequire(import.meta.url);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { CreateMessageRequestSchema, ElicitRequestSchema } = require("@modelcontextprotocol/sdk/types.js");

const [url, token] = process.argv.slice(2);

async function open() {
  const client = new Client({ name: "typescript-v1", version: "1" }, { capabilities: { elicitation: {}, sampling: {} } });
  client.setRequestHandler(ElicitRequestSchema, async () => FORM);
  client.setRequestHandler(CreateMessageRequestSchema, async () => COMPLETION);
  client.fallbackNotificationHandler = note;
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { Authorization: `Bearer ${token}` } },
    ...(process.env.SURVIVE && { reconnectionOptions: RECONNECTION }),
  });
  await client.connect(transport);
  return {
    revision: transport.protocolVersion,
    tools: async () => (await client.listTools()).tools,
    prompts: async () => (await client.listPrompts()).prompts,
    resources: async () => (await client.listResources()).resources,
    call: (name, parameters, options) => client.callTool({ name, arguments: parameters }, undefined, options),
    end: () => transport.terminateSession(),
    close: () => client.close(),
  };
}

await run(open);
