// A stdio server of the TypeScript SDK v1, legacy only: its tool asks the client by a request.
//
//   node asking_v1.mjs
//
// The packages are found by NODE_PATH.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { McpServer } = require("@modelcontextprotocol/sdk/server/mcp.js");
const { StdioServerTransport } = require("@modelcontextprotocol/sdk/server/stdio.js");

const requestedSchema = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };

const mcp = new McpServer({ name: "asking-v1", version: "1" });
mcp.registerTool("ask_by_request", { description: "Asks for a name" }, async ({ requestId }) => {
  const params = { message: "Who are you?", requestedSchema };
  const { content } = await mcp.server.elicitInput(params, { relatedRequestId: requestId });
  return { content: [{ type: "text", text: `Hello, ${content?.name}!` }] };
});
await mcp.connect(new StdioServerTransport());
