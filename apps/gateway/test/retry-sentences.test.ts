import { afterEach, describe, expect, it } from "vitest";
import { startFaultyUpstream } from "./support/faulty-upstream.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

async function site(config: Record<string, unknown> = {}) {
  const server = await startScriptedServer();
  open.push(server);
  const gateway = await startTestGateway({
    mcpServers: { up: { url: server.url, trusted: true } },
    plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 2, maxRetries: 3 } }],
    ...config,
  });
  open.push(gateway);
  await gateway.core.refresher.ready();
  return { server, gateway };
}

const call = (id: number, args: object = {}) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "up_read", arguments: args },
});

/** Every call fails twice before it succeeds, told apart by its arguments. */
function failTwiceEach(server: ScriptedServer): void {
  const failures = new Map<string, number>();
  server.script("tools/call", (response, send) => {
    const key = JSON.stringify(server.seen("tools/call").at(-1)?.params.arguments);
    const before = failures.get(key) ?? 0;
    failures.set(key, before + 1);
    if (before < 2) response.writeHead(503).end();
    else send({ content: [] });
  });
}

async function metricOf({ url }: TestGateway, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}

describe("what the contract says of the gateway", () => {
  it("RB-5 parallel calls of one tool in one request have their own counters", async () => {
    const { server, gateway } = await site();
    failTwiceEach(server);
    const calls = [1, 2, 3, 4].map((id) => call(id, { id }));
    const { body } = await gateway.rpc("/mcp/http", calls);
    expect(body.map(({ result }: { result?: unknown }) => result !== undefined)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(server.seen("tools/call")).toHaveLength(12);
  });

  it.each([
    ["respectRetryAfter: false", { respectRetryAfter: false, baseMs: 1, maxMs: 2 }],
    ["the preset contextforge", { preset: "contextforge", baseMs: 1, maxMs: 2 }],
  ])("an upstream's Retry-After is not heeded with %s, nor does it end the call", async (_, config) => {
    const { server, gateway } = await site({ plugins: [{ name: "retry", config }] });
    const busy = { status: 503, headers: { "retry-after": "3600" } };
    server.script("tools/call", busy, { result: { content: [] } });
    const { body } = await gateway.rpc("/mcp/http", call(1));
    expect(body.result).toMatchObject({ content: [] });
    expect(server.seen("tools/call")).toHaveLength(2);
  });

  it("a call is one row of the metrics, however many attempts it took", async () => {
    const { server, gateway } = await site();
    failTwiceEach(server);
    const read = async () => [
      await metricOf(gateway, "retry_attempts_count"),
      await metricOf(gateway, "retry_attempts_sum"),
      await metricOf(gateway, 'retry_retries_total{reason="http_status"}'),
    ];
    const [count = 0, sum = 0] = await read();
    await gateway.rpc("/mcp/http", call(1));
    expect(await read()).toEqual([count + 1, sum + 3, 2]);
  });

  it("there is one layer: a call that finds no session asks for one as often as the policy says, and no more", async () => {
    await using upstream = await startFaultyUpstream("legacy", {});
    const gateway = await startTestGateway({
      mcpServers: { up: { url: upstream.url } },
      plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 2, maxRetries: 2 } }],
      sessions: { breakerFailures: 100 },
    });
    open.push(gateway);
    await gateway.core.refresher.ready();
    upstream.refuseSessions();
    const body = { ...call(1), params: { name: "up_pay", arguments: {} } };
    const { data } = (await gateway.rpc("/mcp/http", body)).body.error;
    expect(data).toMatchObject({ attempts: 3, reason: "max_retries" });
    expect(upstream.refusedSessions()).toBe(3);
    expect(upstream.received("")).toBe(0);
  });

  it("RB-7 a tenant that has used up its share has no part in another's", async () => {
    const { server, gateway } = await site({
      retry: { budget: { ratio: 0.5, floorPerSecond: 0, burst: 100 } },
      plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 2, maxRetries: 1 } }],
    });
    const as = async (tenant: string) => {
      const token = await gateway.mint({ tenant });
      return () => gateway.rpc("/mcp/http", call(1), { authorization: `Bearer ${token}` });
    };
    const [thrifty, wasteful] = [await as("thrifty"), await as("wasteful")];
    server.script("tools/call", { result: { content: [] } });
    for (let i = 0; i < 10; i++) await thrifty();
    server.script("tools/call", { status: 503 });
    const reasons = [];
    for (let i = 0; i < 4; i++) reasons.push((await wasteful()).body.error.data);
    expect(reasons.map(({ reason, budget }) => [reason, budget])).toEqual([
      ["budget_exhausted", "tenant"],
      ["max_retries", undefined],
      ["budget_exhausted", "tenant"],
      ["max_retries", undefined],
    ]);
    expect((await thrifty()).body.error.data).toMatchObject({ reason: "max_retries", attempts: 2 });
    const { retry } = (await gateway.rest("GET", "/admin/limits")).body;
    expect(retry.budget.tenants).toEqual([
      expect.objectContaining({ id: "wasteful", granted: 2, refused: 2 }),
      expect.objectContaining({ id: "thrifty", granted: 1, refused: 0 }),
    ]);
  });

  it("RB-7 a tool that has used up its share has no part in one of that name at another server", async () => {
    const other = await startScriptedServer();
    open.push(other);
    const { server, gateway } = await site({
      retry: { budget: { ratio: 0.2, floorPerSecond: 0.001, burst: 100 } },
      plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 2, maxRetries: 1 } }],
    });
    const at = { name: "other", url: other.url, trusted: true };
    const { id } = (await gateway.rest("POST", "/gateways", at)).body;
    await gateway.core.refresher.ready();
    const ask = (name: string) => gateway.rpc("/mcp/http", { ...call(1), params: { name, arguments: {} } });
    const dataOf = async (name: string) => (await ask(name)).body.error.data;
    for (const each of [server, other]) each.script("tools/call", { result: { content: [] } });
    // What servers and all have earned is enough.
    for (let i = 0; i < 20; i++) await Promise.all([ask("up_write"), ask("other_write")]);
    for (const each of [server, other]) each.script("tools/call", { status: 503 });
    expect((await dataOf("up_read")).reason).toBe("max_retries");
    for (let i = 0; i < 2; i++) {
      expect(await dataOf("up_read")).toMatchObject({ reason: "budget_exhausted", budget: "tool" });
    }
    expect(await dataOf("other_read")).toMatchObject({ reason: "max_retries", attempts: 2 });
    const { tools } = (await gateway.rest("GET", "/admin/limits")).body.retry.budget;
    const own = expect.objectContaining({
      id: "read",
      server: await gateway.idOf("up"),
      granted: 1,
      refused: 2,
    });
    const others = expect.objectContaining({ id: "read", server: id, granted: 1, refused: 0 });
    expect(tools).toEqual(expect.arrayContaining([own, others]));
  });
});
