import { startEchoServer } from "@gatewright/mcp-fixtures";
import { eventually, type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let postgres: PostgresServer;
let echo: Awaited<ReturnType<typeof startEchoServer>>;

beforeAll(async () => {
  [postgres, echo] = await Promise.all([startPostgres({ auth: "scram-sha-256" }), startEchoServer()]);
});
afterAll(() => Promise.all([postgres.close(), echo.close()]));

const start = (url: string, more: object = {}) =>
  startTestGateway({ database: { url, ...more }, mcpServers: { echo: { url: echo.url } } });

const call = (id: unknown) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "echo_echo", arguments: { text: "x" } },
});

async function expectNotReady(gateway: TestGateway, reason: string): Promise<void> {
  expect((await gateway.rest("GET", "/health/live")).status).toBe(200);
  for (const path of ["/health", "/health/ready"]) {
    const { status, body } = await gateway.rest("GET", path);
    expect([path, status]).toEqual([path, 503]);
    expect(body.checks.database).toMatchObject({
      status: "down",
      reason,
      message: expect.stringMatching(/database/),
    });
  }
  const ready = await gateway.rest("GET", "/ready");
  expect([ready.status, ready.body.checks.snapshot.status]).toEqual([503, "down"]);
  const list = await gateway.rest("GET", "/gateways");
  expect(list.status).toBe(503);
  expect(list.body.error).toMatchObject({
    code: "db_unavailable",
    message: expect.stringMatching(/database/),
  });
  expect((await gateway.rest("GET", "/gateways", undefined, "no token")).status).toBe(401);
  const shown = await gateway.rest("GET", "/admin/database");
  expect(shown.body).toMatchObject({ kind: "postgres", status: "down", snapshot: "none" });
  for (const { body } of [list, shown, await gateway.rest("GET", "/health/ready")]) {
    expect(JSON.stringify(body)).not.toMatch(/127\.0\.0\.1|localhost|testkit|gatewright|wrong|nowhere/);
  }
}

