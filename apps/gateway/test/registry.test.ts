import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { eventually } from "@gatewright/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { syncConfiguredUpstreams } from "../src/app/configured-upstreams.ts";
import { mcpServersConfig } from "../src/config/mcp-servers.ts";
import type { Registry, UpstreamInput } from "../src/registry/registry.ts";
import { slugOf } from "../src/registry/slug.ts";
import { SnapshotHolder } from "../src/registry/snapshot.ts";
import { openSqliteRegistry } from "../src/registry/sqlite-registry.ts";
import { ulid } from "../src/registry/ulid.ts";
import { loadSecret } from "../src/secret/gateway-secret.ts";

let folder: string;
const open: Registry[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-registry-"));
});

afterEach(async () => {
  for (const registry of open.splice(0)) await registry.close();
  await rm(folder, { recursive: true, force: true });
});

async function openRegistry(path = join(folder, "deep", "registry.db")): Promise<Registry> {
  const secret = loadSecret(folder, {});
  const registry = await openSqliteRegistry({ path, busyTimeoutMs: 2_000, pollMs: 50, secret });
  open.push(registry);
  return registry;
}

const input = (name: string, more: Partial<UpstreamInput> = {}): UpstreamInput => ({
  name,
  definition: {
    url: "http://127.0.0.1:1/mcp",
    stateless: false,
    trusted: false,
    idempotency: false,
    child: "session",
    passthroughHeaders: [],
    tags: [],
  },
  credentials: { headers: { authorization: "Bearer planted-secret" }, env: {} },
  source: "api",
  ...more,
});

const all = { limit: 100, offset: 0 };

describe("the registry", () => {
  it("keeps what was written when it is opened again, credentials sealed", async () => {
    const first = await openRegistry();
    const made = await first.createUpstream(input("One"));
    await first.close();
    open.length = 0;
    const again = await openRegistry();
    expect(await again.upstream(made.id)).toEqual(made);
    expect((await again.server(made.id)).gatewayIds).toEqual([made.id]);
    const bytes = await readFile(join(folder, "deep", "registry.db"), "latin1");
    expect(bytes).not.toContain("planted-secret");
  });

  it("parallel writes of two processes all arrive", async () => {
    const registry = await openRegistry();
    const source = join(import.meta.dirname, "..", "src");
    const script = `
      const { openSqliteRegistry } = await import(${JSON.stringify(join(source, "registry", "sqlite-registry.ts"))});
      const { loadSecret } = await import(${JSON.stringify(join(source, "secret", "gateway-secret.ts"))});
      const registry = await openSqliteRegistry({ path: process.argv[1], busyTimeoutMs: 2000, pollMs: 50, secret: loadSecret(process.argv[2], {}) });
      const base = JSON.parse(process.argv[3]);
      await Promise.all(Array.from({ length: 20 }, (_, i) => registry.createUpstream({ ...base, name: process.pid + "-" + i })));
      await registry.close();`;
    const args = ["--conditions=@gatewright/source", "--input-type=module", "-e", script];
    const write = () =>
      promisify(execFile)(process.execPath, [
        ...args,
        join(folder, "deep", "registry.db"),
        folder,
        JSON.stringify(input("base")),
      ]);
    await Promise.all([write(), write()]);
    expect((await registry.upstreams(all)).total).toBe(40);
  });

  it("tells listeners of changes, those of another process within the poll", async () => {
    const [a, b] = [await openRegistry(), await openRegistry()];
    let seen = 0;
    const stop = b.onChange(() => {
      seen++;
    });
    await a.createUpstream(input("x"));
    await eventually(() => seen > 0);
    stop();
    const before = seen;
    await b.createUpstream(input("y"));
    expect(seen).toBe(before);
  });

  it("keeps the last good catalogue of an upstream that is down, and pages through items", async () => {
    const registry = await openRegistry(":memory:");
    const items = ["b", "a", "b"].map((name) => ({ kind: "tool" as const, name, body: { name } }));
    const self = {
      era: "legacy" as const,
      protocolVersion: "2025-11-25",
      serverInfo: null,
      capabilities: {},
    };
    const { id } = await registry.createUpstream(input("x"), { self, items });
    await registry.saveDiscovery(id, { failure: "x".repeat(1_000) });
    const record = await registry.upstream(id);
    expect(record.state).toBe("unreachable");
    expect(record.stateReason).toHaveLength(500);
    const page = await registry.items("tool", { limit: 1, offset: 1 });
    expect(page).toMatchObject({ total: 2, items: [{ name: "a" }] });
    expect((await registry.items("tool", { ...all, name: "b" })).total).toBe(1);
    await registry.ping();
  });

  it("refuses taken names and unknown ids by their code", async () => {
    const registry = await openRegistry(":memory:");
    const { id } = await registry.createUpstream(input("x"));
    await expect(registry.createUpstream(input("X"))).rejects.toMatchObject({ code: "conflict" });
    await expect(
      registry.createServer({ name: "X", gatewayIds: [id], names: "plain" }),
    ).rejects.toMatchObject({ code: "conflict" });
    await registry.createServer({ name: "s", gatewayIds: [id], names: "prefixed" });
    await expect(registry.createUpstream(input("S"))).rejects.toMatchObject({ code: "conflict" });
    for (const missing of [
      registry.upstream("no"),
      registry.server("no"),
      registry.deleteUpstream("no"),
      registry.deleteServer("no"),
    ]) {
      await expect(missing).rejects.toMatchObject({ code: "not_found" });
    }
  });

  it("follows the configuration: adds, changes, removes, and takes over what the API made", async () => {
    const registry = await openRegistry(":memory:");
    await registry.createUpstream(input("mine"));
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

  it("a snapshot stays in use while the registry cannot be read", async () => {
    const registry = await openRegistry(join(folder, "s.db"));
    await registry.createUpstream(input("x"));
    const errors: unknown[] = [];
    const holder = new SnapshotHolder(registry, (error) => errors.push(error));
    await Promise.all([holder.refresh(), holder.refresh()]);
    const before = holder.current;
    expect(before?.upstreams.size).toBe(1);
    const broken = new SnapshotHolder(
      { ...registry, contents: () => Promise.reject(new Error("down")), onChange: () => () => undefined },
      () => undefined,
    );
    await expect(broken.refresh()).rejects.toThrow("down");
    expect(broken.current).toBeUndefined();
    expect(errors).toEqual([]);
  });

  it("makes slugs that are free, and ids that sort by time", () => {
    expect(slugOf("Ünï Server!", () => false)).toBe(
      "u-ni-server".replace(
        "u-ni",
        slugOf("Ünï", () => false),
      ),
    );
    expect(slugOf("???", () => false)).toBe("upstream");
    const taken = new Set(["a", "a-2"]);
    expect(slugOf("A", (slug) => taken.has(slug))).toBe("a-3");
    expect(ulid(1) < ulid(2)).toBe(true);
    expect(ulid()).toHaveLength(26);
  });
});
