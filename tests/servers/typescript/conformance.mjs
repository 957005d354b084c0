// A stdio server of the TypeScript SDK v2 that the MCP conformance suite is run against: both eras, each as the SDK
// serves it. On a modern connection the SDK lets no handler send a request to the client; on a legacy one it turns an
// `input_required` result into such requests by itself.
//
//   node conformance.mjs
//
// The packages are found by NODE_PATH. Each handler is what its author would write for this SDK, so those of the older
// tools push their questions and those of the newer ones return them.

import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

import { form, prompts, resources, textOf } from "./conformance_contents.mjs";

const require = createRequire(import.meta.url);
const {
  acceptedContent,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  McpServer,
  ResourceTemplate,
} = require("@modelcontextprotocol/server");
const { serveStdio } = require("@modelcontextprotocol/server/stdio");

const CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const NAME_FORM = form("What is your name?", { name: { type: "string" } }, ["name"]);
const CONFIRMATION = form("Please confirm", { ok: { type: "boolean" } }, ["ok"]);
// 1x1 pixel, and an empty sound.
const IMAGE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const AUDIO = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";

const states = createRequestStateCodec({ key: randomBytes(32) });

const text = (said) => ({ type: "text", text: said });
const says = (...said) => ({ content: said.map(text) });
const question = (said, maxTokens) => ({ messages: [{ role: "user", content: text(said) }], maxTokens });
const greeting = () => inputRequired.createMessage(question("Generate a greeting", 50));
const choices = (...pairs) => pairs.map(([value, title]) => ({ const: value, title }));

// --- tools that ask nothing ------------------------------------------------------------------------------------------

const EMBEDDED = {
  type: "resource",
  resource: { uri: "test://embedded-resource", mimeType: "text/plain", text: "This is an embedded resource." },
};

const SCHEMA_2020_12 = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: {
    address: {
      $anchor: "addressDef",
      type: "object",
      properties: { street: { type: "string" }, city: { type: "string" } },
    },
  },
  properties: {
    name: { type: "string" },
    address: { $ref: "#/$defs/address" },
    contactMethod: { type: "string", enum: ["phone", "email"] },
    phone: { type: "string" },
    email: { type: "string" },
  },
  allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
  if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
  then: { required: ["phone"] },
  else: { required: ["email"] },
  additionalProperties: false,
};

async function progress(_arguments, { mcpReq }) {
  const progressToken = mcpReq._meta?.progressToken;
  for (const done of [0, 50, 100]) {
    if (progressToken !== undefined) {
      const params = { progressToken, progress: done, total: 100 };
      await mcpReq.notify({ method: "notifications/progress", params });
    }
    await sleep(20);
  }
  return says("all done");
}

async function logging(_arguments, { mcpReq }) {
  for (const data of ["started", "working", "done"]) {
    await mcpReq.log("info", data);
    await sleep(20);
  }
  return says("logged");
}

const contentTools = {
  test_x_mcp_header: {
    schema: {
      type: "object",
      properties: { region: { type: "string", "x-mcp-header": "Region" }, level: { type: "integer" } },
    },
    run: ({ region }) => says(`region=${region ?? "none"}`),
  },
  json_schema_2020_12_tool: { schema: SCHEMA_2020_12, run: (given) => says(JSON.stringify(given)) },
  test_simple_text: { run: () => says("This is a simple text response for testing.") },
  test_image_content: { run: () => ({ content: [{ type: "image", data: IMAGE, mimeType: "image/png" }] }) },
  test_audio_content: { run: () => ({ content: [{ type: "audio", data: AUDIO, mimeType: "audio/wav" }] }) },
  test_embedded_resource: { run: () => ({ content: [EMBEDDED] }) },
  test_multiple_content_types: {
    run: () => ({
      content: [text("Several kinds of content:"), { type: "image", data: IMAGE, mimeType: "image/png" }, EMBEDDED],
    }),
  },
  test_tool_with_logging: { run: logging },
  test_logging_tool: { run: logging },
  test_tool_with_progress: { run: progress },
  test_reconnection: { run: () => says("The stream may have been closed meanwhile.") },
  test_streaming_elicitation: { run: () => says("nothing but the result on this stream") },
  test_error_handling: {
    run: () => {
      throw new Error("This tool intentionally returns an error for testing");
    },
  },
};

// --- tools that push ---------------------------------------------------------------------------------------------------

/** Tools that send their question to the client while the call waits. */
function pushTools(server) {
  const elicit = async (params, { mcpReq }) => {
    const { action, content } = await server.elicitInput(params, { relatedRequestId: mcpReq.id });
    return says(`Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`);
  };
  const plain = ["option1", "option2", "option3"];
  const values = choices(["value1", "First"], ["value2", "Second"], ["value3", "Third"]);
  const enums = {
    untitledSingle: { type: "string", enum: plain },
    titledSingle: { type: "string", oneOf: values },
    legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["One", "Two", "Three"] },
    untitledMulti: { type: "array", items: { type: "string", enum: plain } },
    titledMulti: { type: "array", items: { anyOf: values } },
  };
  const defaults = {
    name: { type: "string", default: "John Doe" },
    age: { type: "integer", default: 30 },
    score: { type: "number", default: 95.5 },
    status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
    verified: { type: "boolean", default: true },
  };
  const argument = (name) => ({ type: "object", properties: { [name]: { type: "string" } }, required: [name] });
  return {
    test_sampling: {
      schema: argument("prompt"),
      run: async ({ prompt }, { mcpReq }) => {
        const answer = await server.createMessage(question(prompt, 100), { relatedRequestId: mcpReq.id });
        return says(`LLM response: ${textOf(answer)}`);
      },
    },
    test_elicitation: {
      schema: argument("message"),
      run: async ({ message }, context) => {
        const { content } = await elicit(form(message, { response: { type: "string" } }, ["response"]), context);
        return says(`User response: ${content[0].text}`);
      },
    },
    test_elicitation_sep1034_defaults: { run: (_, context) => elicit(form("Check these", defaults), context) },
    test_elicitation_sep1330_enums: { run: (_, context) => elicit(form("Please choose", enums), context) },
  };
}

