import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEvents } from "./support/events-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { hello, modernParams, openSocket } from "./support/socket-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let server: ScriptedServer;
let gateway: TestGateway;
let paths: readonly string[];
let session: Record<string, string>;
const agent = new Agent({ keepAlive: true, maxSockets: 4 });

beforeAll(async () => {
  server = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { up: { url: server.url } },
    limits: { bodyBytes: 65_536, jsonDepth: 32 },
  });
  await gateway.core.refresher.ready();
  paths = ["/mcp", "/mcp/http", `/servers/${await gateway.idOf("up")}/mcp`];
  const opened = await gateway.rpc("/mcp", { jsonrpc: "2.0", ...hello() });
  session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
});

afterAll(async () => {
  agent.destroy();
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

const json = fc.jsonValue({ maxDepth: 3 });
const method = fc.oneof(
  fc.constantFrom("tools/list", "tools/call", "ping", "server/discover", "initialize", "completion/complete"),
  fc.constantFrom(
    "resources/read",
    "prompts/get",
    "logging/setLevel",
    "notifications/cancelled",
    "constructor",
  ),
  fc.string(),
);
const params = fc.oneof(
  json,
  fc.record({
    name: fc.oneof(fc.constantFrom("up_read", "read", "__proto__"), json),
    arguments: json,
    uri: json,
  }),
  fc.record({ cursor: json, _meta: json, ref: json, level: json }).map((value) => modernParams(value)),
);
const message = fc.record(
  {
    jsonrpc: fc.oneof({ weight: 9, arbitrary: fc.constant("2.0") }, json),
    id: fc.oneof({ weight: 4, arbitrary: fc.oneof(fc.integer(), fc.string()) }, json),
    method: fc.oneof({ weight: 9, arbitrary: method }, json),
    params,
    result: json,
    error: json,
  },
  { requiredKeys: ["jsonrpc"] },
);

/** Messages, values that are none, and messages that were damaged on the way. */
const body = fc.oneof(
  { weight: 4, arbitrary: message.map((value) => Buffer.from(JSON.stringify(value))) },
  fc.oneof(fc.array(message, { maxLength: 3 }), json).map((value) => Buffer.from(JSON.stringify(value))),
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  fc.tuple(message, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
    const bytes = Buffer.from(JSON.stringify(value));
    bytes[at % bytes.length] = byte;
    return bytes;
  }),
);

const version = fc.constantFrom("2026-07-28", "2025-11-25", "2025-03-26", "2099-01-01", "=?base64?", "");
const token = fc.constantFrom(
  "tools/call",
  "tools/list",
  "read",
  "=?base64?cmVhZA==?=",
  "=?base64?%?=",
  "x y",
);
const headers = fc.record(
  {
    "mcp-protocol-version": version,
    "mcp-method": token,
    "mcp-name": token,
    "mcp-session-id": fc.constantFrom("unknown", "own"),
    accept: fc.constantFrom(
      "application/json",
      "text/event-stream",
      "application/json, text/event-stream",
      "*/*",
    ),
    "content-type": fc.constantFrom("application/json", "application/json; charset=utf-8", "text/plain"),
    "last-event-id": fc.constantFrom("0-1", "x"),
  },
  { requiredKeys: ["content-type"] },
);

async function post(path: string, bytes: Buffer, given: Record<string, string | undefined>) {
  const own = given["mcp-session-id"] === "own" ? { ...given, ...session } : given;
  const all = { ...own, authorization: `Bearer ${gateway.token}`, "content-length": bytes.length };
  const outgoing = request(`${gateway.url}${path}`, { method: "POST", agent, headers: all });
  outgoing.end(bytes);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode ?? 0, type: response.headers["content-type"], text };
}

/** The id under which an answer is owed: the message's own where it is one that can be answered. */
function owedId(bytes: Buffer): unknown {
  try {
    const value = JSON.parse(bytes.toString("utf8")) as { readonly id?: unknown } | null;
    if (Array.isArray(value)) return undefined;
    const id = value?.id;
    return typeof id === "string" || Number.isInteger(id) ? id : null;
  } catch {
    return undefined;
  }
}

function checkAnswer(text: string, bytes: Buffer): void {
  const answer = JSON.parse(text) as Record<string, unknown>;
  expect(answer["jsonrpc"]).toBe("2.0");
  expect(Object.hasOwn(answer, "id")).toBe(true);
  expect("result" in answer || "error" in answer).toBe(true);
  const owed = owedId(bytes);
  if (answer["id"] !== null && owed !== undefined) expect(answer["id"]).toEqual(owed);
}

const faults = () => gateway.logs.filter((line) => (JSON.parse(line) as { level: number }).level >= 50);

describe("anything that is posted", () => {
  it("is answered by JSON-RPC with its id, or accepted without a body; nothing fails inside", async () => {
    const where = fc.constantFrom(0, 1, 2);
    await fc.assert(
      fc.asyncProperty(where, body, headers, async (index, bytes, given) => {
        const { status, type = "", text } = await post(paths[index] ?? "", bytes, given);
        expect([200, 202, 400, 403, 404, 405, 413, 429, 503]).toContain(status);
        if (status === 202) expect(text).toBe("");
        else if (type.includes("json")) checkAnswer(text, bytes);
        else for (const [, data = ""] of text.matchAll(/^data: (\{.*)$/gm)) JSON.parse(data);
      }),
      { numRuns: 300 },
    );
    expect(faults()).toEqual([]);
    expect((await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method: "ping" })).status).toBe(200);
  });

  it("to the transport of 2024-11-05 is accepted, and answered on the stream, or refused with an id", async () => {
    await using client = await openEvents(gateway);
    await fc.assert(
      fc.asyncProperty(body, async (bytes) => {
        const { status, text } = await post(client.endpoint, bytes, { "content-type": "application/json" });
        expect([202, 400, 404, 413]).toContain(status);
        if (status !== 202) checkAnswer(text, bytes);
      }),
      { numRuns: 150 },
    );
    await client.ask({ id: "last", method: "ping" });
    for (const answer of client.messages)
      expect(Object.hasOwn(answer, "id") || "method" in answer).toBe(true);
    expect(faults()).toEqual([]);
  });
});

describe("anything that is sent over a WebSocket", () => {
  it("is answered by JSON-RPC with an id, or is nothing that is answered; the socket stays", async () => {
    await using client = await openSocket(gateway);
    const utf8 = body.filter((bytes) => bytes.toString("utf8") === Buffer.from(bytes).toString("utf8"));
    await fc.assert(
      fc.asyncProperty(utf8, fc.integer({ min: 1, max: 1_000_000_000 }), async (bytes, marker) => {
        const id = `marker-${marker}`;
        const from = client.messages.length;
        client.send(bytes.toString("utf8"));
        await client.ask({ id, method: "ping" });
        for (const answer of client.messages.slice(from)) {
          expect(answer.jsonrpc).toBe("2.0");
          expect(Object.hasOwn(answer, "id") || "method" in answer).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    expect(faults()).toEqual([]);
  });
});
