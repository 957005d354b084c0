// A client that gives up a response of which nothing comes for 1.5 seconds: what Node's fetch does after 300.
// Arguments: URL and token. Prints the texts of three answers: modern, in a session, and modern to a server that starts.

const [url, token, starting] = process.argv.slice(2);

// The dispatcher of fetch is made at its first use.
await fetch('data:,');
const { constructor: Agent } = globalThis[Symbol.for('undici.globalDispatcher.1')];
const dispatcher = new Agent({ headersTimeout: 1500, bodyTimeout: 1500 });

async function post(target, message, headers) {
  const response = await fetch(target, {
    method: 'POST',
    dispatcher,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: '2.0', ...message }),
  });
  return [response, await response.text()];
}

const call = (arguments_, meta) => ({
  id: 1,
  method: 'tools/call',
  params: { name: 'gremlin', arguments: arguments_, _meta: meta },
});
const slow = { do: 'sleep', ms: 4500, say: 'at last' };
const claims = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
const modern = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'gremlin' };
const text = (body) => JSON.parse(body.match(/^data: (\{.*"id":1,.*\})$/m)[1]).result.content[0].text;

async function inModern(target, deed) {
  const [, body] = await post(target, call(deed, claims), modern);
  return text(body);
}

async function inSession() {
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'silent', version: '1' },
  };
  const [opened] = await post(url, { id: 0, method: 'initialize', params }, {});
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') };
  const [, body] = await post(url, call(slow), session);
  return text(body);
}

const answers = await Promise.all([
  inModern(url, slow),
  inSession(),
  inModern(starting, { do: 'sleep', ms: 0, say: 'at last' }),
]);
console.log(JSON.stringify(answers));
