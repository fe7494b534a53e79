import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  eventually,
  type Gateway,
  type RedisServer,
  startGatewayReplicas,
  startRedis,
} from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CountedUpstream, closest, startCountedUpstream } from "./support/counted-upstream.ts";

const names = ["a", "b", "c", "d", "e", "f"] as const;
const hotMs = 500;
const coldMs = 3 * hotMs;

interface Classification {
  readonly replica: string;
  readonly leader: boolean;
  readonly epoch: number;
  readonly version: number;
  readonly tiers: Readonly<Record<string, number>>;
  readonly items: readonly { readonly name: string; readonly tier?: string }[];
}

let folder: string;
let redis: RedisServer;
let upstreams: Map<string, CountedUpstream>;
let replicas: Gateway[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-classification-"));
  redis = await startRedis();
  upstreams = new Map();
  for (const name of names) upstreams.set(name, await startCountedUpstream());
  // They start at once, on one registry: who comes second finds the upstreams there.
  replicas = await startGatewayReplicas(3, {
    env: { REDIS_URL: redis.url, DATABASE_URL: `sqlite:${join(folder, "registry.db")}` },
    config: {
      mcpServers: Object.fromEntries([...upstreams].map(([name, { url }]) => [name, { url }])),
      classifier: {
        ...{ refreshIntervalSeconds: 1, multipliers: { hot: hotMs / 1_000, cold: coldMs / 1_000 } },
        ...{ jitter: 0, spread: false, inUseMs: 0 },
        ...{ cycleMs: 200, leaseMs: 2_000, heartbeatMs: 500, errorBackoffMs: 300 },
        ...{ minDwellMs: 0, halfLifeMs: 600_000 },
      },
    },
  });
});

afterAll(async () => {
  await Promise.all(replicas.map((replica) => replica.close()));
  for (const upstream of upstreams.values()) await upstream[Symbol.asyncDispose]();
  await redis.close();
  await rm(folder, { recursive: true, force: true });
});

async function classificationOf(replica: Gateway): Promise<Classification> {
  const response = await fetch(`${replica.url}/admin/classification`);
  expect(response.status).toBe(200);
  return (await response.json()) as Classification;
}

const all = () => Promise.all(replicas.map(classificationOf));
const tiersOf = ({ items }: Classification) =>
  Object.fromEntries(items.map(({ name, tier }) => [name, tier]));

/** What all replicas show, once they show the same. */
async function agreed(accept: (shown: Classification) => boolean = () => true): Promise<Classification> {
  let shown: Classification | undefined;
  await eventually(
    async () => {
      const [first, ...others] = await all();
      const key = (one: Classification) => JSON.stringify([one.epoch, one.version, tiersOf(one)]);
      const same = first !== undefined && others.every((other) => key(other) === key(first));
      if (same && accept(first)) shown = first;
      return shown !== undefined;
    },
    { timeoutMs: 15_000, intervalMs: 20 },
  );
  return shown as Classification;
}

async function call(replica: Gateway, tool: string): Promise<void> {
  const response = await fetch(`${replica.url}/mcp/http`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
    body: JSON.stringify({
      ...{ jsonrpc: "2.0", id: 1, method: "tools/call" },
      params: { name: tool, arguments: { text: "x" } },
    }),
  });
  expect(await response.json()).toMatchObject({ result: { content: [{ text: "x" }] } });
}

const timesSince = (name: string, method: string, from: number) =>
  (upstreams.get(name)?.times(method) ?? []).filter((at) => at >= from);

