import { startEchoServer } from "@gatewright/mcp-fixtures";
import { type Answer, send } from "@gatewright/resilience";
import {
  eventually,
  type Gateway,
  type PostgresServer,
  startGateway,
  startPostgres,
} from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { descendants } from "./support/processes.ts";

let postgres: PostgresServer;
let echo: Awaited<ReturnType<typeof startEchoServer>>;
let gateway: Gateway;

const workers = 3;
const start = (env: Record<string, string> = {}) =>
  startGateway({
    env: { DATABASE_URL: postgres.url, WORKERS: String(workers), LOG_LEVEL: "info", ...env },
    config: {
      mcpServers: { echo: { url: echo.url } },
      plugins: [{ name: "rate_limiter", mode: "disabled", config: { rules: { by_user: "30/m" } } }],
      server: { drainNoticeMs: 0 },
      // Answers are read as JSON, however late they are.
      limits: { streamAfterMs: 60_000 },
    },
    readyTimeoutMs: 120_000,
  });

beforeAll(async () => {
  [postgres, echo] = await Promise.all([startPostgres(), startEchoServer()]);
  gateway = await start();
}, 150_000);
afterAll(async () => {
  await gateway.close();
  await Promise.all([postgres.close(), echo.close()]);
});

const at = (path: string) => `${gateway.url}${path}`;
const get = (path: string) => send(at(path));
const put = (body: object) => send(at("/admin/plugins/rate_limiter/mode"), { method: "PUT", body });
const rpc = (method: string, params: object, id: unknown = 1) => ({ jsonrpc: "2.0", id, method, params });
const call = (path = "/mcp/http", headers = {}): Promise<Answer> =>
  send(at(path), {
    body: rpc("tools/call", { name: "echo_echo", arguments: { text: "x" } }),
    headers: { accept: "application/json, text/event-stream", ...headers },
  });
const hello = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
const workerPids = async () =>
  (await descendants(gateway.pid, "main.ts")).filter((pid) => pid !== gateway.pid);

/** Opens a session and returns the headers that belong to it. */
async function openSession(): Promise<Record<string, string>> {
  const headers = { accept: "application/json, text/event-stream" };
  const { headers: answered } = await send(at("/mcp"), { body: rpc("initialize", hello), headers });
  return {
    "mcp-session-id": String(answered["mcp-session-id"]),
    "mcp-protocol-version": "2025-11-25",
  };
}

