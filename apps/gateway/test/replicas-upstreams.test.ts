import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { buildCounterServer, createLedger, startSdkServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openSession, startReplicaSet } from "./support/replica-set.ts";

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.close());

/** A counter server that asks for credentials, and notes what it was shown by whoever did not come to end a session. */
async function guardedCounter(accepted: string[]) {
  const seen: string[] = [];
  const bySession = new Map<string, Set<string>>();
  const server = await startSdkServer(
    ({ sessionId }) => buildCounterServer(createLedger(), sessionId ?? ""),
    {
      era: "legacy",
      guard: (request) => {
        const shown = request.headers.get("x-key") ?? request.headers.get("authorization") ?? "";
        if (request.method !== "DELETE") seen.push(shown);
        const id = request.headers.get("mcp-session-id");
        if (id !== null) bySession.set(id, (bySession.get(id) ?? new Set()).add(shown));
        return accepted.includes(shown) ? undefined : new Response("no", { status: 401 });
      },
    },
  );
  onTestFinished(() => server.close());
  /** What the upstream session of an answer was shown, ever. */
  const shownIn = ({ session }: { session: string }) => [...(bySession.get(session) ?? [])];
  return { server, seen, accepted, shownIn };
}

const bearer = (token: string) => ({ type: "bearer", token });

