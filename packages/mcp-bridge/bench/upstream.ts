// CPU of this process per small tools/call over HTTP: a session of ours beside bare undici dispatch and request,
// fetch and the official client, all against the same server process, one call after the other and 32 at a time.
import { randomBytes } from "node:crypto";
import { startFixtureProcess } from "@gatewright/mcp-fixtures";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { type Dispatcher, Pool } from "undici";
import { createBridge } from "../src/bridge/index.ts";
import { META, parseMessage } from "../src/index.ts";
import { createHttpUpstream } from "../src/upstream/index.ts";

const CALLS = Number(process.env["CALLS"] ?? 20_000);
const fixture = await startFixtureProcess("raw");
const url = new URL(fixture.url);
const client = { clientInfo: { name: "bench", version: "1" }, capabilities: {} };
const params = '{"name":"echo","arguments":{"text":"hello"}}';

const upstream = createHttpUpstream({ url, era: "legacy", serverStream: false });
const session = await upstream.open(client);
const modern = await createHttpUpstream({ url, era: "modern" }).open(client);
const pool = new Pool(url.origin, { connections: 128, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
const headers = {
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  "mcp-protocol-version": session.protocolVersion,
  ...(session.sessionId && { "mcp-session-id": session.sessionId }),
};
const flat = Object.entries(headers).flat();
const body = (id: number) => `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":${params}}`;
let nextId = 1_000_000;

function dispatch(): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: () => undefined,
      onResponseStart: () => undefined,
      onResponseData: (_controller, chunk) => void chunks.push(chunk),
      onResponseEnd: () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)),
      onResponseError: (_controller, error) => reject(error),
    };
    const options: Dispatcher.DispatchOptions = {
      path: url.pathname,
      method: "POST",
      headers: flat,
      body: body(nextId++),
    };
    pool.dispatch(options, handler);
  });
}

const bridge = createBridge({ secret: randomBytes(32) });
const envelope = `"_meta":{"${META.protocolVersion}":"2026-07-28","${META.clientInfo}":{"name":"c","version":"1"},"${META.clientCapabilities}":{}}`;
const message = (text: string) => {
  const parsed = parseMessage(Buffer.from(`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":${text}}`));
  if (parsed.kind !== "request") throw new Error("Not a request.");
  return parsed;
};
const never = () => Promise.reject(new Error("Nobody asks here."));

const sdk = new Client(client.clientInfo);
await sdk.connect(new StreamableHTTPClientTransport(url));

const contenders: Record<string, () => Promise<unknown>> = {
  "bare undici dispatch": dispatch,
  "mcp-bridge, legacy session": () => session.request({ method: "tools/call", params }),
  "mcp-bridge, modern": () => modern.request({ method: "tools/call", params }),
  "mcp-bridge, legacy, signal and progress": () =>
    session.request(
      { method: "tools/call", params: `${params.slice(0, -1)},"_meta":{"progressToken":1}}` },
      { signal: new AbortController().signal },
    ),
  "bridged: stateless client, legacy server": () =>
    bridge.forwardModern(session, message(`${params.slice(0, -1)},${envelope}}`), {
      principal: "u",
      timeoutMs: 60_000,
    }),
  "bridged: legacy client, stateless server": () =>
    bridge.forwardLegacy(modern, message(params), { client, ask: never, timeoutMs: 60_000 }),
  "undici request + text": async () => {
    const answer = await pool.request({ path: url.pathname, method: "POST", headers, body: body(nextId++) });
    return answer.body.text();
  },
  "global fetch + text": async () =>
    (await fetch(url, { method: "POST", headers, body: body(nextId++) })).text(),
  "official client 2.x": () => sdk.callTool({ name: "echo", arguments: { text: "hello" } }),
};

async function cpuPerCall(run: () => Promise<unknown>, calls: number, parallel: number): Promise<number> {
  const before = process.cpuUsage();
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      for (let call = 0; call < calls / parallel; call++) await run();
    }),
  );
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

for (const parallel of [1, 32]) {
  const rounds: Record<string, number[]> = {};
  for (const [name, run] of Object.entries(contenders)) {
    rounds[name] = [];
    await cpuPerCall(run, CALLS / 10, parallel);
  }
  for (let round = 0; round < 3; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      const heavy = name.startsWith("official") || name.startsWith("global");
      rounds[name]?.push(await cpuPerCall(run, heavy ? CALLS / 10 : CALLS / 3, parallel));
    }
  }
  console.log(`\nCPU per call (user + system), ${parallel} in flight, best of 3:`);
  const base = Math.min(...(rounds["bare undici dispatch"] ?? [0]));
  for (const [name, values] of Object.entries(rounds)) {
    const best = Math.min(...values);
    console.log(
      `  ${name.padEnd(42)} ${best.toFixed(1).padStart(7)} µs   ${(best - base >= 0 ? "+" : "") + (best - base).toFixed(1)} µs`,
    );
  }
}

await sdk.close();
await pool.destroy();
await upstream.close();
await fixture.stop();
process.exit(0);
