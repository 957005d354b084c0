// The resources and prompts of conformance.mjs, and the forms of questions.

/** The parameters of an elicitation. */
export const form = (message, properties, required = []) => ({
  message,
  requestedSchema: { type: "object", properties, required },
});

/** The text that a model answered, if it did. */
export const textOf = (answer) => answer?.content?.text;

export function resources(mcp, ResourceTemplate, image) {
  const fixed = [
    ["static-text", "test://static-text", "text/plain", { text: "This is the content of the static text resource." }],
    ["static-binary", "test://static-binary", "image/png", { blob: image }],
    ["watched-resource", "test://watched-resource", "text/plain", { text: "Watched resource content" }],
  ];
  for (const [name, uri, mimeType, content] of fixed) {
    const read = () => ({ contents: [{ uri, mimeType, ...content }] });
    mcp.registerResource(name, uri, { description: name, mimeType }, read);
  }
  const template = new ResourceTemplate("test://template/{id}/data", { list: undefined });
  const mimeType = "application/json";
  mcp.registerResource("template", template, { description: "by id", mimeType }, (uri, { id }) => ({
    contents: [{ uri: uri.toString(), mimeType, text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }],
  }));
}

export function prompts(mcp, { fromJsonSchema, acceptedContent, inputRequired }, image) {
  const said = (...contents) => ({ messages: contents.map((content) => ({ role: "user", content })) });
  const text = (words) => ({ type: "text", text: words });
  const strings = (...names) =>
    fromJsonSchema({
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
      required: names,
    });
  const register = (name, run, argsSchema) => mcp.registerPrompt(name, { description: name, argsSchema }, run);
  register("test_simple_prompt", () => said(text("This is a simple prompt for testing.")));
  register(
    "test_prompt_with_arguments",
    ({ arg1, arg2 }) => said(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
    strings("arg1", "arg2"),
  );
  register(
    "test_prompt_with_embedded_resource",
    ({ resourceUri }) => {
      const resource = { uri: resourceUri, mimeType: "text/plain", text: "Embedded resource content for testing." };
      return said({ type: "resource", resource }, text("Please process the embedded resource above."));
    },
    strings("resourceUri"),
  );
  register("test_prompt_with_image", () => {
    return said({ type: "image", data: image, mimeType: "image/png" }, text("Please analyze the image above."));
  });
  register("test_input_required_result_prompt", ({ mcpReq }) => {
    const context = acceptedContent(mcpReq.inputResponses, "user_context")?.context;
    if (context !== undefined) {
      return said(text(`Use the following context: ${context}`));
    }
    const asked = form("What context should the prompt use?", { context: { type: "string" } }, ["context"]);
    return inputRequired({ inputRequests: { user_context: inputRequired.elicit(asked) } });
  });
}
