import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Dialect, type Fault, startFaultyUpstream } from "./support/faulty-upstream.ts";
import { modern } from "./support/modern-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const json = { "content-type": "application/json" };
const events = { "content-type": "text/event-stream" };
const status =
  (code: number, headers: Record<string, string> = {}, body = ""): Fault =>
  (response) =>
    void response.writeHead(code, headers).end(body);
const rpcError =
  (code: number, rpcCode: number): Fault =>
  (response, id) =>
    void response
      .writeHead(code, json)
      .end(JSON.stringify({ jsonrpc: "2.0", id, error: { code: rpcCode, message: "no" } }));
const cut: Fault = (response) => void response.socket?.resetAndDestroy();

/** What an upstream may do to a call that it has executed. None of it may have the call executed once more. */
const broken: Record<string, Fault> = {
  "resets the connection": cut,
  "closes the connection": (response) => void response.socket?.end(),
  "cuts the headers": (response) => {
    response.socket?.write("HTTP/1.1 200 OK\r\ncontent-ty");
    response.socket?.end();
  },
  "cuts a body of a known length": (response, id) => {
    response.writeHead(200, { ...json, "content-length": "500" }).write('{"jsonrpc":"2.0",');
    setTimeout(() => cut(response, id), 10);
  },
  "cuts a body in chunks": (response, id) => {
    response.writeHead(200, json).write('{"jsonrpc":"2.0",');
    setTimeout(() => cut(response, id), 10);
  },
  "cuts a stream before its answer": (response, id) => {
    response.writeHead(200, events).write("event: message\nda");
    setTimeout(() => cut(response, id), 10);
  },
  redirects: status(307, { location: "/mcp" }),
  ...Object.fromEntries(
    [400, 403, 405, 408, 409, 410, 413, 421, 425, 500, 501, 502, 504, 520].flatMap((code) => [
      [`answers ${code}`, status(code)],
      [`answers ${code} and asks to come back`, status(code, { "retry-after": "0" })],
      [`answers ${code} by a JSON-RPC error`, rpcError(code, -32603)],
    ]),
  ),
};

/** The same, by a response that says that the message has come; over HTTP+SSE the answer would come elsewhere. */
const taken: Record<string, Fault> = {
  "ends a body too early": (response) => void response.writeHead(200, json).end('{"jsonrpc":"2.0",'),
  "ends a stream without an answer": (response) => void response.writeHead(200, events).end(": nothing\n\n"),
  "streams nonsense": (response) => void response.writeHead(200, events).end("data: {nonsense\n\n"),
  "answers another id": (response) =>
    void response.writeHead(200, json).end('{"jsonrpc":"2.0","id":"other","result":{}}'),
  "answers with a page": status(200, { "content-type": "text/html" }, "<p>"),
  "answers with nothing": status(200),
  "says accepted": status(202),
  "says no content": status(204),
  ...Object.fromEntries(
    [-32603, -32000, -32001, -32002, -32601, -32700, 1].map((code) => [
      `answers the error ${code}`,
      rpcError(200, code),
    ]),
  ),
};

const silent: Record<string, Fault> = { "is never heard of": () => undefined };
const executed = { ...broken, ...taken, ...silent };

/** What says that the call was not executed. */
const refused: Record<string, Fault> = {
  "429": status(429),
  "429 with Retry-After": status(429, { "retry-after": "0" }),
  "503": status(503),
  "503 with Retry-After": status(503, { "retry-after": "0" }),
  "503 and a JSON-RPC error": rpcError(503, -32603),
  "401": status(401),
};

const faults = { ...executed, ...refused };
type Upstream = Awaited<ReturnType<typeof startFaultyUpstream>>;
type Client = "modern" | "legacy" | "plain";
const dialects = ["modern", "legacy", "sse"] as const;
const clients = ["modern", "legacy", "plain"] as const;

/** What ends a call by its limit of time alone. */
const endless = (dialect: Dialect) => Object.keys(dialect === "sse" ? { ...taken, ...silent } : silent);

let upstreams: Record<Dialect, Upstream>;
let gateway: TestGateway;
let nextId = 1;
/** The answers to calls that end by their limit of time: all are made at once, so that it is waited for once. */
const late = new Map<string, ReturnType<typeof pay>>();
const keyOf = (dialect: Dialect, client: Client) => `${dialect} ${client}`;

