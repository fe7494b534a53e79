import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@gatewright/testkit";
import { afterEach, expect, it } from "vitest";
import { modern } from "./support/modern-client.ts";
import { reset, type ScriptedServer, type Step, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

const retry = { name: "retry", config: { baseMs: 5, maxMs: 5, jitter: "none" } };

interface Site {
  readonly server: ScriptedServer;
  readonly inner: TestGateway;
  readonly outer: TestGateway;
  /** Calls a tool at the gateway in front of the server, and at the one in front of that. */
  direct(tool?: string): ReturnType<typeof modern>;
  call(tool?: string): ReturnType<typeof modern>;
}

/** Two gateways in a row before a server that honours keys: the first one mints them, the client sends none. */
async function site(config: Record<string, unknown> = {}, upstream: object = {}): Promise<Site> {
  const server = await startScriptedServer();
  open.push(server);
  const inner = await startTestGateway({
    mcpServers: { up: { url: server.url, idempotency: true, ...upstream } },
    plugins: [retry],
    ...config,
  });
  open.push(inner);
  await inner.core.refresher.ready();
  const path = `/servers/${await inner.idOf("up")}/mcp`;
  const headers = { authorization: `Bearer ${inner.token}` };
  const outer = await startTestGateway({
    mcpServers: { inner: { url: `${inner.url}${path}`, headers } },
    plugins: [retry],
  });
  open.push(outer);
  await outer.core.refresher.ready();
  const before = `/servers/${await outer.idOf("inner")}/mcp`;
  const ask =
    (gateway: TestGateway, at: string) =>
    (name = "write") =>
      modern(gateway, { path: at, method: "tools/call", params: { name, arguments: {} } });
  return { server, inner, outer, direct: ask(inner, path), call: ask(outer, before) };
}

function keysOf(server: ScriptedServer): number {
  const keys = server.seen("tools/call").map(({ params }) => params._meta["io.gatewright/idempotencyKey"]);
  return new Set(keys).size;
}

const failed: Step = { result: { isError: true, content: [] } };
const rpcError = { code: -32050, message: "busy", data: { retryable: true } };
const refusedBy =
  (status: number): Step =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", "retry-after": "1" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id: 0, error: { code: -31002, message: "busy" } }));
  };

it.each<readonly [string, Step, Step]>([
  ["was lost, and the others are refused with 503", reset, { status: 503, headers: { "retry-after": "0" } }],
  ["was lost, and the others are refused with 429", reset, { status: 429 }],
  ["was lost, and the next one is refused for its credentials", reset, { status: 401 }],
  ["was lost, and the others are answered with 503 by a gateway", reset, refusedBy(503)],
  ["was lost, and the next one is an error that may be repeated", reset, { error: rpcError }],
  ["was answered with a failure, and the others are refused", failed, { status: 503 }],
])("RB-10 a call whose first attempt %s, is called unknown: nobody repeats it", async (_, first, then) => {
  const { server, direct, call } = await site();
  server.script("tools/call", first, then);
  const told = await call();
  expect(keysOf(server)).toBe(1);
  expect(told.body.error.data).toMatchObject({ code: "outcome_unknown", retryable: false });
  server.script("tools/call", first, then);
  const { status, headers, body } = await direct();
  expect(status).toBe(200);
  expect(headers.get("retry-after")).toBeNull();
  expect(body.error.code).toBe(-31004);
  expect(body.error.data).toMatchObject({
    code: "outcome_unknown",
    retryable: false,
    outcomeUnknown: true,
    attempts: expect.any(Number),
    lastError: { code: expect.any(String) },
  });
  expect(body.error.data).not.toHaveProperty("phase");
  expect(body.error.data).not.toHaveProperty("retryAfterMs");
});

it("RB-10 a server that is gone after it took a call was sent it all the same", async () => {
  const { server, direct } = await site();
  server.script("tools/call", () => void server.close());
  const { status, body } = await direct();
  expect(status).toBe(200);
  expect(body.error.data).toMatchObject({
    code: "outcome_unknown",
    retryable: false,
    reason: "max_retries",
    attempts: 3,
    lastError: { code: "upstream_unreachable", phase: "not_sent" },
  });
});

it("RB-10 a repeat that a limiter refuses leaves unknown what came of the first attempt", async () => {
  const limiter = { name: "rate_limiter", config: { rules: { by_tool: { write: "1/2s" } } } };
  const { server, direct, call } = await site({
    retry: { chargeEachAttempt: true },
    plugins: [retry, limiter],
  });
  server.script("tools/call", reset);
  const { body } = await call();
  expect(body.error.data).toMatchObject({
    code: "outcome_unknown",
    retryable: false,
    lastError: { code: "rate_limited" },
  });
  expect(server.seen("tools/call")).toHaveLength(1);
  const next = await direct();
  expect([next.status, next.body.error.data.code]).toEqual([429, "rate_limited"]);
});

