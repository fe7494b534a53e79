import { eventually } from "@gatewright/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { reset, type ScriptedServer, type Step, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

// Each test has a gateway and an upstream of its own and mostly waits: they run several at a time.
const open: AsyncDisposable[] = [];
afterAll(() => Promise.all(open.map((each) => each[Symbol.asyncDispose]())));

interface Site {
  readonly gateway: TestGateway;
  readonly server: ScriptedServer;
  call(tool: string, args?: unknown, meta?: unknown): ReturnType<TestGateway["rpc"]>;
  ask(method: string, params: unknown): ReturnType<TestGateway["rpc"]>;
  giveUps(): Promise<Record<string, number>>;
}

async function site(options: {
  readonly policy?: Record<string, unknown>;
  readonly upstream?: Record<string, unknown>;
  readonly config?: Record<string, unknown>;
  readonly limiter?: Record<string, unknown>;
}): Promise<Site> {
  const server = await startScriptedServer();
  open.push(server);
  const { policy, upstream, config, limiter } = options;
  const gateway = await startTestGateway({
    mcpServers: { up: { url: server.url, trusted: true, ...upstream } },
    plugins: [
      { name: "retry", config: { baseMs: 1, maxMs: 5, ...policy } },
      { name: "rate_limiter", config: limiter ?? {} },
    ],
    ...config,
  });
  open.push(gateway);
  await gateway.core.refresher.ready();
  const ask = (method: string, params: unknown) =>
    gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 7, method, params });
  return {
    gateway,
    server,
    ask,
    call: (tool, args = {}, meta) =>
      ask("tools/call", { name: `up_${tool}`, arguments: args, ...(meta ? { _meta: meta } : {}) }),
    giveUps: async () => (await gateway.rest("GET", "/admin/limits")).body.retry.giveUps,
  };
}

const failed = (text: string) => ({ result: { isError: true, content: [{ type: "text", text }] } });
const fine = { result: { content: [{ type: "text", text: "fine" }] } };