describe("a gateway whose database is not there when it starts", () => {
  it("is up and live, not ready, answers MCP by an error with the id, and becomes ready by itself", async () => {
    await postgres.stop();
    await using gateway = await start(postgres.url);
    await expectNotReady(gateway, "connection");
    for (const path of ["/mcp/http", "/mcp", "/servers/x/mcp"]) {
      const { status, body, headers } = await gateway.rpc(path, {
        ...call("the id"),
        method: path === "/mcp" ? "initialize" : "tools/call",
      });
      expect([path, status, body.id]).toEqual([path, 503, "the id"]);
      expect(body.error).toMatchObject({ code: -31002, data: { code: "db_unavailable", retryable: true } });
      expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    }
    await postgres.restart();
    await eventually(async () => (await gateway.rest("GET", "/health/ready")).status === 200, {
      timeoutMs: 10_000,
    });
    expect((await gateway.rest("GET", "/ready")).status).toBe(200);
    const answer = await eventually(async () => {
      const { body } = await gateway.rpc("/mcp/http", call(1));
      return body.result !== undefined && body;
    });
    expect(answer.result.content[0].text).toContain("x");
  });

  it("calls to upstreams go on while it is away, and what plugins were set to is found again", async () => {
    await using gateway = await start(postgres.url);
    const mode = "/admin/plugins/rate_limiter/mode";
    expect((await gateway.rest("PUT", mode, { mode: "permissive" })).status).toBe(200);
    await eventually(async () => (await gateway.rpc("/mcp/http", call(1))).body.result !== undefined);
    await postgres.stop();
    await eventually(async () => (await gateway.rest("GET", "/health/ready")).status === 503);
    expect((await gateway.rest("GET", "/ready")).status).toBe(200);
    expect((await gateway.rpc("/mcp/http", call(2))).body.result).toBeDefined();
    await using second = await start(postgres.url);
    expect((await second.rest("GET", mode)).body.mode).toBe("enforce");
    await postgres.restart();
    const found = await eventually(
      async () => {
        const { body } = await second.rest("GET", mode);
        return body.layer === "global_override" && body;
      },
      { timeoutMs: 10_000 },
    );
    expect(found.mode).toBe("permissive");
    await eventually(async () => (await second.rest("GET", "/health/ready")).status === 200);
  });

  it("a mode that is switched while it is away is written down when it is back, and outlives a restart", async () => {
    const mode = "/admin/plugins/rate_limiter/mode";
    const last = await start(postgres.url);
    expect((await last.rest("PUT", mode, { mode: "enforce" })).status).toBe(200);
    await postgres.stop();
    await eventually(async () => (await last.rest("GET", "/health/ready")).status === 503);
    for (const next of ["permissive", "disabled"]) {
      expect((await last.rest("PUT", mode, { mode: next })).status).toBe(200);
    }
    await postgres.restart();
    const kept = async () => {
      const rows = await postgres.query<{ record: string }>(
        "select record from plugin_overrides where scope = 'rate_limiter'",
      );
      const events = await postgres.query<{ next: string }>("select next from audit_events order by at, rev");
      return {
        mode: JSON.parse(rows[0]?.record ?? "{}").mode,
        last: events.slice(-2).map(({ next }) => next),
      };
    };
    await eventually(async () => (await kept()).last.join() === "permissive,disabled", { timeoutMs: 15_000 });
    expect((await kept()).mode).toBe("disabled");
    expect(last.logs.some((line) => line.includes("modes not written down yet"))).toBe(true);
    await last.close();

    // One that starts without its database knows nothing of that; what it is told then is the newer one.
    await postgres.stop();
    await using anew = await start(postgres.url);
    expect((await anew.rest("PUT", mode, { mode: "permissive" })).status).toBe(200);
    await postgres.restart();
    await eventually(async () => (await kept()).mode === "permissive", { timeoutMs: 15_000 });
    expect((await anew.rest("GET", mode)).body.mode).toBe("permissive");
    await using third = await start(postgres.url);
    expect((await third.rest("GET", mode)).body).toMatchObject({
      mode: "permissive",
      layer: "global_override",
    });
  }, 60_000);

  it.each([
    ["a wrong password", "config", () => postgres.url.replace("testkit-password", "wrong-password")],
    ["an unknown database", "config", () => postgres.url.replace(/postgres$/, "nowhere")],
    ["an unknown user", "config", () => postgres.url.replace("gatewright:", "wrong:")],
    ["an unreachable host", "connection", () => postgres.url.replace("127.0.0.1", "nowhere.invalid")],
    ["a closed port", "connection", () => postgres.url.replace(/:\d+\//, ":1/")],
  ])("with %s it is up and not ready, says why, and shows no secret", async (_name, reason, url) => {
    await using gateway = await start(url());
    await eventually(async () => {
      const { body } = await gateway.rest("GET", "/health/ready");
      return body.checks.database.reason === reason;
    });
    await expectNotReady(gateway, reason);
    expect(gateway.logs.join("\n")).not.toMatch(/testkit-password|wrong-password/);
  });

  it("replicas that start at once on an empty database make its tables once, and all serve", async () => {
    await postgres.query("create database together");
    const url = postgres.url.replace(/postgres$/, "together");
    const gateways = await Promise.all([start(url), start(url), start(url)]);
    try {
      for (const gateway of gateways) {
        await eventually(async () => (await gateway.rpc("/mcp/http", call(1))).body.result !== undefined);
        expect((await gateway.rest("GET", "/gateways")).body.total).toBe(1);
      }
    } finally {
      for (const gateway of gateways) await gateway.close();
    }
  });

  it("while another replica makes the tables the API is unavailable, and says why", async () => {
    await postgres.query("create database slow");
    const url = postgres.url.replace(/postgres$/, "slow");
    const other = await postgres.client({ database: "slow" });
    await other.query("select pg_advisory_lock(hashtextextended('gatewright registry', 0))");
    await using gateway = await start(url);
    await eventually(async () => {
      const { body } = await gateway.rest("GET", "/health/ready");
      return body.checks.database.reason === "migrating";
    });
    for (const [method, path, body] of [
      ["GET", "/gateways"],
      ["GET", "/servers/x"],
      ["POST", "/gateways", { name: "x", url: echo.url }],
      ["DELETE", "/gateways/x"],
    ] as const) {
      const answer = await gateway.rest(method, path, body);
      expect([method, path, answer.status]).toEqual([method, path, 503]);
      expect(answer.body.error).toMatchObject({
        code: "db_unavailable",
        message: expect.stringMatching(/database/),
        retryable: true,
        details: { reason: "migrating" },
      });
      expect(Number(answer.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    }
    await other.end();
    await eventually(async () => (await gateway.rest("GET", "/health/ready")).status === 200, {
      timeoutMs: 10_000,
    });
    expect((await gateway.rest("GET", "/gateways")).status).toBe(200);
  });

  it("with a pool of one connection it makes the tables and becomes ready", async () => {
    await postgres.query("create database single");
    const url = postgres.url.replace(/postgres$/, "single");
    await using gateway = await start(url, { pool: { size: 1, overflow: 0 } });
    await eventually(async () => (await gateway.rest("GET", "/health/ready")).status === 200, {
      timeoutMs: 10_000,
    });
    expect((await gateway.rest("GET", "/gateways")).status).toBe(200);
  });

  it("wrong options of the database are refused in words", async () => {
    const wrong = startTestGateway({ database: { url: "postgres://u:secret@a/b?sslmode=perhaps" } });
    await expect(wrong).rejects.toThrow(/sslmode/);
    await expect(wrong).rejects.not.toThrow(/secret/);
  });
});
