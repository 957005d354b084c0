// A stdio server of the TypeScript SDK v2, both eras: one tool asks the client by a request, one by its result.
//
//   node asking_v2.mjs
//
// The packages are found by NODE_PATH.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { acceptedContent, inputRequired, McpServer } = require("@modelcontextprotocol/server");
const { serveStdio } = require("@modelcontextprotocol/server/stdio");

const requestedSchema = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
const form = { message: "Who are you?", requestedSchema };
const greeting = (name) => ({ content: [{ type: "text", text: `Hello, ${name}!` }] });

serveStdio(() => {
  const mcp = new McpServer({ name: "asking-v2", version: "1" });
  mcp.registerTool("ask_by_request", { description: "Asks for a name" }, async ({ mcpReq }) => {
    const { content } = await mcp.server.elicitInput(form, { relatedRequestId: mcpReq.id });
    return greeting(content?.name);
  });
  mcp.registerTool("ask_by_result", { description: "Asks for a name" }, ({ mcpReq }) => {
    const answered = acceptedContent(mcpReq.inputResponses, "who");
    return answered ? greeting(answered.name) : inputRequired({ inputRequests: { who: inputRequired.elicit(form) } });
  });
  return mcp;
});