describe.concurrent("the loop", () => {
  it("RB-4 two failures and a success are three attempts; after three failures the last comes back unchanged", async () => {
    const { server, call } = await site({});
    server.script("tools/call", failed("1"), failed("2"), fine);
    const good = await call("read");
    expect(good.body.result.content[0].text).toBe("fine");
    expect(good.headers.get("x-gatewright-attempts")).toBe("3");
    expect(server.seen("tools/call")).toHaveLength(3);
    server.script("tools/call", failed("a"), failed("b"), failed("c"));
    const bad = await call("read");
    expect(bad.body.id).toBe(7);
    expect(bad.body.result.content[0].text).toBe("c");
    expect(bad.headers.get("x-gatewright-give-up")).toBe("max_retries");
    expect(server.seen("tools/call")).toHaveLength(6);
  });

  it("an attempt has a new JSON-RPC id, the same params and idempotency key, and its number", async () => {
    const { server, call } = await site({ upstream: { idempotency: true, trusted: false } });
    server.script("tools/call", reset, { status: 500 }, fine);
    expect((await call("write", { a: 1 })).body.result).toBeDefined();
    const seen = server.seen("tools/call");
    expect(new Set(seen.map(({ id }) => id)).size).toBe(3);
    expect(new Set(seen.map(({ params }) => JSON.stringify(params))).size).toBe(1);
    expect(seen[0]?.params._meta["io.gatewright/idempotencyKey"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen.map(({ headers }) => headers["x-gatewright-attempt"])).toEqual([undefined, "2", "3"]);
    server.script("tools/call", fine);
    await call("write", {}, { "io.gatewright/idempotencyKey": "mine" });
    expect(server.seen("tools/call")[3]?.params._meta["io.gatewright/idempotencyKey"]).toBe("mine");
  });

  it("a server that does not honour keys never sees one, and the key does not make a repeat safe", async () => {
    const { server, call } = await site({});
    server.script("tools/call", reset);
    const answer = await call("write", {}, { "io.gatewright/idempotencyKey": "mine" });
    expect(answer.body.error.data).toMatchObject({ code: "outcome_unknown", reason: "unsafe_to_repeat" });
    expect(server.seen("tools/call")).toHaveLength(1);
    expect(server.seen("tools/call")[0]?.params._meta["io.gatewright/idempotencyKey"]).toBeUndefined();
  });

  it("the limiter charges a call once, or each attempt where that is set", async () => {
    const limiter = { rules: { by_tool: { read: "2/h" } } };
    const once = await site({ limiter });
    once.server.script("tools/call", failed("1"), failed("2"), fine);
    expect((await once.call("read")).status).toBe(200);
    expect((await once.call("read")).status).toBe(200);
    expect((await once.call("read")).status).toBe(429);
    const each = await site({ limiter, config: { retry: { chargeEachAttempt: true } } });
    each.server.script("tools/call", failed("1"), failed("2"), fine);
    const refused = await each.call("read");
    expect(refused.status).toBe(429);
    expect(each.server.seen("tools/call")).toHaveLength(2);
    expect(await each.giveUps()).toMatchObject({ not_retryable: 1 });
  });

  it("RB-11 a resource read that meets 503 is read again, and so are prompts, lists and completions", async () => {
    const { server, ask, gateway } = await site({});
    const busy = { status: 503 };
    server.script("resources/read", busy, { result: { contents: [{ uri: "res://a", text: "ok" }] } });
    expect((await ask("resources/read", { uri: "up+res://a" })).body.result.contents[0].text).toBe("ok");
    server.script("prompts/get", busy, { result: { messages: [] } });
    expect((await ask("prompts/get", { name: "up_greet" })).body.result.messages).toEqual([]);
    server.script("completion/complete", busy, { result: { completion: { values: ["y"] } } });
    const ref = { type: "ref/prompt", name: "up_greet" };
    const completed = await ask("completion/complete", { ref, argument: { name: "a", value: "b" } });
    expect(completed.body.result.completion.values).toEqual(["y"]);
    expect(completed.headers.get("x-gatewright-attempts")).toBe("2");
    const completions = server.seen("completion/complete");
    expect(completions.map(({ headers }) => headers["x-gatewright-attempt"])).toEqual([undefined, "2"]);
    expect(new Set(completions.map(({ id }) => id)).size).toBe(2);
    const path = `/servers/${await gateway.idOf("up")}/mcp`;
    server.script("tools/list", { error: { code: -32603, message: "passing" } }, { result: { tools: [] } });
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const body = { jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta: meta } };
    const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" };
    expect((await gateway.rpc(path, body, headers)).body.result.tools).toEqual([]);
    server.script("tools/list", { error: { code: -32603, message: "lasting" } });
    const before = server.seen("tools/list").length;
    const lasting = await gateway.rpc(path, body, headers);
    expect(lasting.body).toMatchObject({ id: 1, error: { message: "lasting" } });
    expect(lasting.headers.get("x-gatewright-give-up")).toBe("max_retries");
    const lists = server.seen("tools/list").slice(before);
    expect(lists.map(({ headers }) => headers["x-gatewright-attempt"])).toEqual([undefined, "2", "3"]);
  });

  it("connecting and the gateway's own listing are repeated", async () => {
    const busy = { status: 503 };
    const server = await startScriptedServer();
    open.push(server);
    const discovered = {
      result: { supportedVersions: ["2026-07-28"], capabilities: { tools: {}, prompts: {} } },
    };
    server.script("server/discover", busy, discovered);
    const passing = { error: { code: -32603, message: "passing" } };
    server.script("tools/list", busy, passing, { result: { tools: [{ name: "late", inputSchema: {} }] } });
    const gateway = await startTestGateway({
      mcpServers: { up: { url: server.url } },
      plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 5, maxRetries: 3 } }],
    });
    open.push(gateway);
    await gateway.core.refresher.ready();
    expect(server.seen("tools/list")).toHaveLength(3);
    const tools = await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method: "tools/list" });
    expect(tools.body.result.tools).toMatchObject([{ name: "up_late" }]);
    const before = server.seen("prompts/list").length;
    server.script("prompts/list", passing, busy, { result: { prompts: [{ name: "greet" }] } });
    await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method: "prompts/list" });
    const lists = server.seen("prompts/list").slice(before);
    expect(lists.map(({ headers }) => headers["x-gatewright-attempt"])).toEqual([undefined, "2", "3"]);
  });

  it("with the plugin switched off nothing is repeated, lists neither", async () => {
    const { server, call, ask, gateway } = await site({});
    await gateway.rest("PUT", "/admin/plugins/retry/mode", { mode: "disabled", waitFor: "all" });
    server.script("tools/call", { status: 503 });
    expect((await call("read")).status).toBe(503);
    expect(server.seen("tools/call")).toHaveLength(1);
    server.script("completion/complete", { status: 503 });
    await ask("completion/complete", {
      ref: { type: "ref/prompt", name: "up_greet" },
      argument: { name: "a", value: "b" },
    });
    expect(server.seen("completion/complete")).toHaveLength(1);
  });
});