describe("three gateways over one Redis and one registry", () => {
  it("SC-2 all show the same tiers, from the traffic of one of them; each was listed once at the start", async () => {
    const [, busy, idle] = replicas as [Gateway, Gateway, Gateway];
    await agreed(({ tiers }) => tiers["cold"] === names.length);
    for (const name of names) {
      const [first = 0, second] = timesSince(name, "tools/list", 0);
      if (second !== undefined) expect(second - first).toBeGreaterThanOrEqual(hotMs * 0.99);
    }
    for (let i = 0; i < 5; i++) await call(busy, "c_echo");
    const shown = await agreed((one) => tiersOf(one)["c"] === "hot");
    expect(tiersOf(shown)).toEqual({ a: "cold", b: "cold", c: "hot", d: "cold", e: "cold", f: "cold" });
    const { metadata } = (await classificationOf(idle)) as unknown as { metadata: object };
    expect(metadata).toMatchObject({ totalServers: 6, hotCap: 1, hotActual: 1, eligibleCount: 1 });
    expect((await all()).filter(({ leader }) => leader).length).toBe(1);
    const text = await (await fetch(`${idle.url}/metrics`)).text();
    expect(text).toContain('gatewright_servers{tier="hot"} 1');
  });

  it("make one poll of each kind per due time, the cold at a third of the rate, counted at the upstream", async () => {
    const from = Date.now();
    await eventually(() => timesSince("c", "tools/list", from).length >= 8, { timeoutMs: 30_000 });
    for (const method of ["tools/list", "ping"]) {
      for (const name of names) {
        const times = timesSince(name, method, from);
        // A store that answers in whole milliseconds may be one early.
        expect(closest(times), `${method} of ${name}`).toBeGreaterThanOrEqual(
          (name === "c" ? hotMs : coldMs) - 2,
        );
      }
      const polls = (name: string) => timesSince(name, method, from).length;
      expect(polls("a")).toBeGreaterThanOrEqual(2);
      expect(polls("a")).toBeLessThan(polls("c"));
    }
    const made = await Promise.all(
      replicas.map(async (replica) => {
        const text = await (await fetch(`${replica.url}/metrics`)).text();
        return Number(
          /gatewright_polls_total\{type="tool_discovery",outcome="ok"\} (\d+)/.exec(text)?.[1] ?? 0,
        );
      }),
    );
    // The poll under way is counted at the upstream first.
    const counted = names.reduce((sum, name) => sum + timesSince(name, "tools/list", 0).length, 0);
    const reported = made.reduce((sum, count) => sum + count, 0);
    expect(Math.abs(counted - reported)).toBeLessThanOrEqual(names.length);
  });

  it("SC-4 a leader that is paused for longer than its lease and resumed changes nothing", async () => {
    const before = await agreed();
    const shown = await all();
    const paused = replicas[shown.findIndex(({ leader }) => leader)] as Gateway;
    const others = replicas.filter((replica) => replica !== paused);
    paused.pause();
    let epoch = 0;
    await eventually(
      async () => {
        const successors = await Promise.all(others.map(classificationOf));
        epoch = successors.find(({ leader }) => leader)?.epoch ?? 0;
        for (const one of successors) expect(tiersOf(one)).toEqual(tiersOf(before));
        return epoch > before.epoch;
      },
      { timeoutMs: 15_000 },
    );
    paused.resume();
    const resumedAt = Date.now();
    let version = 0;
    await eventually(
      async () => {
        const now = await all();
        for (const one of now) expect(tiersOf(one)).toEqual(tiersOf(before));
        const leader = now.find((one) => one.leader && one.epoch === epoch);
        expect(Math.max(...now.map((one) => one.epoch))).toBe(epoch);
        expect(leader?.version ?? version).toBeGreaterThanOrEqual(version);
        version = leader?.version ?? version;
        return Date.now() - resumedAt > 2_500;
      },
      { timeoutMs: 10_000, intervalMs: 100 },
    );
    const after = await agreed();
    expect(after.epoch).toBe(epoch);
    expect((await classificationOf(paused)).leader).toBe(false);
  });

  it("SC-5 Redis stopped for many intervals and started again: nothing is unclassified, polls go on, no burst", async () => {
    const before = tiersOf(await agreed());
    const watching = new AbortController();
    const gaps: string[] = [];
    const watch = (async () => {
      while (!watching.signal.aborted) {
        for (const one of await all()) {
          if (JSON.stringify(tiersOf(one)) !== JSON.stringify(before))
            gaps.push(JSON.stringify(tiersOf(one)));
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })();
    const stoppedAt = Date.now();
    await redis.stop();
    const pollsSince = (name: string, from: number) => timesSince(name, "tools/list", from).length;
    await eventually(
      () => Date.now() - stoppedAt > 5 * hotMs && names.every((name) => pollsSince(name, stoppedAt) > 0),
      { timeoutMs: 20_000, intervalMs: 20 },
    );
    const outageMs = Date.now() - stoppedAt;
    for (const name of names) {
      const polls = pollsSince(name, stoppedAt);
      // Each replica goes on by itself at its usual rate.
      const perReplica = Math.ceil(outageMs / (name === "c" ? hotMs : coldMs)) + 1;
      expect(polls, name).toBeGreaterThanOrEqual(1);
      expect(polls, name).toBeLessThanOrEqual(replicas.length * perReplica);
    }
    const startedAt = Date.now();
    await redis.restart();
    await agreed(({ epoch, tiers }) => epoch > 0 && tiers["hot"] === 1);
    await eventually(() => Date.now() - startedAt > coldMs, { timeoutMs: 10_000, intervalMs: 100 });
    for (const name of names) {
      const polls = timesSince(name, "tools/list", startedAt).filter((at) => at < startedAt + hotMs).length;
      expect(polls, `${name} after the start`).toBeLessThanOrEqual(replicas.length);
    }
    const settledAt = Date.now();
    await eventually(() => timesSince("c", "tools/list", settledAt).length >= 4, { timeoutMs: 15_000 });
    expect(closest(timesSince("c", "tools/list", settledAt))).toBeGreaterThanOrEqual(hotMs - 2);
    watching.abort();
    await watch;
    expect(gaps).toEqual([]);
    expect((await all()).filter(({ leader }) => leader).length).toBe(1);
  }, 60_000);

  it("SC-3 a leader that is stopped is replaced at once, one that is killed within its lease", async () => {
    const leaderOf = async (among: readonly Gateway[]) => {
      const shown = await Promise.all(among.map(classificationOf));
      return among[shown.findIndex(({ leader }) => leader)];
    };
    const first = await eventually(async () => (await leaderOf(replicas)) ?? false);
    const others = replicas.filter((replica) => replica !== first);
    const tiers = tiersOf(await agreed());
    await first.stop();
    const stoppedAt = Date.now();
    await eventually(async () => (await leaderOf(others)) !== undefined, {
      timeoutMs: 15_000,
      intervalMs: 10,
    });
    expect(Date.now() - stoppedAt).toBeLessThan(5_000);
    await first.restart();
    const second = await eventually(async () => (await leaderOf(others)) ?? false);
    await second.kill();
    const killedAt = Date.now();
    const left = replicas.filter((replica) => replica !== second);
    await eventually(async () => (await leaderOf(left)) !== undefined, { timeoutMs: 20_000, intervalMs: 10 });
    expect(Date.now() - killedAt).toBeLessThan(5 * 3_000);
    for (const replica of left) {
      await eventually(async () => {
        expect(tiersOf(await classificationOf(replica))).toEqual(tiers);
      });
    }
  }, 60_000);
});
