import { startEchoServer } from "@gatewright/mcp-fixtures";
import { send } from "@gatewright/resilience";
import {
  eventually,
  type Gateway,
  type PostgresServer,
  type RedisServer,
  startGateway,
  startPostgres,
  startRedis,
} from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const workers = 2;
let postgres: PostgresServer;
let redis: RedisServer;
let echo: Awaited<ReturnType<typeof startEchoServer>>;
let gateway: Gateway;

beforeAll(async () => {
  [postgres, redis, echo] = await Promise.all([startPostgres(), startRedis(), startEchoServer()]);
  gateway = await startGateway({
    env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url, WORKERS: String(workers) },
    config: {
      mcpServers: { echo: { url: echo.url } },
      plugins: [{ name: "rate_limiter", mode: "disabled", config: { rules: { by_user: "30/m" } } }],
      server: { drainNoticeMs: 0 },
      // Answers are read as JSON, however late they are.
      limits: { streamAfterMs: 60_000 },
    },
    readyTimeoutMs: 120_000,
  });
}, 150_000);
afterAll(async () => {
  await gateway.close();
  await Promise.all([postgres.close(), redis.close(), echo.close()]);
});

const at = (path: string) => `${gateway.url}${path}`;
const put = (body: object) => send(at("/admin/plugins/rate_limiter/mode"), { method: "PUT", body });
const accept = { accept: "application/json, text/event-stream" };
const rpc = (method: string, params: object) => ({ jsonrpc: "2.0", id: 1, method, params });
const call = (path = "/mcp/http", headers = {}) =>
  send(at(path), {
    body: rpc("tools/call", { name: "echo_echo", arguments: { text: "x" } }),
    headers: { ...accept, ...headers },
  });

describe("WORKERS=2 on PostgreSQL, with Redis", () => {
  it("modes converge over Redis, and limits are whole: exactly as many calls pass as the rule allows", async () => {
    await eventually(async () => (await call()).body.result !== undefined, { timeoutMs: 20_000 });
    const { body } = await put({ mode: "enforce", waitFor: "all" });
    expect(body).toMatchObject({ converged: true, missing: [] });
    expect(body.acked).toHaveLength(workers);
    const answers = await Promise.all(Array.from({ length: 60 }, () => call()));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(30);
    expect((await send(at("/admin/limits"))).body.sharing).toMatchObject({ by: "redis" });
    await put({ mode: "disabled", waitFor: "all" });
  }, 60_000);

  it("a session is found on whichever worker holds it, and ended from any", async () => {
    const hello = {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "t", version: "1" },
    };
    const { headers } = await send(at("/mcp"), { body: rpc("initialize", hello), headers: accept });
    const session = {
      "mcp-session-id": String(headers["mcp-session-id"]),
      "mcp-protocol-version": "2025-11-25",
    };
    for (let time = 0; time < 3 * workers; time++) {
      expect((await call("/mcp", session)).body.result?.content?.[0]?.text).toContain("x");
    }
    expect((await send(at("/mcp"), { method: "DELETE", headers: session })).status).toBe(204);
    for (let time = 0; time < workers; time++) expect((await call("/mcp", session)).status).toBe(404);
  }, 60_000);

  it("a change by one is served by all", async () => {
    expect((await send(at("/gateways"), { body: { name: "second", url: echo.url } })).status).toBe(201);
    for (let time = 0; time < 2 * workers; time++) {
      await eventually(async () => {
        const { body } = await send(at("/mcp/http"), { body: rpc("tools/list", {}) });
        return body.result.tools.some(({ name }: { name: string }) => name === "second_echo");
      });
    }
  }, 60_000);
});