describe.concurrent("a policy for migration", () => {
  it("repeats tools alone: a prompt is asked for once, as no plugin looks at its answer", async () => {
    const { server, ask } = await site({ policy: { preset: "contextforge" } });
    server.script("prompts/get", { status: 503 });
    const answer = await ask("prompts/get", { name: "up_greet" });
    expect(answer.body.error.data.code).toBe("backend_unavailable");
    expect(server.seen("prompts/get")).toHaveLength(1);
    server.script("prompts/get", { result: { messages: [] } });
    expect((await ask("prompts/get", { name: "up_greet" })).body.result.messages).toEqual([]);
  });
});

describe.concurrent("a list without plugins", () => {
  it("keeps to the policy's limits of time", async () => {
    const { server, ask } = await site({ policy: { attemptTimeoutMs: 500, maxRetries: 1 } });
    server.script("completion/complete", () => undefined);
    const ref = { type: "ref/prompt", name: "up_greet" };
    const answer = await ask("completion/complete", { ref, argument: { name: "a", value: "b" } });
    expect(answer.body.error.data.code).toBe("upstream_timeout");
    expect(server.seen("completion/complete")).toHaveLength(2);
  });
});

describe.concurrent("waiting", () => {
  it("RB-6 Retry-After is waited for in full; over the cap the call gives up and says why", async () => {
    const { server, call } = await site({});
    server.script("tools/call", { status: 429, headers: { "retry-after": "2" } }, fine);
    expect((await call("write")).body.result).toBeDefined();
    const [first, second] = server.seen("tools/call");
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(1_990);
    server.script("tools/call", { status: 503, headers: { "retry-after": "3600" } });
    const answer = await call("write");
    expect(answer.body.error.data).toMatchObject({
      reason: "retry_after_exceeds_cap",
      retryAfterMs: 3_600_000,
    });
    expect(server.seen("tools/call")).toHaveLength(3);
  });

  it.each([
    { asked: "RateLimit-Reset", headers: { "ratelimit-reset": "1" } },
    { asked: "retry-after-ms", headers: { "retry-after-ms": "1000" } },
    { asked: "an HTTP-date", headers: { "retry-after": new Date(Date.now() + 3_600_000).toUTCString() } },
  ])(
    "RB-6 what an upstream asks by $asked counts, with an answer of its own, too",
    async ({ asked, headers }) => {
      const { server, call } = await site({});
      const steps: Step[] = [
        { status: 429, headers },
        (response) => {
          const { id } = server.seen("tools/call").at(-1) ?? {};
          const error = { code: -32603, message: "busy" };
          response.writeHead(500, { "content-type": "application/json", ...headers });
          response.end(JSON.stringify({ jsonrpc: "2.0", id, error }));
        },
      ];
      for (const step of steps) {
        const before = server.seen("tools/call").length;
        server.script("tools/call", step, fine);
        const answer = await call("read");
        const [first, second] = server.seen("tools/call").slice(before);
        if (asked === "an HTTP-date") {
          expect(second).toBeUndefined();
          const reason = answer.body.error.data?.reason ?? answer.headers.get("x-gatewright-give-up");
          expect(reason).toBe("retry_after_exceeds_cap");
        } else expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(990);
      }
    },
  );

  it("RB-9 the deadline spans attempts and waits, and is passed on", async () => {
    const { server, call, giveUps } = await site({
      policy: { totalDeadlineMs: 1_000, attemptTimeoutMs: 400, baseMs: 500, maxMs: 500, jitter: "none" },
    });
    server.script("tools/call", () => undefined);
    const startedMs = performance.now();
    const answer = await call("read");
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(answer.body.error.data).toMatchObject({ code: "upstream_timeout", reason: "deadline" });
    const seen = server.seen("tools/call");
    expect(seen.length).toBeLessThanOrEqual(2);
    expect(seen[0]?.headers["x-gatewright-timeout-ms"]).toBe("400");
    for (const { headers } of seen.slice(1)) {
      expect(Number(headers["x-gatewright-timeout-ms"])).toBeLessThanOrEqual(100);
    }
    await eventually(() => seen.every(({ aborted }) => aborted));
    expect((await giveUps())["deadline"]).toBe(1);
  });

  it("a caller's own limit of time ends the call, and is passed on", async () => {
    const { server, gateway } = await site({});
    server.script("tools/call", () => undefined);
    const body = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "up_read", arguments: {} } };
    const answer = await gateway.rpc("/mcp/http", body, { "x-gatewright-timeout-ms": "1000" });
    expect(answer.body.error.data).toMatchObject({ code: "upstream_timeout", reason: "deadline" });
    expect(Number(server.seen("tools/call")[0]?.headers["x-gatewright-timeout-ms"])).toBeLessThanOrEqual(
      1_000,
    );
    const hurried = await gateway.rpc("/mcp/http", body, { "x-gatewright-timeout-ms": "5" });
    expect(hurried.body.error.data).toMatchObject({ code: "upstream_timeout", reason: "deadline" });
    expect(server.seen("tools/call")).toHaveLength(1);
  });

  it("a hedge has no more time than the call has left", async () => {
    const { server, gateway } = await site({
      policy: { hedge: { delayMs: 300 } },
      upstream: { stateless: true },
    });
    server.script("tools/call", () => undefined);
    const body = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "up_read", arguments: {} } };
    const answer = await gateway.rpc("/mcp/http", body, { "x-gatewright-timeout-ms": "1000" });
    expect(answer.body.error.data.code).toBe("upstream_timeout");
    const [first, hedge] = server.seen("tools/call").map(({ headers }) => headers["x-gatewright-timeout-ms"]);
    expect(Number(first)).toBeLessThanOrEqual(1_000);
    expect(Number(hedge)).toBeLessThanOrEqual(701);
  });

  it("requests that no plugin sees keep to the caller's limit of time, too", async () => {
    const { server, gateway } = await site({});
    server.script("completion/complete", () => undefined);
    const params = { ref: { type: "ref/prompt", name: "up_greet" }, argument: { name: "a", value: "b" } };
    const body = { jsonrpc: "2.0", id: 1, method: "completion/complete", params };
    const answer = await gateway.rpc("/mcp/http", body, { "x-gatewright-timeout-ms": "1000" });
    expect(answer.body.error.data.code).toBe("upstream_timeout");
    expect(server.seen("completion/complete")).toHaveLength(1);
  });

  it("RB-13 closing the gateway ends a wait: the call ends with its last failure", async () => {
    const { server, call, gateway } = await site({
      policy: { baseMs: 60_000, maxMs: 60_000, jitter: "none" },
      config: { server: { shutdownDeadlineMs: 100, drainNoticeMs: 0 } },
    });
    server.script("tools/call", { status: 503 });
    const pending = call("read");
    await eventually(() => gateway.core.calls.retries.stats().waiting === 1);
    const closing = gateway.close();
    expect((await pending).body.error.data).toMatchObject({ reason: "shutdown" });
    await closing;
    expect(gateway.core.calls.retries.stats().waiting).toBe(0);
  });
});

