// A legacy MCP server over stdio in plain Node. Its tools: `update` says that the resource `uri` was updated, `change` that
// its list of tools was, and `seen` answers what it was subscribed to and unsubscribed from.
import { createInterface } from "node:readline";

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const seen = [];
const capabilities = { tools: { listChanged: true }, resources: { subscribe: true } };
const tools = ["update", "change", "seen"].map((name) => ({ name, inputSchema: { type: "object" } }));
const calls = {
  update: ({ uri }) => void send({ method: "notifications/resources/updated", params: { uri } }),
  change: () => void send({ method: "notifications/tools/list_changed" }),
  seen: () => ({ seen }),
};
const methods = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities,
    serverInfo: { name: "child", version: "1" },
  }),
  ping: () => ({}),
  "tools/list": () => ({ tools }),
  "resources/list": () => ({ resources: [{ uri: "res://a", name: "a" }] }),
  "resources/templates/list": () => ({ resourceTemplates: [] }),
  "resources/subscribe": ({ uri }) => void seen.push(`subscribe ${uri}`),
  "resources/unsubscribe": ({ uri }) => void seen.push(`unsubscribe ${uri}`),
  "tools/call": ({ name, arguments: args }) => ({ content: [], structuredContent: calls[name](args) ?? {} }),
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const answer = methods[method];
  if (answer === undefined) send({ id, error: { code: -32_601, message: "unknown" } });
  else send({ id, result: answer(params ?? {}) ?? {} });
});