describe("WORKERS=3 on PostgreSQL, without Redis", () => {
  it("listens on one port once all workers do, and each of them serves", async () => {
    expect(await workerPids()).toHaveLength(workers);
    await eventually(async () => (await call()).body.result !== undefined);
    const selves = new Set<string>();
    await eventually(
      async () => {
        const { body } = await get("/admin/plugins");
        selves.add(body.items[0].replicas[0].replica);
        return selves.size === workers;
      },
      { timeoutMs: 10_000 },
    );
  });

  it("a switch of a mode converges on all of them over IPC, and all are shown with what they follow", async () => {
    const { body } = await put({ mode: "permissive", waitFor: "all" });
    expect(body).toMatchObject({ converged: true, missing: [] });
    expect(body.acked).toHaveLength(workers);
    await eventually(async () => {
      const { items } = (await get("/admin/plugins")).body;
      const limiter = items.find(({ plugin }: { plugin: string }) => plugin === "rate_limiter");
      const revs = limiter.replicas.map(({ rev }: { rev?: number }) => rev);
      return revs.length === workers && new Set(revs).size === 1;
    });
  });

  it("divides limits among them, never allowing more than the whole, and says that it is best effort", async () => {
    await put({ mode: "enforce", waitFor: "all" });
    let allowed = 0;
    const begun = performance.now();
    // Connections go to whichever worker is free, so one burst need not use up the share of each.
    await eventually(
      async () => {
        const answers = await Promise.all(Array.from({ length: 30 }, () => call()));
        const more = answers.filter(({ status }) => status === 200).length;
        allowed += more;
        return more === 0 && allowed >= 20;
      },
      { timeoutMs: 20_000 },
    ).finally(() => put({ mode: "disabled", waitFor: "all" }));
    // A share of ten a minute may regain one each six seconds.
    const regained = workers * Math.floor((performance.now() - begun) / 6_000);
    expect(allowed).toBeLessThanOrEqual(30 + regained);
    expect((await get("/admin/limits")).body.sharing).toEqual({
      by: "workers",
      workers,
      guarantee: "best-effort",
    });
  });

  it("finds a session on whichever worker holds it, and ends it from any", async () => {
    const session = await openSession();
    for (let time = 0; time < 3 * workers; time++) {
      const { status, body } = await call("/mcp", session);
      expect([status, body.result?.content?.[0]?.text ?? body]).toEqual([200, expect.stringContaining("x")]);
    }
    const stranger = { ...session, "mcp-session-id": "0".repeat(32) };
    expect((await call("/mcp", stranger)).status).toBe(404);
    expect((await send(at("/mcp"), { method: "DELETE", headers: session })).status).toBe(204);
    for (let time = 0; time < workers; time++) expect((await call("/mcp", session)).status).toBe(404);
  });

  it("worker 1 leads the classification, and polls alone", async () => {
    const leaders = await eventually(
      async () => {
        const seen = new Map<string, boolean>();
        for (let time = 0; time < 4 * workers; time++) {
          const { body } = await get("/admin/classification");
          seen.set(body.replica, body.leader);
        }
        return seen.size === workers && [...seen.values()].filter(Boolean).length === 1 && seen;
      },
      { timeoutMs: 20_000 },
    );
    expect(leaders.size).toBe(workers);
  });

  it("a change by one is served by all", async () => {
    const body = { name: "second", url: echo.url };
    expect((await send(at("/gateways"), { body })).status).toBe(201);
    for (let time = 0; time < 2 * workers; time++) {
      await eventually(async () => {
        const answer = await send(at("/mcp/http"), { body: rpc("tools/list", {}) });
        const names = answer.body.result.tools.map(({ name }: { name: string }) => name);
        return names.includes("second_echo");
      });
    }
  });

  it("a worker that dies is started again, the others serve meanwhile, and its sessions are gone", async () => {
    const before = await workerPids();
    const sessions: Record<string, string>[] = [];
    // The kernel chooses the worker of each: enough that each has some.
    for (let time = 0; time < 8 * workers; time++) sessions.push(await openSession());
    const [victim] = before;
    process.kill(victim ?? 0, "SIGKILL");
    const begun = performance.now();
    const during = await Promise.all(Array.from({ length: 40 }, () => call().catch(() => undefined)));
    // Those that the dead one had taken are reset; none hangs until its client gives up.
    expect(performance.now() - begun).toBeLessThan(15_000);
    expect(during.filter((answer) => answer?.status === 200).length).toBeGreaterThanOrEqual(20);
    await eventually(
      async () => {
        const now = await workerPids();
        return now.length === workers && !now.includes(victim ?? 0);
      },
      { timeoutMs: 20_000 },
    );
    expect(gateway.logs()).toContain("a worker ended; it is started again");
    const statuses = await eventually(async () => {
      const answers = await Promise.all(sessions.map((session) => call("/mcp", session)));
      const found = answers.map(({ status }) => status);
      return found.every((status) => status === 200 || status === 404) && found;
    });
    expect(statuses).toContain(404);
    expect(statuses).toContain(200);
    // The new one has taken the modes over.
    await eventually(
      async () => (await put({ mode: "disabled", waitFor: "all" })).body.acked?.length === workers,
      {
        timeoutMs: 20_000,
      },
    );
  }, 90_000);

  it("another gateway on the same port is refused, though workers share it", async () => {
    const port = new URL(gateway.url).port;
    await expect(start({ PORT: port })).rejects.toThrow(/code 4[\s\S]*is in use by another process/);
  });

  it("ends in good order with its workers, and leaves none behind", async () => {
    const pids = await workerPids();
    const slow = await send(at("/health/live"));
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    expect(slow.status).toBe(200);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
  });

  it("a worker that cannot start ends the start with its code and its words", async () => {
    const failing = start({ HOST: "192.0.2.1", AUTH_REQUIRED: "true" });
    await expect(failing).rejects.toThrow(/code 4[\s\S]*cannot listen on 192\.0\.2\.1/);
  }, 150_000);
});