describe("credentials of an upstream", () => {
  it("SP-12 changed at A evict its sessions at A, B and C; a rename evicts none", async () => {
    await using set = await startReplicaSet(redis, 3);
    const { server, seen } = await guardedCounter(["Bearer old", "Bearer new"]);
    const id = await set.register({ name: "guarded", url: server.url, auth: bearer("old") });
    const [a] = set.replicas;
    const path = `/servers/${id}/mcp`;
    const sessions = await Promise.all(set.replicas.map((replica) => openSession(replica, path)));
    for (const [index, session] of sessions.entries()) {
      await session.tool(set.replicas[index]!, "add", { amount: 1 });
    }
    const closed = server.stats().sessionsClosed;
    expect((await a!.rest("PATCH", `/gateways/${id}`, { name: "renamed" })).body.name).toBe("renamed");
    await eventually(() =>
      set.replicas.every(({ core }) => core.snapshots.current?.upstreams.get(id)?.name === "renamed"),
    );
    for (const [index, session] of sessions.entries()) {
      expect(await session.tool(set.replicas[index]!, "read")).toMatchObject({ value: 1 });
    }
    const begin = performance.now();
    await a!.rest("PATCH", `/gateways/${id}`, { auth: bearer("new") });
    // The gateways' own sessions are closed, too: only the state tells that each client's was.
    for (const [index, session] of sessions.entries()) {
      await eventually(async () => {
        expect(await session.tool(set.replicas[index]!, "read")).toMatchObject({ value: 0 });
      });
    }
    expect(performance.now() - begin).toBeLessThan(5_000);
    await eventually(() => server.stats().sessionsClosed >= closed + 3);
    seen.length = 0;
    for (const [index, session] of sessions.entries()) {
      expect(await session.tool(set.replicas[index]!, "read")).toMatchObject({ value: 0 });
    }
    expect(new Set(seen)).toEqual(new Set(["Bearer new"]));
  });

  it("SP-12 an upstream that is removed at A loses its sessions at B", async () => {
    await using set = await startReplicaSet(redis, 2);
    const { server } = await guardedCounter(["Bearer t"]);
    const id = await set.register({ name: "guarded", url: server.url, auth: bearer("t") });
    const [a, b] = set.replicas;
    const session = await openSession(b!, `/servers/${id}/mcp`);
    await session.tool(b!, "add", { amount: 1 });
    const closed = server.stats().sessionsClosed;
    expect((await a!.rest("DELETE", `/gateways/${id}`)).status).toBe(204);
    await eventually(() => server.stats().sessionsClosed > closed);
    await eventually(() => b!.core.pool.stats().perServer.every(({ sessions }) => sessions === 0));
  });

  it("SP-6 refused by the upstream are read again once, and the call goes through", async () => {
    // Nothing tells B of the change: neither a poll nor a notice.
    await using set = await startReplicaSet(redis, 1, { database: { pollMs: 60_000 } });
    const { server, accepted, seen } = await guardedCounter(["Bearer old"]);
    const id = await set.register({ name: "guarded", url: server.url, auth: bearer("old") });
    const b = await set.add();
    const session = await openSession(b, `/servers/${id}/mcp`);
    await session.tool(b, "add", { amount: 1 });
    accepted[0] = "Bearer new";
    await set.replicas[0]!.core.registry.updateUpstream(id, {
      credentials: { headers: { authorization: "Bearer new" }, env: {} },
    });
    seen.length = 0;
    expect(await session.tool(b, "read")).toMatchObject({ value: 0 });
    expect(seen.filter((shown) => shown === "Bearer old")).not.toHaveLength(0);
    expect(seen.at(-1)).toBe("Bearer new");
    accepted.length = 0;
    seen.length = 0;
    const refused = await session.request(b, "tools/call", { name: "read", arguments: {} });
    expect(refused.body.error.data.code).toBe("upstream_unreachable");
    expect(seen.length).toBeLessThan(20);
  });

  it("may be each caller's own; no caller is shown as another, whatever the tenant", async () => {
    const { server, shownIn } = await guardedCounter([
      "Bearer anns",
      `Basic ${btoa("bob:secret")}`,
      "the key",
      "Bearer default",
    ]);
    await using set = await startReplicaSet(redis, 1);
    const [gateway] = set.replicas;
    const auth = {
      type: "per_user",
      users: {
        ann: bearer("anns"),
        bob: { type: "basic", username: "bob", password: "secret" },
        "acme/ann": { type: "headers", headers: { "x-key": "the key" } },
      },
      default: bearer("default"),
    };
    for (const stateless of [false, true]) {
      const id = await set.register({ name: `own-${stateless}`, url: server.url, auth, stateless });
      const shown = async (claims: { user: string; tenant?: string }) => {
        const token = await gateway!.mint(claims);
        const session = await openSession(gateway!, `/servers/${id}/mcp`, token);
        return shownIn(await session.tool(gateway!, "read"));
      };
      expect(await shown({ user: "ann" })).toEqual(["Bearer anns"]);
      expect(await shown({ user: "bob" })).toEqual([`Basic ${btoa("bob:secret")}`]);
      expect(await shown({ user: "acme/ann" })).toEqual(["Bearer default"]);
      expect(await shown({ user: "ann", tenant: "acme" })).toEqual(["the key"]);
      expect(await shown({ user: "ann", tenant: "other" })).toEqual(["Bearer default"]);
      expect(await shown({ user: "carl" })).toEqual(["Bearer default"]);
      const view = (await gateway!.rest("GET", `/gateways/${id}`)).body;
      expect(view).toMatchObject({ hasCredentials: true, usersWithCredentials: 3 });
    }
  });

  it("SP-14 are in no log, metric, answer, key or value of Redis, nor in the registry's file", async () => {
    const planted = ["planted-bearer", "planted-password", "planted-key", "planted-default", "planted-env"];
    const { server } = await guardedCounter(["Bearer planted-bearer", "Bearer planted-default"]);
    await using set = await startReplicaSet(redis, 2, { observability: { logLevel: "trace" } });
    const [a, b] = set.replicas;
    const auth = {
      type: "per_user",
      users: {
        ann: bearer("planted-bearer"),
        bob: { type: "basic", username: "bob", password: "planted-password" },
        carl: { type: "headers", headers: { "x-key": "planted-key" } },
      },
      default: bearer("planted-default"),
    };
    const id = await set.register({ name: "guarded", url: server.url, auth });
    const path = `/servers/${id}/mcp`;
    const token = await a!.mint({ user: "ann" });
    const session = await openSession(a!, path, token);
    await session.tool(b!, "add", { amount: 1 });
    // Refused by the upstream, which is where secrets get into messages.
    const bobs = await a!.mint({ user: "bob" });
    await openSession(a!, path, bobs).catch(() => undefined);
    const answers = [
      await a!.rest("GET", `/gateways/${id}`),
      await a!.rest("GET", "/gateways"),
      await a!.rest("PATCH", `/gateways/${id}`, { auth }),
      await a!.rest("GET", "/admin/sessions"),
      await b!.rest("GET", "/admin/sessions"),
      await a!.rest("GET", "/metrics"),
      await b!.rest("GET", "/metrics"),
      await a!.rest("GET", "/admin/audit"),
    ];
    const client = redis.client();
    const keys = await client.keys("*");
    const values = await Promise.all(keys.map((key) => client.dump(key).catch(() => "")));
    const raw = await Promise.all(keys.map((key) => client.hgetall(key).catch(() => ({}))));
    const files = await Promise.all(
      ["registry.db", "registry.db-wal"].map((name) =>
        readFile(join(set.dataDir, name), "latin1").catch(() => ""),
      ),
    );
    const everything = [
      ...answers.map(({ body }) => JSON.stringify(body)),
      ...a!.logs,
      ...b!.logs,
      ...keys,
      ...values,
      JSON.stringify(raw),
      ...files,
    ].join("\n");
    const basic = btoa("bob:planted-password");
    const upstreamSession =
      [...(a!.core.sessions.peek(session.id)?.opened.keys() ?? [])][0]?.sessionId ?? "none";
    expect(upstreamSession).not.toBe("none");
    for (const secret of [...planted, basic, token, bobs, session.id, upstreamSession]) {
      expect(everything.includes(secret), secret).toBe(false);
    }
    expect(keys.some((key) => key.endsWith(":owner"))).toBe(true);
    expect(files.join("").length).toBeGreaterThan(1_000);
  });
});

describe("the settings of an upstream's sessions", () => {
  it("hold for its sessions at once: calls at a time, sessions of a caller and in all", async () => {
    await using set = await startReplicaSet(redis, 1);
    const { server } = await guardedCounter([""]);
    const id = await set.register({
      name: "limited",
      url: server.url,
      maxConcurrencyPerSession: 3,
      caps: { perKey: 2, perServer: 5 },
    });
    const [gateway] = set.replicas;
    const limits = () => gateway!.core.snapshots.current?.upstreams.get(id)?.definition;
    expect(limits()).toMatchObject({ maxConcurrencyPerSession: 3, caps: { perKey: 2, perServer: 5 } });
    const path = `/servers/${id}/mcp`;
    for (let count = 0; count < 5; count++) await openSession(gateway!, path);
    await expect(openSession(gateway!, path)).rejects.toThrow("pool_capacity");
    await gateway!.rest("PATCH", `/gateways/${id}`, { caps: { perServer: 6 } });
    await openSession(gateway!, path);
    const wrong = await gateway!.rest("PATCH", `/gateways/${id}`, { caps: { perServer: 0 } });
    expect(wrong.status).toBe(422);
  });
});