it("what may be executed twice is told as it is: the last error, and that it may be made again", async () => {
  const { server, direct } = await site({}, { trusted: true });
  server.script("tools/call", reset, { status: 503 });
  for (const tool of ["read", "put"]) {
    const { status, body } = await direct(tool);
    expect(status).toBe(503);
    expect(body.error.data).toMatchObject({ code: "backend_unavailable", retryable: true, attempts: 3 });
    server.script("tools/call", reset, { status: 503 });
  }
});

it("a call that was refused every time was not executed, and says so", async () => {
  const { server, direct } = await site();
  server.script("tools/call", { status: 503 });
  const { status, body } = await direct();
  expect(status).toBe(503);
  expect(body.error.data).toMatchObject({ code: "backend_unavailable", retryable: true, attempts: 3 });
});

const slow = `export default {
  name: "slow", version: "1.0.0", description: "never ends", failure: "closed",
  hooks: { tool_post_invoke: { reads: "outcome" } },
  create: () => ({ hooks: { tool_post_invoke: () => new Promise(() => {}) } }),
};
`;

it("a call after which a plugin took too long was executed, and is not called retryable", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gatewright-slow-"));
  open.push({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
  const module = join(folder, "own.mjs");
  await writeFile(module, slow);
  const { server, direct } = await site({
    plugins: [retry, { name: "slow", module, timeoutMs: 50, onError: "fail" }],
  });
  expect((await direct()).body.error.data).toMatchObject({ code: "plugin_timeout", retryable: false });
  expect(server.seen("tools/call")).toHaveLength(1);
});

it("an answer that was an error is not called retryable where the call may not be made twice, without `retry` neither", async () => {
  const { server, inner, direct } = await site({}, { trusted: true });
  await inner.rest("PUT", "/admin/plugins/retry/mode", { mode: "disabled", waitFor: "all" });
  server.script("tools/call", { status: 500 });
  const dataOf = async (tool: string) => (await direct(tool)).body.error.data;
  expect(await dataOf("write")).toMatchObject({ code: "upstream_unreachable", retryable: false });
  expect(await dataOf("read")).toMatchObject({ code: "upstream_unreachable", retryable: true });
});

it("nor is one of a request that no plugin sees, unless the protocol says that it only reads", async () => {
  const { server, inner } = await site();
  const path = `/servers/${await inner.idOf("up")}/mcp`;
  const dataOf = async (method: string, params: Record<string, unknown> = {}) => {
    server.script(method, { status: 500 });
    return (await modern(inner, { path, method, params })).body.error.data;
  };
  expect(await dataOf("acme/pay")).toMatchObject({ code: "unsafe_to_repeat", retryable: false });
  await inner.rest("PUT", "/admin/plugins/retry/mode", { mode: "disabled", waitFor: "all" });
  expect(await dataOf("acme/pay")).toMatchObject({ code: "upstream_unreachable", retryable: false });
  const ref = { type: "ref/prompt", name: "greet" };
  const asked = { ref, argument: { name: "a", value: "b" } };
  expect(await dataOf("completion/complete", asked)).toMatchObject({
    code: "upstream_unreachable",
    retryable: true,
  });
});

it("RB-9 RB-13 a call that runs out of time, and one that is stopped, after a refusal say what went before", async () => {
  const { server, inner, direct } = await site({
    plugins: [{ name: "retry", config: { ...retry.config, totalDeadlineMs: 10_000 } }],
  });
  server.script("tools/call", reset, { status: 503, headers: { "retry-after": "15" } });
  const late = await direct();
  expect(late.status).toBe(200);
  expect(late.body.error.data).toMatchObject({ code: "outcome_unknown", reason: "deadline", attempts: 2 });
  server.script("tools/call", reset, { status: 503, headers: { "retry-after": "8" } });
  const stopped = direct();
  await eventually(() => server.seen("tools/call").length === 4);
  const { retries } = inner.core.calls;
  await eventually(() => retries.stats().waiting === 1);
  retries.stop();
  const { status, body } = await stopped;
  expect(status).toBe(200);
  expect(body.error.data).toMatchObject({ code: "outcome_unknown", reason: "shutdown", attempts: 2 });
});

it("RB-9 RB-13 a request that no plugin sees says what went before its last attempt, too", async () => {
  const { server, inner } = await site({
    plugins: [{ name: "retry", config: { ...retry.config, repeatUnsafe: true } }],
  });
  const path = `/servers/${await inner.idOf("up")}/mcp`;
  server.script("acme/pay", reset, { status: 503 }, { status: 503 }, { status: 503 });
  const { status, body } = await modern(inner, { path, method: "acme/pay", params: {} });
  expect(server.seen("acme/pay").length).toBeGreaterThan(1);
  expect(status).toBe(200);
  expect(body.error.data).toMatchObject({ code: "outcome_unknown", retryable: false });
  const ref = { type: "ref/prompt", name: "greet" };
  const params = { ref, argument: { name: "a", value: "b" } };
  server.script("completion/complete", reset, { status: 503 }, { status: 503 }, { status: 503 });
  const read = await modern(inner, { path, method: "completion/complete", params });
  expect(read.body.error.data).toMatchObject({ retryable: true });
});