describe.concurrent("safety", () => {
  it("RB-10 what may have been executed is sent once; a refused connection and a trusted hint are repeated", async () => {
    const { server, call, gateway } = await site({});
    server.script("tools/call", reset);
    const lost = await call("write");
    expect(lost.body.error).toMatchObject({
      code: -31004,
      data: { code: "outcome_unknown", reason: "unsafe_to_repeat", outcomeUnknown: true, retryable: false },
    });
    expect(server.seen("tools/call")).toHaveLength(1);
    server.script("tools/call", { status: 500 });
    const broken = await call("write");
    expect(broken.body.error).toMatchObject({ code: -31004, data: { code: "unsafe_to_repeat" } });
    expect(server.seen("tools/call")).toHaveLength(2);
    server.script("tools/call", reset, fine);
    expect((await call("put")).body.result).toBeDefined();
    server.script("tools/call", failed("no hint"));
    const told = await call("write");
    expect(told.headers.get("x-gatewright-give-up")).toBe("unsafe_to_repeat");
    await server.close();
    const refused = await call("write");
    expect(refused.body.error.data).toMatchObject({ code: "upstream_unreachable", attempts: 3 });
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(metrics).toContain('retry_give_ups_total{reason="unsafe_to_repeat"} 3');
    expect(metrics).toContain('retry_retries_total{reason="network"}');
    expect(metrics).toMatch(/retry_attempts_count \d+/);
  });

  it("RB-10 a read-only hint of an untrusted server is ignored", async () => {
    const { server, call } = await site({ upstream: { trusted: false } });
    server.script("tools/call", reset);
    expect((await call("read")).body.error.data.code).toBe("outcome_unknown");
    expect(server.seen("tools/call")).toHaveLength(1);
  });

  it("RB-12 a slow read is hedged on a server without sessions, its loser aborted; a write never is", async () => {
    const { server, call, giveUps, gateway } = await site({
      policy: { hedge: { delayMs: 50 } },
      upstream: { stateless: true },
    });
    server.script("tools/call", () => undefined, fine);
    expect((await call("read")).body.result.content[0].text).toBe("fine");
    const [loser] = server.seen("tools/call");
    await eventually(() => loser?.aborted === true);
    expect(server.seen("tools/call")).toHaveLength(2);
    server.script("tools/call", (_, send) => void setTimeout(send, 150, fine.result));
    expect((await call("write")).body.result).toBeDefined();
    expect(server.seen("tools/call")).toHaveLength(3);
    expect(await giveUps()).toMatchObject({ hedge_not_read_only: 1 });
    const { retry } = (await gateway.rest("GET", "/admin/limits")).body;
    expect(retry.retries).toMatchObject({ hedge: 1 });
    expect(gateway.core.pool.stats().leases).toBe(0);
  });

  it("RB-12 losers of hedges count for nothing: not for the breaker, the session, the limiter or the attempts", async () => {
    const { server, call, gateway } = await site({
      policy: { hedge: { delayMs: 5 } },
      upstream: { stateless: true },
      limiter: { rules: { by_tool: { read: "15/h" } } },
      config: { retry: { budget: { floorPerSecond: 1_000 } } },
    });
    for (let index = 0; index < 15; index++) {
      server.script("tools/call", () => undefined, fine);
      expect((await call("read")).body.result.content[0].text).toBe("fine");
    }
    expect(server.seen("tools/call")).toHaveLength(30);
    await eventually(() => server.seen("tools/call").filter(({ aborted }) => aborted).length === 15);
    expect(gateway.core.metrics.pool.isOpen(await gateway.idOf("up"))).toBe(false);
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(metrics).toContain('retry_retries_total{reason="hedge"} 15');
    expect(metrics).not.toMatch(/gatewright_sessions_closed_total\{[^}]*reason="(transport|timeout)/);
    expect((await call("read")).body.error.data.code).toBe("rate_limited");
  });

  it("RB-12 a hedge that fails at once does not end the call", async () => {
    const { server, call } = await site({ policy: { hedge: { delayMs: 20 }, maxRetries: 0 } });
    for (const failure of [failed("too busy"), { error: { code: -32603, message: "no" } }]) {
      server.script("tools/call", (_, send) => void setTimeout(send, 400, fine.result), failure);
      expect((await call("read")).body.result.content[0].text).toBe("fine");
    }
    expect(server.seen("tools/call")).toHaveLength(4);
    server.script(
      "tools/call",
      (_, send) => void setTimeout(send, 200, failed("slow").result),
      failed("quick"),
    );
    expect((await call("read")).body.result.content[0].text).toBe("slow");
  });

  it("RB-12 on a server with sessions a slow read is hedged where one has room", async () => {
    const { server, call, giveUps, gateway } = await site({
      policy: { hedge: { delayMs: 50 } },
      upstream: { maxConcurrencyPerSession: 2 },
    });
    server.script("tools/call", () => undefined, fine);
    expect((await call("read")).body.result.content[0].text).toBe("fine");
    const [loser] = server.seen("tools/call");
    await eventually(() => loser?.aborted === true);
    expect(await giveUps()).not.toHaveProperty("hedge_needs_session");
    expect(gateway.core.pool.stats().leases).toBe(0);
    expect(server.seen("server/discover").length).toBeLessThanOrEqual(2);
  });

  it("RB-12 a hedge that the budget does not grant is skipped with its reason", async () => {
    const { server, call, giveUps } = await site({
      policy: { hedge: { delayMs: 10 } },
      upstream: { stateless: true },
      config: { retry: { budget: { ratio: 0, floorPerSecond: 0 } } },
    });
    server.script("tools/call", (_, send) => void setTimeout(send, 100, fine.result));
    expect((await call("read")).body.result).toBeDefined();
    expect(server.seen("tools/call")).toHaveLength(1);
    expect(await giveUps()).toEqual({ hedge_budget_exhausted: 1 });
  });

  it("RB-12 where a session would be needed, the hedge is skipped with its reason", async () => {
    const { server, call, giveUps } = await site({
      policy: { hedge: { delayMs: 10 } },
      upstream: { maxConcurrencyPerSession: 1 },
    });
    server.script("tools/call", (_, send) => void setTimeout(send, 100, fine.result));
    expect((await call("read")).body.result).toBeDefined();
    expect(server.seen("tools/call")).toHaveLength(1);
    expect(await giveUps()).toMatchObject({ hedge_needs_session: 1 });
  });
});

describe.concurrent("the budget", () => {
  it("RB-7 caps the attempts of failing calls, tells the callers, and shows in /admin/limits", async () => {
    const { server, call, gateway, giveUps } = await site({
      policy: { maxRetries: 3 },
      config: { retry: { budget: { ratio: 0.2, floorPerSecond: 0, burst: 5 } } },
    });
    server.script("tools/call", { status: 503 });
    const answers = [];
    for (let index = 0; index < 50; index++) answers.push(await call("read"));
    expect(server.seen("tools/call").length).toBeLessThanOrEqual(60 + 5);
    const reasons = answers.map(({ body }) => body.error.data.reason);
    expect(reasons).toContain("budget_exhausted");
    const { retry } = (await gateway.rest("GET", "/admin/limits")).body;
    expect(retry).toMatchObject({
      enabled: true,
      maxToolRetries: 3,
      budgetOptions: { ratio: 0.2 },
      budget: {
        global: { granted: 10, remaining: 0 },
        tools: expect.arrayContaining([expect.objectContaining({ id: "read", granted: 10, remaining: 0 })]),
        servers: [{ granted: 10, remaining: 0 }],
        tenants: [],
      },
    });
    const { global, tools, servers, tenants } = retry.budget;
    const refused = [global, ...tools, ...servers, ...tenants].reduce((sum, one) => sum + one.refused, 0);
    expect(refused).toBe(retry.giveUps["budget_exhausted"]);
    expect((await giveUps())["budget_exhausted"]).toBe(
      reasons.filter((reason) => reason === "budget_exhausted").length,
    );
  });

  it("pays for no repeat for which the call has no time", async () => {
    const { server, gateway } = await site({ policy: { baseMs: 1, maxMs: 1 } });
    server.script("tools/call", (response) => void setTimeout(() => response.writeHead(503).end(), 995));
    const body = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "up_read", arguments: {} } };
    const answer = await gateway.rpc("/mcp/http", body, { "x-gatewright-timeout-ms": "1000" });
    expect(answer.body.error.data).toMatchObject({ reason: "deadline" });
    expect(server.seen("tools/call")).toHaveLength(1);
    const { retry } = (await gateway.rest("GET", "/admin/limits")).body;
    expect(retry.budget.global).toMatchObject({ granted: 0, refused: 0 });
  });

  it("is the policy's own where that has one, and off where it is false", async () => {
    const own = await site({ policy: { budget: { ratio: 0, floorPerSecond: 0 } } });
    own.server.script("tools/call", { status: 503 });
    expect((await own.call("read")).body.error.data).toMatchObject({
      reason: "budget_exhausted",
      budget: "global",
    });
    const off = await site({ config: { retry: { budget: false } } });
    expect((await off.gateway.rest("GET", "/admin/limits")).body.retry.budget).toBeNull();
    const preset = await site({ policy: { preset: "contextforge" } });
    preset.server.script("tools/call", failed("1"), fine);
    expect((await preset.call("write")).body.result.content[0].text).toBe("fine");
  });
});
