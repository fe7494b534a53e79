import { startRawServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../src/cli/run-cli.ts";
import { callTool, modeAt, putMode } from "./support/plugin-calls.ts";
import { startTestGateway } from "./support/test-gateway.ts";

let upstream: Awaited<ReturnType<typeof startRawServer>>;

beforeAll(async () => {
  upstream = await startRawServer();
});

afterAll(() => upstream.close());

const start = ({ url }: RedisServer, config: object, more: object = {}) =>
  startTestGateway({
    auth: { required: false },
    redis: { url, ...more },
    mcpServers: { raw: { url: upstream.url } },
    plugins: [{ name: "rate_limiter", config }],
  });

/** Health as `[status code, status]` of `/health/ready` and `/ready`. */
async function readiness(url: string): Promise<[number, string][]> {
  return Promise.all(
    ["/health/ready", "/ready"].map(async (path): Promise<[number, string]> => {
      const response = await fetch(`${url}${path}`);
      return [response.status, ((await response.json()) as { status: string }).status];
    }),
  );
}

const is = (code: number, status: string) => async (url: string) => {
  const found = await readiness(url);
  return found.every(([seenCode, seen]) => seenCode === code && seen === status);
};

// Each has a Redis of its own: they wait side by side.
describe.concurrent("a gateway whose Redis is away", () => {
  it("PF-7 starts, serves the file's mode, says degraded, switches best-effort, and heals by itself", async () => {
    await using redis = await startRedis();
    await redis.stop();
    await using gateway = await start(redis, { rules: { by_user: "2/m" } });
    expect(await is(200, "degraded")(gateway.url)).toBe(true);
    expect(await modeAt(gateway.url)).toMatchObject({ mode: "enforce", layer: "file" });
    // Policy open: allowed, not counted.
    for (let call = 0; call < 4; call++) expect((await callTool(gateway.url, call)).status).toBe(200);
    const { body } = await putMode(gateway.url, { mode: "disabled" });
    expect(body).toMatchObject({ converged: false, guarantee: "best-effort" });
    expect((await modeAt(gateway.url)).mode).toBe("disabled");

    await redis.restart();
    await eventually(() => is(200, "ok")(gateway.url), { timeoutMs: 15_000 });
    const healed = await eventually(async () => {
      const report = (await putMode(gateway.url, { mode: "enforce" })).body;
      return report.converged && report;
    });
    expect(healed).toMatchObject({ guarantee: "fenced" });
    expect(healed.rev).toBeGreaterThan(body.rev);
    // The limiter's breaker looks again within a second.
    await eventually(async () => (await callTool(gateway.url, 1)).headers.get("x-ratelimit-limit") === "2");
    expect((await callTool(gateway.url, 2)).status).toBe(200);
    expect((await callTool(gateway.url, 3)).status).toBe(429);
  });

  it("RL-6 policy open: a hung Redis holds a call no longer than the limiter's deadline", async () => {
    await using redis = await startRedis();
    // Without that deadline it would be held until the driver gives up, after five seconds.
    const patient = { commandTimeoutMs: 10_000 };
    const config = { rules: { by_user: "5/m" }, failurePolicy: "open", timeoutMs: 200 };
    await using gateway = await start(redis, config, patient);
    const counted = async () => (await callTool(gateway.url, 1)).headers.get("x-ratelimit-limit") === "5";
    await eventually(counted);
    redis.pause();
    try {
      const startedMs = performance.now();
      expect((await callTool(gateway.url, 2)).status).toBe(200);
      expect(performance.now() - startedMs).toBeLessThan(3_000);
      await eventually(() => is(200, "degraded")(gateway.url));
    } finally {
      redis.resume();
    }
    await eventually(counted);
  });

  it("stops within a bound while Redis hangs, sessions of clients and all", async () => {
    await using redis = await startRedis();
    const gateway = await start(redis, {});
    const body = await fetch(`${gateway.url}/mcp`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
      body: JSON.stringify({
        ...{ jsonrpc: "2.0", id: 0, method: "initialize" },
        params: {
          protocolVersion: "2025-11-25",
          capabilities: {},
          clientInfo: { name: "client", version: "1" },
        },
      }),
    });
    expect(body.headers.get("mcp-session-id")).not.toBeNull();
    await body.text();
    redis.pause();
    try {
      const startedMs = performance.now();
      await gateway[Symbol.asyncDispose]();
      expect(performance.now() - startedMs).toBeLessThan(20_000);
    } finally {
      redis.resume();
    }
  });

  it("RL-6 policy closed: calls are refused with 503 and not ready is said, until Redis is back", async () => {
    await using redis = await startRedis();
    await using gateway = await start(redis, { rules: { by_user: "50/m" }, failurePolicy: "closed" });
    expect((await callTool(gateway.url, 1)).status).toBe(200);
    await redis.stop();
    const refused = await eventually(async () => {
      const answer = await callTool(gateway.url, "two");
      return answer.status === 503 && answer;
    });
    expect(refused.body).toMatchObject({
      jsonrpc: "2.0",
      id: "two",
      error: { code: -31002, data: { code: "backend_unavailable", retryable: true, retryAfterMs: 1_000 } },
    });
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await is(503, "down")(gateway.url)).toBe(true);
    expect((await putMode(gateway.url, { mode: "disabled" })).body.converged).toBe(false);
    // Disabled, nothing is refused for want of Redis.
    expect((await callTool(gateway.url, 3)).status).toBe(200);
    expect(await is(200, "degraded")(gateway.url)).toBe(true);
    await redis.restart();
    await eventually(() => is(200, "ok")(gateway.url), { timeoutMs: 15_000 });
  });

  it("RL-6 policy local: two live replicas admit half of the limit each", async () => {
    await using redis = await startRedis();
    const config = {
      auth: { required: false },
      redis: { url: redis.url },
      mcpServers: { raw: { url: upstream.url } },
      plugins: [
        {
          name: "rate_limiter",
          config: { rules: { by_user: "10/h" }, failurePolicy: "local", breaker: { failures: 1 } },
        },
      ],
    };
    await using first = await startTestGateway(config);
    await using second = await startTestGateway(config);
    await eventually(() => first.core.control.board.count === 2 && second.core.control.board.count === 2);
    await redis.stop();
    for (const { url } of [first, second]) {
      const answers = [];
      for (let call = 0; call < 10; call++) answers.push(await callTool(url, call));
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(5);
    }
    expect(first.core.control.board.count).toBe(2);
  });
});

describe("a shared secret", () => {
  it("has to be given from outside when REDIS_URL is set", async () => {
    const err: string[] = [];
    const code = await runCli(["serve"], {
      env: { REDIS_URL: "redis://127.0.0.1:6379", PORT: "0" },
      out: () => undefined,
      err: (line) => err.push(line),
      stopped: () => Promise.resolve(),
    });
    expect(code).toBe(3);
    expect(err.join("\n")).toContain("GATEWRIGHT_SECRET: has to be set");
  });
});
