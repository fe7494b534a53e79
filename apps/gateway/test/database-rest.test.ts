import { createFaultProxy, type FaultProxy } from "@gatewright/db-resilience/testing";
import { startEchoServer } from "@gatewright/mcp-fixtures";
import { eventually, type PostgresServer, startPostgres } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type RestAnswer, startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let postgres: PostgresServer;
let proxy: FaultProxy;
let echo: Awaited<ReturnType<typeof startEchoServer>>;
let gateway: TestGateway;

beforeAll(async () => {
  [postgres, echo] = await Promise.all([
    startPostgres({ settings: { deadlock_timeout: "100ms" } }),
    startEchoServer(),
  ]);
  proxy = await createFaultProxy({ upstream: postgres });
  const url = postgres.url.replace(String(postgres.port), String(proxy.port));
  gateway = await startTestGateway({ database: { url }, mcpServers: { echo: { url: echo.url } } });
  await gateway.core.refresher.ready();
});
afterEach(async () => {
  proxy.heal();
  await eventually(async () => (await gateway.rest("GET", "/health/ready")).status === 200, {
    timeoutMs: 10_000,
  });
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([proxy.close(), postgres.close(), echo.close()]);
});

/** A REST call with headers of its own. */
async function send(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<RestAnswer> {
  const response = await fetch(`${gateway.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${gateway.token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === "" ? undefined : JSON.parse(text),
  };
}

const server = (name: string) => ({ name, gatewayIds: [gatewayId], names: "prefixed" });
let gatewayId: string;

describe("REST on PostgreSQL", () => {
  beforeAll(async () => {
    gatewayId = await gateway.idOf("echo");
  });

  it("an Idempotency-Key makes a write once: asked for again it shows what was written, and says so", async () => {
    const key = { "idempotency-key": "create-1" };
    const first = await send("POST", "/servers", server("once"), key);
    expect([first.status, first.headers.get("idempotent-replayed")]).toEqual([201, null]);
    const again = await send("POST", "/servers", server("once"), key);
    expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([201, "true"]);
    expect(again.body).toEqual(first.body);
    const other = await send("POST", "/servers", server("other"), key);
    expect([other.status, other.body.error.code]).toEqual([422, "validation_failed"]);
    const elsewhere = await send("DELETE", `/servers/${first.body.id}`, undefined, key);
    expect(elsewhere.status).toBe(422);
    // Somebody else's key of that name is another one.
    const stranger = await gateway.mint({ user: "stranger" });
    const theirs = await send("POST", "/servers", server("theirs"), {
      ...key,
      authorization: `Bearer ${stranger}`,
    });
    expect(theirs.status).toBe(201);
    for (const bad of ["", "x".repeat(256), "with space"]) {
      const refused = await send("POST", "/servers", server("n"), { "idempotency-key": bad });
      expect([bad.length, refused.status]).toEqual([bad.length, 422]);
    }
    const gone = { "idempotency-key": "delete-1" };
    const path = `/servers/${first.body.id}`;
    expect((await send("DELETE", path, undefined, gone)).status).toBe(204);
    expect((await send("DELETE", path, undefined, gone)).status).toBe(204);
    expect((await send("DELETE", path)).status).toBe(404);
  });

  it("ten of one Idempotency-Key at once are one write, answered ten times", async () => {
    const key = { "idempotency-key": "create-2" };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => send("POST", "/servers", server("parallel"), key)),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    const registered = await Promise.all(
      Array.from({ length: 4 }, () =>
        send("POST", "/api/servers", { name: "twice", url: echo.url }, { "idempotency-key": "create-3" }),
      ),
    );
    expect(new Set(registered.map(({ status, body }) => `${status} ${body.id}`)).size).toBe(1);
    const renamed = { "idempotency-key": "patch-1" };
    const path = `/gateways/${registered[0]?.body.id}`;
    for (let time = 0; time < 2; time++) {
      expect((await send("PATCH", path, { name: "renamed" }, renamed)).body.revision).toBe(2);
    }
  });

  it("writes answer X-Consistency-Token, the position in the log with its timeline, and reads with it see the write", async () => {
    const made = await send("POST", "/servers", server("token"));
    const token = made.headers.get("x-consistency-token") ?? "";
    expect(token).toMatch(/^[0-9A-F]+\/[0-9A-F]+@\d+$/);
    const listed = await send("GET", "/servers?name=token", undefined, { "x-consistency-token": token });
    expect(listed.body.total).toBe(1);
    expect(listed.headers.get("x-consistency-token")).toBeNull();
    const patched = await send("PATCH", `/servers/${made.body.id}`, { description: "d" });
    expect(patched.headers.get("x-consistency-token")).toMatch(/\//);
    const removed = await send("DELETE", `/servers/${made.body.id}`);
    expect(removed.headers.get("x-consistency-token")).toMatch(/\//);
  });

  it("every route answers a fault of the database by 503 with code, text and Retry-After, never by 401 or 500", async () => {
    const { paths } = (await send("GET", "/openapi.json")).body as {
      paths: Record<string, Record<string, { requestBody?: unknown }>>;
    };
    const bodies: Record<string, unknown> = {
      "/gateways": { name: "n", url: echo.url },
      "/servers": server("n"),
      "/api/servers": { name: "n", url: echo.url },
      "/api/gateways": { name: "n", url: echo.url },
      "/gateways/{id}": { name: "n" },
      "/servers/{id}": { name: "n" },
      "/admin/plugins/{name}/mode": { mode: "enforce", timeoutMs: 100 },
      "/admin/plugins/{name}": { mode: "enforce", timeoutMs: 100 },
    };
    const own = /^\/(health\/live|ready|metrics|openapi.json|docs|admin\/(?!audit)|\.well-known)/;
    const seen: string[] = [];
    const check = async (when: string) => {
      for (const [path, operations] of Object.entries(paths)) {
        for (const method of Object.keys(operations)) {
          const body = method === "get" || method === "delete" ? undefined : (bodies[path] ?? {});
          const real = path.replace("{id}", gatewayId).replace("{name}", "retry");
          const started = performance.now();
          const answer = await send(method.toUpperCase(), real, body).catch((error: Error) => {
            // What is not JSON is no fault of the database.
            expect(error).toBeInstanceOf(SyntaxError);
            return undefined;
          });
          if (answer === undefined) continue;
          const where = `${when} ${method} ${path}`;
          expect([where, performance.now() - started < 9_500]).toEqual([where, true]);
          // An operator may see where the database is configured to be, without its password.
          const places = `|postgres://|:(${proxy.port}|${postgres.port})`;
          const hidden = path === "/admin/config" ? "testkit" : `testkit${places}`;
          expect([where, JSON.stringify(answer.body)]).toEqual([where, expect.not.stringMatching(hidden)]);
          if (own.test(path)) {
            expect([where, answer.status]).toEqual([where, 200]);
            continue;
          }
          expect([where, answer.status]).toEqual([where, 503]);
          if (path.startsWith("/health")) continue;
          expect([where, answer.body.error]).toEqual([
            where,
            expect.objectContaining({
              code: expect.stringMatching(/^(db_unavailable|db_timeout)$/),
              message: expect.stringMatching(/database/i),
              retryable: true,
            }),
          ]);
          expect(Number(answer.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
          seen.push(where);
        }
      }
    };
    await postgres.stop();
    await eventually(async () => (await gateway.rest("GET", "/health/ready")).status === 503);
    try {
      await check("stopped");
    } finally {
      await postgres.restart();
    }
    expect(seen.length).toBeGreaterThan(18);
  });

  it("metrics and GET /admin/database tell pool, servers and failovers, and name no host", async () => {
    expect((await gateway.rest("GET", "/gateways")).status).toBe(200);
    const text = (await gateway.rest("GET", "/metrics")).body as string;
    for (const line of [
      /^db_pool_size\{server="1"\} [1-9]/m,
      /^db_pool_connections_active\{server="1"\} \d+/m,
      /^db_query_duration_seconds_bucket\{le="0.0005"\} \d+/m,
      /^db_query_duration_seconds_count [1-9]/m,
      /^db_failovers_total 0/m,
      /^db_client_connection_count\{server="1",state="idle"\} \d+/m,
      /^db_client_connection_wait_time_seconds_sum /m,
      /^db_client_connection_timeouts_total\{server="1"\} 0/m,
    ]) {
      expect(text).toMatch(line);
    }
    const { body } = await gateway.rest("GET", "/admin/database");
    expect(body).toMatchObject({
      kind: "postgres",
      status: "ok",
      state: "ready",
      migrated: true,
      snapshot: "loaded",
      failovers: 0,
      server: 1,
      servers: [{ server: 1, state: "up", checkedOut: 0, max: 15 }],
    });
    expect(JSON.stringify(body) + text).not.toMatch(/127\.0\.0\.1|testkit-password/);
    const user = await gateway.mint({ scopes: ["mcp"] });
    expect((await gateway.rest("GET", "/admin/database", undefined, user)).status).toBe(403);
  });

  it("a change is acknowledged although the database goes away before the snapshot has followed", async () => {
    // The reading that follows the write is the first thing in repeatable read.
    proxy.set({ up: { cutAt: { pattern: "repeatable read", position: "before", mode: "rst" } } });
    const made = await send("POST", "/servers", server("kept"));
    expect(made.status).toBe(201);
    proxy.heal();
    await eventually(async () => gateway.core.snapshots.current?.servers.has(made.body.id), {
      timeoutMs: 10_000,
    });
  });

  it("another gateway's change is in the snapshot at once, by NOTIFY, and without it by the poll", async () => {
    await using other = await startTestGateway({
      database: { url: postgres.url, pollMs: 60_000 },
      mcpServers: { echo: { url: echo.url } },
    });
    const has = (id: string) => () => other.core.snapshots.current?.servers.has(id) === true;
    // The listener may still be on its way to its server: then it hears of the next change.
    let count = 0;
    await eventually(
      async () => {
        const made = await send("POST", "/servers", server(`news-${count++}`));
        await eventually(has(made.body.id), { timeoutMs: 1_000 });
      },
      { timeoutMs: 20_000 },
    );
    await using polling = await startTestGateway({
      database: { url: postgres.url, pollMs: 100, pooler: "transaction" },
      mcpServers: { echo: { url: echo.url } },
    });
    const second = await send("POST", "/servers", server("poll"));
    await eventually(() => polling.core.snapshots.current?.servers.has(second.body.id) === true);
  });
});
