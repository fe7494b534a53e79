import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { createFaultProxy } from "@gatewright/db-resilience/testing";
import { eventually } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { syncConfiguredUpstreams } from "../src/app/configured-upstreams.ts";
import { mcpServersConfig } from "../src/config/mcp-servers.ts";
import { GatewayError } from "../src/errors.ts";
import { openPostgresRegistry } from "../src/registry/postgres-registry.ts";
import type { Discovery } from "../src/registry/records.ts";
import type { Registry } from "../src/registry/registry.ts";
import { SnapshotHolder } from "../src/registry/snapshot.ts";
import { loadSecret } from "../src/secret/gateway-secret.ts";
import { openAt, postgresKind, type RegistryKind, sqliteKind, upstreamInput } from "./support/registries.ts";

const all = { limit: 100, offset: 0 };
const self = { era: "legacy" as const, protocolVersion: "2025-11-25", serverInfo: null, capabilities: {} };
const codes = async (calls: readonly Promise<unknown>[]) =>
  (await Promise.allSettled(calls)).map((call) => call.status === "rejected" && call.reason.code);
const tool = (name: string): Discovery["items"][number] => ({ kind: "tool", name, body: { name } });

describe("the registry in PostgreSQL", () => {
  it("keeps to the time of the request also when it shows what was written under its key", async () => {
    const kind = await postgresKind();
    const url = await kind.url();
    const requestMs = 600;
    const registry = openPostgresRegistry({
      secret: loadSecret("", { GATEWRIGHT_SECRET: "registry-test-secret-of-32-bytes-or-more" }),
      database: { connectionString: url },
      requestMs,
      pollMs: 1_000,
      observer: {},
    });
    const holder = await kind.server.client({ database: new URL(url).pathname.slice(1) });
    try {
      await registry.migrate();
      const terms = { idempotency: { id: "k", fingerprint: "f" } };
      await registry.forRequest(terms).createUpstream(upstreamInput("once"));
      await holder.query("begin; select * from idempotency_keys for update");
      const start = performance.now();
      await expect(registry.forRequest(terms).written()).rejects.toMatchObject({ code: "db_timeout" });
      // The statement's own deadline, 5 s, is far beyond it.
      expect(performance.now() - start).toBeLessThan(requestMs + 1_000);
    } finally {
      await holder.end();
      await registry.close();
      await kind.close();
    }
  });

  it("notes a gateway that runs once, though the answer to it was lost and it was noted again", async () => {
    const kind = await postgresKind();
    const proxy = await createFaultProxy({ upstream: kind.server });
    const url = (await kind.url()).replace(String(kind.server.port), String(proxy.port));
    const registry = await openAt(url);
    try {
      proxy.set({ up: { cutAt: { pattern: "commit", position: "after" } } });
      const leave = await registry.running.announce(["one"]);
      const noted = () =>
        kind.server.client({ database: new URL(url).pathname.slice(1) }).then(async (client) => {
          const { rows } = await client.query("select names from running_gateways");
          await client.end();
          return rows;
        });
      expect(await noted()).toEqual([{ names: '["one"]' }]);
      await leave();
      expect(await noted()).toEqual([]);
    } finally {
      await registry.close();
      await proxy.close();
      await kind.close();
    }
  });
});

