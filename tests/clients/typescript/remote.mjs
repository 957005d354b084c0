// A client of the TypeScript SDK v1 on stdio, behind mcp-remote; see steps.mjs, of which it does `survive` only.
//
//   node remote.mjs URL TOKEN PATH-OF-PROXY

import { createRequire } from "node:module";

import { note, run } from "./steps.mjs";

const require = createRequire(import.meta.url);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

const [url, token, proxy] = process.argv.slice(2);

async function open() {
  const client = new Client({ name: "behind-mcp-remote", version: "1" });
  client.fallbackNotificationHandler = note;
  const header = `Authorization: Bearer ${token}`;
  const args = [proxy, url, "--header", header, "--allow-http", "--transport", "http-only"];
  await client.connect(new StdioClientTransport({ command: process.execPath, args, env: process.env, stderr: "ignore" }));
  return {
    call: (name, parameters) => client.callTool({ name, arguments: parameters }),
    close: () => client.close(),
  };
}

await run(open);