beforeAll(async () => {
  const [first, second, third] = await Promise.all(
    dialects.map((dialect) => startFaultyUpstream(dialect, faults)),
  );
  if (first === undefined || second === undefined || third === undefined) throw new Error("not started");
  upstreams = { modern: first, legacy: second, sse: third };
  const servers = Object.entries(upstreams).map(([name, { url }]) => [
    name,
    { url, trusted: true, ...(name === "sse" && { transport: "sse" }) },
  ]);
  gateway = await startTestGateway({
    mcpServers: Object.fromEntries(servers),
    plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 1, maxRetries: 3, budget: false } }],
    sessions: { breakerFailures: 100_000 },
    bridge: { requestTimeoutMs: 2_000 },
  });
  await gateway.core.refresher.ready();
  for (const dialect of dialects) {
    for (const client of clients) {
      const answers = pay(await caller(client, dialect), endless(dialect));
      answers.catch(() => undefined);
      late.set(keyOf(dialect, client), answers);
    }
  }
}, 60_000);
afterAll(async () => {
  await gateway.close();
  for (const upstream of Object.values(upstreams)) await upstream[Symbol.asyncDispose]();
});

/** Makes calls as a client of that kind does. */
async function caller(client: Client, dialect: Dialect) {
  const path = client === "plain" ? "/mcp/http" : `/servers/${await gateway.idOf(dialect)}/mcp`;
  const headers: Record<string, string> = { accept: "application/json" };
  if (client === "legacy") {
    const hello = {
      protocolVersion: "2025-03-26",
      capabilities: {},
      clientInfo: { name: "c", version: "1" },
    };
    const opened = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params: hello });
    headers["mcp-session-id"] = opened.headers.get("mcp-session-id") ?? "";
  }
  return (tool: string, fault: string) => {
    const name = client === "plain" ? `${dialect}_${tool}` : tool;
    const params = { name, arguments: { fault, by: client } };
    if (client === "modern") return modern(gateway, { path, method: "tools/call", params });
    return gateway.rpc(path, { jsonrpc: "2.0", id: nextId++, method: "tools/call", params }, headers);
  };
}

/** Calls a tool without hints, once for each fault. */
const pay = (call: Awaited<ReturnType<typeof caller>>, faults: readonly string[]) =>
  Promise.all(
    faults.map(async (fault) => {
      const { status, body } = await call("pay", fault);
      const sent = body?.error?.data?.phase !== "not_sent";
      return { fault, status, answered: body !== undefined, sent };
    }),
  );

describe.each(dialects)("an upstream that speaks %s", (dialect) => {
  it.each(clients)(
    "RB-10 executes a tool without hints once, whatever it does then: for a %s client",
    async (client) => {
      const call = await caller(client, dialect);
      const startedMs = performance.now();
      const quick = Object.keys(executed).filter((fault) => !endless(dialect).includes(fault));
      const answers = [...(await pay(call, quick)), ...((await late.get(keyOf(dialect, client))) ?? [])];
      expect(answers).toHaveLength(Object.keys(executed).length);
      expect(answers.filter(({ answered }) => !answered)).toEqual([]);
      // On a busy machine the time of a call may be over before it was sent, or before the upstream has read it.
      const received = new Map<string, number>();
      await eventually(() => {
        for (const { fault } of answers) {
          received.set(fault, (received.get(fault) ?? 0) + upstreams[dialect].received(fault, client));
        }
        expect(answers.filter(({ fault, sent }) => received.get(fault) !== Number(sent))).toEqual([]);
      });
      // Nothing after which an HTTP client repeats a request by itself.
      expect(answers.filter(({ status }) => ![200, 400, 404, 405, 413].includes(status))).toEqual([]);
      expect(performance.now() - startedMs).toBeLessThan(20_000);
    },
  );

  it.each(clients)(
    "is sent what it refused no more often than the policy says: for a %s client",
    async (client) => {
      const call = await caller(client, dialect);
      for (const fault of Object.keys(refused)) {
        for (const tool of ["pay", "look"]) {
          const { body } = await call(tool, fault);
          expect(body.error, fault).toBeDefined();
          expect(upstreams[dialect].received(fault, client), fault).toBe(fault === "401" ? 2 : 4);
        }
      }
    },
  );
});
