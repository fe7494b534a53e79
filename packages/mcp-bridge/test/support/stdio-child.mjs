// A small MCP server over stdio for tests. Arguments: modern, stubborn (ignores end of input and SIGTERM),
// mute (never answers server/discover), fragile (ends when its first message is not initialize).
import { createInterface } from "node:readline";

const flags = new Set(process.argv.slice(2));
if (flags.has("stubborn")) {
  process.on("SIGTERM", () => {});
  setInterval(() => {}, 1_000);
}
if (flags.has("banner")) console.log("Welcome to the child");
console.error(`started ${process.pid}`);
const send = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const lines = createInterface({ input: process.stdin });
let first = true;
const waiting = new Map();
const cancelled = new Set();
let shown;
let answers = 0;
const subscribed = [];
lines.on("line", (line) => {
  const message = JSON.parse(line);
  const { id, method, params } = message;
  if (first && flags.has("fragile") && method !== "initialize") process.exit(3);
  first = false;
  if (method === undefined) {
    const resolve = waiting.get(id);
    waiting.delete(id);
    resolve?.(message);
    return;
  }
  handle(id, method, params);
});
lines.on("close", () => {
  if (!flags.has("stubborn")) process.exit(0);
});

function handle(id, method, params) {
  const reply = (result) => send({ jsonrpc: "2.0", id, result });
  switch (method) {
    case "server/discover":
      if (flags.has("mute")) return;
      if (!flags.has("modern"))
        return send({ jsonrpc: "2.0", id, error: { code: -32601, message: "unknown" } });
      return reply({
        resultType: "complete",
        supportedVersions: ["2026-07-28"],
        capabilities: { tools: {} },
      });
    case "initialize":
      shown = params.capabilities;
      return reply({
        protocolVersion: params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: "child", version: "1" },
      });
    case "pid":
      return reply({ pid: process.pid });
    case "echo":
      return reply({ params });
    case "env":
      return reply({ env: process.env });
    case "hang":
      return;
    case "exit":
      return process.exit(7);
    case "progress":
      send({
        jsonrpc: "2.0",
        method: "notifications/progress",
        params: { progressToken: params._meta.progressToken, progress: 1 },
      });
      return reply({ token: params._meta.progressToken });
    case "ask":
      waiting.set("q1", (answer) => reply({ answer }));
      return send({ jsonrpc: "2.0", id: "q1", method: "roots/list" });
    case "shown":
      return reply({ capabilities: shown });
    case "confide": {
      send({
        jsonrpc: "2.0",
        method: "notifications/message",
        params: { level: "info", data: params.secret },
      });
      send({ jsonrpc: "2.0", method: "notifications/resources/list_changed" });
      const { progressToken } = params._meta;
      send({ jsonrpc: "2.0", method: "notifications/progress", params: { progressToken, progress: 1 } });
      waiting.set(`q${id}`, (answer) => reply({ answer, answers: ++answers }));
      return send({ jsonrpc: "2.0", id: `q${id}`, method: "elicitation/create", params });
    }
    case "resources/subscribe":
    case "resources/unsubscribe":
      subscribed.push(`${method.slice("resources/".length)} ${params.uri}`);
      if (params.uri === "x:refused")
        return send({ jsonrpc: "2.0", id, error: { code: -32002, message: "no" } });
      return reply({});
    case "subscribed":
      return reply({ subscribed });
    case "update":
      send({ jsonrpc: "2.0", method: "notifications/resources/updated", params });
      return reply({});
    case "batch":
      return process.stdout.write(
        `${JSON.stringify([
          { jsonrpc: "2.0", method: "notifications/tools/list_changed" },
          { jsonrpc: "2.0", id, result: { batched: true } },
        ])}\n`,
      );
    case "long":
      return process.stdout.write(`${"x".repeat(params.bytes)}\n`);
    case "cancelled":
      return reply({ cancelled: [...cancelled] });
    case "notifications/cancelled":
      cancelled.add(params.requestId);
      return;
    default:
      if (id !== undefined) reply({});
  }
}