describe.each([
  ["SQLite", sqliteKind],
  ["PostgreSQL", postgresKind],
] as const)("the registry in %s", (_name, start) => {
  let kind: RegistryKind;
  let url: string;
  const opened: Registry[] = [];

  beforeAll(async () => {
    kind = await start();
  });
  beforeEach(async () => {
    url = await kind.url();
  });
  afterEach(async () => {
    for (const registry of opened.splice(0)) await registry.close();
  });
  afterAll(() => kind.close());

  const open = async (): Promise<Registry> => {
    const registry = await openAt(url);
    opened.push(registry);
    return registry;
  };

  /** Replicas of one registry. A SQLite file has one connection in a process: a second would wait for the first in vain. */
  const openSeveral = async (count: number): Promise<Registry[]> => {
    if (kind.name === "PostgreSQL") return Promise.all(Array.from({ length: count }, open));
    return Array<Registry>(count).fill(await open());
  };
  const openTwo = async () => (await openSeveral(2)) as [Registry, Registry];

  it("keeps what was written when it is opened again", async () => {
    const first = await open();
    const made = await first.createUpstream(upstreamInput("One"), { self, items: [tool("b"), tool("a")] });
    await opened.pop()?.close();
    const again = await open();
    expect(await again.upstream(made.id)).toEqual(made);
    expect((await again.server(made.id)).gatewayIds).toEqual([made.id]);
    expect((await again.items("tool", all)).items.map(({ name }) => name)).toEqual(["b", "a"]);
    expect(made.credentials.headers).toEqual({ authorization: "Bearer planted-secret" });
  });

  it("makes its tables once when several begin at once, and leaves those of a later version alone", async () => {
    const registries = await openSeveral(4);
    await Promise.all(registries.map((registry) => registry.migrate()));
    for (const registry of registries) expect(await registry.health()).toEqual({ status: "ok" });
    expect((await registries[0]?.upstreams(all))?.total).toBe(0);
  });

  it("parallel writes of two processes that begin at once all arrive", async () => {
    const support = join(import.meta.dirname, "support", "registries.ts");
    const script = `
      const { openAt, upstreamInput } = await import(${JSON.stringify(support)});
      const registry = await openAt(process.argv[1]);
      await Promise.all(Array.from({ length: 20 }, (_, i) => registry.createUpstream(upstreamInput(process.pid + "-" + i))));
      await registry.close();`;
    const args = ["--conditions=@gatewright/source", "--input-type=module", "-e", script, url];
    const write = () => promisify(execFile)(process.execPath, args);
    await Promise.all([write(), write()]);
    const registry = await open();
    expect((await registry.upstreams(all)).total).toBe(40);
  });

  it("gives every upstream a slug of its own, however many are made at once under names that look alike", async () => {
    const [a, b] = await openTwo();
    const names = ["x y", "x-y", "x_y", "x.y", "X y!", "x/y"];
    const made = await Promise.all(
      names.map((name, index) => (index % 2 === 0 ? a : b).createUpstream(upstreamInput(name))),
    );
    expect(new Set(made.map(({ slug }) => slug)).size).toBe(names.length);
  });

  it("of several that write one name at once one succeeds, and the others are told of a conflict", async () => {
    const [a, b] = await openTwo();
    const outcomes = await Promise.allSettled(
      [a, b, a, b].map((registry) => registry.createUpstream(upstreamInput("Same"))),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "conflict" });
    }
  });

  it("loses no change of a row that several change at once: each counts the revision up", async () => {
    const [a, b] = await openTwo();
    const { id } = await a.createUpstream(upstreamInput("x"));
    const server = await a.createServer({ name: "s", gatewayIds: [id], names: "prefixed" });
    await Promise.all([
      ...[a, b, a, b].map((registry, index) => registry.updateUpstream(id, { name: `x${index}` })),
      ...[a, b].map((registry, index) => registry.updateServer(server.id, { name: `s${index}` })),
    ]);
    expect((await a.upstream(id)).revision).toBe(5);
    expect((await b.server(server.id)).revision).toBe(3);
    expect((await b.server(id)).name).toBe((await a.upstream(id)).name);
  });

  it("makes each of several changes at once of what the one before has left, and undoes one that is refused", async () => {
    const [a, b] = await openTwo();
    const { id } = await a.createUpstream(upstreamInput("x"));
    const tagged = (registry: Registry, tag: string) =>
      registry.updateUpstream(id, ({ definition, credentials }) => ({
        definition: { ...definition, tags: [...definition.tags, tag] },
        credentials: { ...credentials, env: { ...credentials.env, [tag]: "set" } },
      }));
    const tags = Array.from({ length: 12 }, (_, index) => `t${index}`);
    await Promise.all(tags.map((tag, index) => tagged(index % 2 === 0 ? a : b, tag)));
    const { definition, credentials, revision } = await b.upstream(id);
    expect([...definition.tags].sort()).toEqual([...tags].sort());
    expect(Object.keys(credentials.env).sort()).toEqual([...tags].sort());
    const refuse = () => {
      throw new GatewayError("validation_failed", "no");
    };
    await expect(a.updateUpstream(id, refuse)).rejects.toMatchObject({ code: "validation_failed" });
    expect((await a.upstream(id)).revision).toBe(revision);
  });

  it("never gives plain names to a server of several upstreams, in whatever order two changes come", async () => {
    const [a, b] = await openTwo();
    const [one, two] = [
      await a.createUpstream(upstreamInput("x")),
      await a.createUpstream(upstreamInput("y")),
    ];
    for (let round = 0; round < 10; round++) {
      const server = await a.createServer({ name: `s${round}`, gatewayIds: [one.id], names: "prefixed" });
      const outcomes = await codes([
        a.updateServer(server.id, { names: "plain" }),
        b.updateServer(server.id, { gatewayIds: [one.id, two.id] }),
      ]);
      expect(outcomes.filter((code) => code === "validation_failed")).toHaveLength(1);
    }
  });

  it("tells listeners of changes, those of another process within the poll, until they stop", async () => {
    const [a, b] = [await open(), await open()];
    let seen = 0;
    const stop = b.onChange(() => {
      seen++;
    });
    const holder = new SnapshotHolder(b, () => undefined);
    await holder.refresh();
    await a.createUpstream(upstreamInput("x"));
    await eventually(() => holder.current?.upstreams.size === 1);
    expect(seen).toBeGreaterThan(0);
    stop();
    const before = seen;
    await b.createUpstream(upstreamInput("y"));
    expect(seen).toBe(before);
  });

  it("keeps the last good catalogue of an upstream that is down, and pages through items", async () => {
    const registry = await open();
    const items = [tool("b"), tool("a"), tool("b"), { ...tool("r"), kind: "resource" as const }];
    const { id } = await registry.createUpstream(upstreamInput("x"), { self, items });
    await registry.saveDiscovery(id, { failure: "x".repeat(1_000) });
    const record = await registry.upstream(id);
    expect(record).toMatchObject({ state: "unreachable", self, revision: 1 });
    expect(record.stateReason).toHaveLength(500);
    const page = await registry.items("tool", { limit: 1, offset: 1 });
    expect(page).toMatchObject({ total: 2, items: [{ name: "a", upstreamId: id, body: { name: "a" } }] });
    expect((await registry.items("tool", { ...all, name: "b" })).total).toBe(1);
    expect((await registry.items("tool", { ...all, ids: [] })).total).toBe(0);
    expect((await registry.items("tool", { ...all, ids: [id] })).total).toBe(2);
  });

  it("keeps long lists, long URIs, odd characters and big numbers as they are", async () => {
    const registry = await open();
    const uri = `file:///${"long/".repeat(2_000)}`;
    const many = Array.from({ length: 450 }, (_, index) => tool(`t${String(index).padStart(3, "0")}`));
    const odd = { kind: "prompt" as const, name: "ü 🙂 \u0001 '\"\\", body: { text: "\u0000 🙂 \ud800" } };
    const items = [...many, { kind: "resource" as const, name: uri, body: { uri } }, odd, tool("nul\u0000")];
    const { id } = await registry.createUpstream(upstreamInput("x"), { self, items });
    expect((await registry.items("tool", { limit: 1_000, offset: 0 })).items.map(({ name }) => name)).toEqual(
      many.map(({ name }) => name),
    );
    expect((await registry.items("resource", { ...all, name: uri })).items).toHaveLength(1);
    expect((await registry.items("prompt", all)).items[0]).toEqual({ ...odd, upstreamId: id });
    expect(typeof (await registry.upstream(id)).createdAt).toBe("number");
    await registry.saveDiscovery(id, { self, items: [tool("only")] });
    expect((await registry.contents()).items).toHaveLength(1);
  });

  it("refuses taken names and unknown ids by their code, and what refers to nothing", async () => {
    const registry = await open();
    const { id } = await registry.createUpstream(upstreamInput("x"));
    await expect(registry.createUpstream(upstreamInput("X"))).rejects.toMatchObject({
      code: "conflict",
      facts: { details: { id } },
    });
    const server = { name: "X", gatewayIds: [id], names: "plain" as const };
    await expect(registry.createServer(server)).rejects.toMatchObject({ code: "conflict" });
    await expect(registry.createServer({ ...server, name: "n", gatewayIds: ["no"] })).rejects.toMatchObject({
      code: "validation_failed",
    });
    await registry.createServer({ name: "s", gatewayIds: [id], names: "prefixed" });
    await expect(registry.createUpstream(upstreamInput("S"))).rejects.toMatchObject({ code: "conflict" });
    const implicit = [registry.updateServer(id, { name: "n" }), registry.deleteServer(id)];
    expect(await codes(implicit)).toEqual(["conflict", "conflict"]);
    const missing = [
      registry.upstream("no"),
      registry.server("no"),
      registry.updateUpstream("no", { name: "n" }),
      registry.updateServer("no", { name: "n" }),
      registry.deleteUpstream("no"),
      registry.deleteServer("no"),
      registry.saveDiscovery("no", { self, items: [tool("a")] }),
      registry.saveDiscovery("no", { failure: "x" }),
    ];
    expect(new Set(await codes(missing))).toEqual(new Set(["not_found"]));
  });

  it("deletes an upstream with its catalogue and its server, and a server alone", async () => {
    const registry = await open();
    const { id } = await registry.createUpstream(upstreamInput("x"), { self, items: [tool("a")] });
    const other = await registry.createServer({
      name: "s",
      description: "d",
      gatewayIds: [id],
      names: "prefixed",
    });
    await registry.deleteServer(other.id);
    await registry.deleteUpstream(id);
    expect(await registry.contents()).toEqual({ upstreams: [], servers: [], items: [] });
  });

  it("lists by exact name, by ids and by page, in the order of making", async () => {
    const registry = await open();
    const ids: string[] = [];
    for (const name of ["c", "B", "a"]) ids.push((await registry.createUpstream(upstreamInput(name))).id);
    const names = async (query: object) =>
      (await registry.upstreams({ ...all, ...query })).items.map(({ name }) => name);
    expect(await names({})).toEqual(["c", "B", "a"]);
    expect(await names({ name: "b" })).toEqual([]);
    expect(await names({ name: "B" })).toEqual(["B"]);
    expect(await names({ ids: [ids[2] ?? ""] })).toEqual(["a"]);
    expect(await names({ limit: 1, offset: 1 })).toEqual(["B"]);
    expect((await registry.servers({ limit: 1, offset: 0 })).total).toBe(3);
  });

  it("does a write under an idempotency key once, and refuses the key for another one", async () => {
    const [a, b] = await openTwo();
    const terms = { idempotency: { id: "k1", fingerprint: "f" } };
    expect(await a.forRequest(terms).written()).toBeUndefined();
    const both = await Promise.all(
      [a, b, a, b].map((registry) => registry.forRequest(terms).createUpstream(upstreamInput("once"))),
    );
    expect(new Set(both.map(({ id }) => id)).size).toBe(1);
    const [made] = both;
    expect((await a.upstreams(all)).total).toBe(1);
    expect(await b.forRequest(terms).written()).toBe(made?.id);
    await expect(
      a.forRequest({ idempotency: { id: "k1", fingerprint: "other" } }).written(),
    ).rejects.toMatchObject({ code: "validation_failed" });

    const patch = { idempotency: { id: "k2", fingerprint: "f" } };
    const id = made?.id ?? "";
    for (const registry of [a, b]) await registry.forRequest(patch).updateUpstream(id, { name: "renamed" });
    expect((await a.upstream(id)).revision).toBe(2);
    const server = { name: "s", gatewayIds: [id], names: "prefixed" as const };
    const keyed = (key: string) => a.forRequest({ idempotency: { id: key, fingerprint: "f" } });
    const first = await keyed("k3").createServer(server);
    expect(await keyed("k3").createServer(server)).toEqual(first);
    await keyed("k4").updateServer(first.id, { name: "t" });
    await keyed("k4").updateServer(first.id, { name: "t" });
    expect((await a.server(first.id)).revision).toBe(2);
    await keyed("k5").deleteServer(first.id);
    await keyed("k5").deleteServer(first.id);
    await keyed("k6").deleteUpstream(id);
    await keyed("k6").deleteUpstream(id);
    // What failed was not done, so its key is free.
    await expect(keyed("k7").deleteUpstream(id)).rejects.toMatchObject({ code: "not_found" });
    expect(await keyed("k7").written()).toBeUndefined();
  });

  it("gives a request's reads what it wrote, and a token where others' reads may miss it", async () => {
    const registry = await open();
    const request = registry.forRequest({});
    expect(request.token).toBeUndefined();
    const { id } = await request.createUpstream(upstreamInput("x"));
    expect((await request.upstream(id)).name).toBe("x");
    if (kind.name === "SQLite") expect(request.token).toBeUndefined();
    else expect(request.token).toMatch(/^[0-9A-F]+\/[0-9A-F]+@\d+$/);
    for (const token of [request.token, "nonsense"]) {
      expect((await registry.forRequest({ token }).upstreams(all)).total).toBe(1);
    }
  });

  it("follows the configuration: adds, changes, removes, and takes over what the API made", async () => {
    const registry = await open();
    await registry.createUpstream(upstreamInput("mine"));
    const sync = (entries: unknown) => syncConfiguredUpstreams(registry, mcpServersConfig.parse(entries));
    await sync({
      a: { url: "http://a/mcp" },
      mine: { url: "http://m/mcp" },
      off: { command: "x", disabled: true },
    });
    const names = async () =>
      (await registry.upstreams(all)).items
        .map(({ name, source, revision }) => `${name} ${source} ${revision}`)
        .sort();
    expect(await names()).toEqual(["a config 1", "mine config 2"]);
    await sync({ a: { url: "http://a/mcp" } });
    expect(await names()).toEqual(["a config 1"]);
    await sync({ a: { url: "http://b/mcp" } });
    expect(await names()).toEqual(["a config 2"]);
  });

  it("replicas that start at once on one configuration agree", async () => {
    const registries = await openSeveral(3);
    const entries = mcpServersConfig.parse({ a: { url: "http://a/mcp" }, b: { url: "http://b/mcp" } });
    await Promise.all(registries.map((registry) => syncConfiguredUpstreams(registry, entries)));
    expect((await registries[0]?.upstreams(all))?.items.map(({ name }) => name).sort()).toEqual(["a", "b"]);
  });

  it("knows which gateways run, and forgets those that said that they end", async () => {
    const [a, b] = [await open(), await open()];
    const leave = await a.running.announce(["One", "two"]);
    await b.running.announce(["three"]);
    expect(await b.running.configured()).toEqual(new Set(["one", "two", "three"]));
    await leave();
    expect(await b.running.configured()).toEqual(new Set(["three"]));
  });

  it("keeps overrides, newest revision first, and each change of modes once", async () => {
    const [a, b] = await openTwo();
    const scope = { plugin: "rate_limiter", tenant: "t" };
    const record = { mode: "disabled" as const, rev: 3, uuid: "u", wipeSeq: 0, setBy: "me" };
    await a.plugins.saveOverride({ scope, record });
    await b.plugins.saveOverride({ scope, record: { ...record, rev: 2, mode: "enforce" } });
    expect(await b.plugins.overrides()).toEqual([{ scope, record }]);
    const event = {
      plugin: "rate_limiter",
      scope: "rate_limiter",
      previous: "enforce" as const,
      next: "disabled" as const,
      rev: 3,
      setBy: "me",
      at: 1_764_000_000_000,
    };
    await Promise.all([a.plugins.addEvent(event, "e"), b.plugins.addEvent(event, "e")]);
    expect(await a.plugins.events({ limit: 10, offset: 0 })).toEqual({ items: [event], total: 1 });
  });

  it("a snapshot stays in use while the registry cannot be read", async () => {
    const registry = await open();
    await registry.createUpstream(upstreamInput("x"));
    const errors: unknown[] = [];
    const holder = new SnapshotHolder(registry, (error) => errors.push(error));
    await Promise.all([holder.refresh(), holder.refresh()]);
    const before = holder.current;
    expect(before?.upstreams.size).toBe(1);
    await opened.pop()?.close();
    await expect(holder.refresh()).rejects.toThrow();
    expect(holder.current).toBe(before);
    expect(errors).toEqual([]);
  });
});