// --- tools that return their questions -------------------------------------------------------------------------------

const rootsOf = (responses) => responses?.client_roots?.roots;

async function confirmed(_arguments, { mcpReq }) {
  if (mcpReq.requestState() !== undefined && acceptedContent(mcpReq.inputResponses, "confirm") !== undefined) {
    return says("state-ok");
  }
  const requestState = await states.mint({});
  return inputRequired({ inputRequests: { confirm: inputRequired.elicit(CONFIRMATION) }, requestState });
}

async function multipleInputs(_arguments, { mcpReq }) {
  const responses = mcpReq.inputResponses;
  const name = acceptedContent(responses, "user_name")?.name;
  const greeted = textOf(responses?.greeting);
  const roots = rootsOf(responses);
  if (name !== undefined && greeted !== undefined && roots !== undefined) {
    return says(`${greeted}, ${name}: ${roots.length} roots`);
  }
  return inputRequired({
    inputRequests: {
      user_name: inputRequired.elicit(NAME_FORM),
      greeting: greeting(),
      client_roots: inputRequired.listRoots(),
    },
    requestState: await states.mint({}),
  });
}

async function multiRound(_arguments, { mcpReq }) {
  const state = mcpReq.requestState();
  const next = async (key, asked, known) =>
    inputRequired({ inputRequests: { [key]: inputRequired.elicit(asked) }, requestState: await states.mint(known) });
  if (state === undefined) {
    return next("step1", form("Step 1: What is your name?", { name: { type: "string" } }, ["name"]), { round: 1 });
  }
  if (state.round === 1) {
    const { name } = acceptedContent(mcpReq.inputResponses, "step1") ?? {};
    const color = form("Step 2: What is your favorite color?", { color: { type: "string" } }, ["color"]);
    return next("step2", color, { round: 2, name });
  }
  const { color } = acceptedContent(mcpReq.inputResponses, "step2") ?? {};
  return says(`${state.name} likes ${color}`);
}

function asFarAsDeclared(_arguments, { mcpReq }) {
  if (mcpReq.inputResponses !== undefined) {
    return says("answered");
  }
  const declared = mcpReq.envelope?.[CLIENT_CAPABILITIES] ?? {};
  const inputRequests = {
    ...(declared.elicitation && { user_name: inputRequired.elicit(NAME_FORM) }),
    ...(declared.sampling && { greeting: greeting() }),
    ...(declared.roots && { client_roots: inputRequired.listRoots() }),
  };
  return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : says("nobody can be asked");
}

/** Asks one question and goes on with its answer. */
const once = (key, asked, answered) => (_arguments, { mcpReq }) => {
  const said = answered(mcpReq.inputResponses);
  return said === undefined ? inputRequired({ inputRequests: { [key]: asked } }) : says(said);
};

const returnTools = {
  test_missing_capability: { run: once("greeting", greeting(), ({ greeting } = {}) => textOf(greeting)) },
  test_input_required_result_elicitation: {
    run: once("user_name", inputRequired.elicit(NAME_FORM), (responses) => {
      const name = acceptedContent(responses, "user_name")?.name;
      return typeof name === "string" ? `Hello, ${name}!` : undefined;
    }),
  },
  test_input_required_result_sampling: {
    run: once(
      "capital_question",
      inputRequired.createMessage(question("What is the capital of France?", 100)),
      (responses) => textOf(responses?.capital_question),
    ),
  },
  test_input_required_result_list_roots: {
    run: once("client_roots", inputRequired.listRoots(), (responses) => {
      const roots = rootsOf(responses);
      return roots && `roots: ${JSON.stringify(roots)}`;
    }),
  },
  test_input_required_result_request_state: { run: confirmed },
  test_input_required_result_tampered_state: { run: confirmed },
  test_input_required_result_multiple_inputs: { run: multipleInputs },
  test_input_required_result_multi_round: { run: multiRound },
  test_input_required_result_capabilities: { run: asFarAsDeclared },
};

// --- the server ------------------------------------------------------------------------------------------------------

function makeServer() {
  const changes = { listChanged: true };
  const mcp = new McpServer(
    { name: "typescript-v2", version: "1" },
    {
      capabilities: {
        tools: changes,
        prompts: changes,
        resources: { ...changes, subscribe: true },
        logging: {},
        completions: {},
      },
      requestState: { verify: states.verify },
    },
  );
  const { server } = mcp;
  const triggers = {
    test_trigger_tool_change: { run: async () => (await server.sendToolListChanged(), says("told")) },
    test_trigger_prompt_change: { run: async () => (await server.sendPromptListChanged(), says("told")) },
  };
  const tools = { ...contentTools, ...pushTools(server), ...returnTools, ...triggers };
  for (const [name, { schema = { type: "object" }, run }] of Object.entries(tools)) {
    mcp.registerTool(name, { description: name, inputSchema: fromJsonSchema(schema) }, run);
  }
  resources(mcp, ResourceTemplate, IMAGE);
  prompts(mcp, { fromJsonSchema, acceptedContent, inputRequired }, IMAGE);
  server.setRequestHandler("resources/subscribe", () => ({}));
  server.setRequestHandler("resources/unsubscribe", () => ({}));
  server.setRequestHandler("completion/complete", () => ({ completion: { values: [], total: 0, hasMore: false } }));
  return mcp;
}

serveStdio(makeServer, { onerror: (fault) => console.error(fault) });
