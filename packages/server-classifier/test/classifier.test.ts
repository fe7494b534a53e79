import {
  eventually,
  type RedisCluster,
  type RedisServer,
  startRedis,
  startRedisCluster,
} from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type Classifier,
  type ClassifierOptions,
  type ClassifierStore,
  createClassifier,
  createMemoryStore,
  type KnownServer,
} from "../src/index.ts";
import { createRedisClassifierStore } from "../src/redis/index.ts";
import { fakeTime } from "./support/fake-time.ts";
import { createUsage, servers } from "./support/usage.ts";

/** Everything a hundred times faster than in production. */
const fast = {
  cycleMs: 60,
  leaseMs: 300,
  heartbeatMs: 60,
  errorBackoffMs: 50,
  ranking: { preset: "contextforge" },
} as const satisfies ClassifierOptions;

const open: Classifier[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((classifier) => classifier.stop()));
});

function replica(
  store: ClassifierStore,
  {
    options = {},
    skewMs = 0,
    known = servers(5) as Iterable<KnownServer>,
  }: {
    options?: ClassifierOptions;
    skewMs?: number;
    known?: Iterable<KnownServer>;
  } = {},
) {
  const usage = createUsage(() => Date.now() + skewMs);
  const events: string[] = [];
  const errors: unknown[] = [];
  const classifier = createClassifier(
    { ...fast, ...options },
    {
      store,
      usage: usage.source,
      servers: () => known,
      clock: {
        now: () => performance.now(),
        wall: () => Date.now() + skewMs,
        setTimer(callback, ms) {
          const timer = setTimeout(callback, ms);
          return () => clearTimeout(timer);
        },
      },
      observer: {
        onLeader: ({ leader }) => events.push(leader ? "leads" : "follows"),
        onMove: ({ serverId, to }) => events.push(`${serverId} ${to}`),
        onError: (error) => errors.push(error),
      },
    },
  );
  open.push(classifier);
  return { classifier, usage, events, errors };
}

/** Two seconds before it serves, in which the other tests are made. */
let starting: Promise<RedisCluster>;
beforeAll(() => {
  starting = startRedisCluster();
  starting.catch(() => undefined);
});
afterAll(async () => (await starting).close());

const leaders = (replicas: ReadonlyArray<{ classifier: Classifier }>) =>
  replicas.filter(({ classifier }) => classifier.stats().leader);

describe("a classifier over Redis", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.close());
  beforeEach(() => redis.client().flushall());

  const storeOf = (notices = true) =>
    createRedisClassifierStore({
      client: redis.client(),
      ...(notices && { subscriber: redis.client({ commandTimeout: undefined }) }),
    });

  it("SC-2 a server that only replica B uses is hot while A leads, and a replica without traffic agrees", async () => {
    const [a, b, c] = [replica(storeOf()), replica(storeOf()), replica(storeOf())];
    a.classifier.start();
    await eventually(() => a.classifier.stats().leader);
    b.classifier.start();
    c.classifier.start();
    b.usage.use("s3");
    for (const { classifier } of [a, b, c]) await eventually(() => classifier.tierOf("s3") === "hot");
    expect(a.classifier.stats()).toMatchObject({ leader: true, tiers: { hot: 1, cold: 4 } });
    expect(c.classifier.snapshot()).toEqual(a.classifier.snapshot());
    expect(a.events).toContain("s3 hot");
  });

  it("clocks of replicas that are 5 minutes apart change nothing", async () => {
    const late = replica(storeOf(), { skewMs: -300_000 });
    const early = replica(storeOf(), { skewMs: 300_000 });
    early.usage.use("s1");
    early.classifier.start();
    late.classifier.start();
    await eventually(() => late.classifier.tierOf("s1") === "hot");
    late.usage.use("s2");
    await eventually(
      () => early.classifier.tierOf("s2") === "hot" && early.classifier.tierOf("s1") === "cold",
    );
    const { lastUsedAt } = early.classifier.explain("s2");
    expect(Math.abs(lastUsedAt - Date.now())).toBeLessThan(10_000);
  });

  it("SC-3 after a clean stop a successor leads within a second, though the lease is long", async () => {
    const options = { leaseMs: 60_000, heartbeatMs: 20_000 };
    const [a, b] = [replica(storeOf(), { options }), replica(storeOf(), { options })];
    a.usage.use("s1");
    a.classifier.start();
    await eventually(() => a.classifier.stats().leader);
    b.classifier.start();
    await eventually(() => b.classifier.tierOf("s1") === "hot");
    const { epoch } = a.classifier.stats();
    const stoppedAt = performance.now();
    await a.classifier.stop();
    await eventually(() => {
      expect(b.classifier.tierOf("s1")).toBe("hot");
      return b.classifier.stats().leader;
    });
    expect(performance.now() - stoppedAt).toBeLessThan(5_000);
    expect(b.classifier.stats().epoch).toBe(epoch + 1);
  });

  it("SC-3 after a crash a successor leads once the lease is over, and nothing is unclassified meanwhile", async () => {
    const b = replica(storeOf(false));
    // A leader that took its lease, published, and died.
    const dead = storeOf(false);
    await dead.acquire("dead", fast.leaseMs, 0);
    await dead.report({
      replicaId: "dead",
      seq: 1,
      ttlMs: 60_000,
      entries: [{ serverId: "s1", uses: 1, ageMs: 0, active: 0, sessions: 1 }],
    });
    const twin = createMemoryStore();
    await twin.report({
      replicaId: "x",
      seq: 1,
      ttlMs: 60_000,
      entries: [{ serverId: "s1", uses: 1, ageMs: 0, active: 0, sessions: 1 }],
    });
    const { usage, now } = await twin.collect();
    const { classify } = await import("../src/index.ts");
    await dead.publish({
      epoch: 1,
      versionSeen: 0,
      ttlMs: 60_000,
      classification: classify(servers(5), usage, "contextforge", now),
    });
    const crashedAt = performance.now();
    b.classifier.start();
    await eventually(() => b.classifier.tierOf("s1") === "hot");
    await eventually(() => {
      expect(b.classifier.tierOf("s1")).toBe("hot");
      return b.classifier.stats().leader;
    });
    expect(performance.now() - crashedAt).toBeLessThan(5 * (fast.leaseMs + 1_000));
    await eventually(() => (b.classifier.snapshot()?.epoch ?? 0) === 2);
    expect(b.classifier.tierOf("s1")).toBe("hot");
  });

  it("SC-4 a leader that was paused beyond its lease is refused when it comes back, and steps down", async () => {
    const real = storeOf();
    let held: (() => void) | undefined;
    let freeze = false;
    const paused = () => (freeze ? new Promise<void>((resolve) => (held = resolve)) : Promise.resolve());
    // As if the process were stopped between reading the usage and publishing.
    const slow: ClassifierStore = {
      ...real,
      publish: async (publication) => {
        await paused();
        return real.publish(publication);
      },
      acquire: (...args) => (freeze ? new Promise(() => {}) : real.acquire(...args)),
    };
    const a = replica(slow);
    a.classifier.start();
    await eventually(() => (a.classifier.snapshot()?.version ?? 0) > 0);
    freeze = true;
    await eventually(() => held !== undefined);
    const b = replica(storeOf());
    b.usage.use("s2");
    b.classifier.start();
    await eventually(
      () => (b.classifier.snapshot()?.epoch ?? 0) === 2 && b.classifier.tierOf("s2") === "hot",
    );
    held?.();
    await eventually(() => !a.classifier.stats().leader);
    const { snapshot } = await storeOf(false).read();
    expect(snapshot).toMatchObject({ epoch: 2 });
    expect(snapshot?.servers.get("s2")?.tier).toBe("hot");
  });

  it("a snapshot outlives three cycles, and instances are told apart by UUIDs", async () => {
    const cycleMs = 600_000;
    const store = createRedisClassifierStore({ client: redis.client() });
    const { classifier } = replica(store, { options: { cycleMs } });
    classifier.start();
    await eventually(() => classifier.snapshot() !== undefined);
    expect(await redis.client().pttl("gw:{cls}:snapshot")).toBeGreaterThan(3 * cycleMs);
    expect(await redis.client().get("gw:{cls}:leader")).toBe(classifier.instanceId);
    expect(classifier.instanceId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });

  it("SC-5 SCRIPT FLUSH between two cycles changes nothing", async () => {
    const a = replica(storeOf());
    a.classifier.start();
    await eventually(() => a.classifier.stats().cycles >= 2);
    await redis.client().script("FLUSH");
    const { cycles } = a.classifier.stats();
    await eventually(() => a.classifier.stats().cycles >= cycles + 2);
    // A busy machine may be late with a heartbeat; a script that is not found would be another matter.
    expect(a.errors.map(String).filter((error) => !error.includes("did not answer within"))).toEqual([]);
  });

  it("SC-5 Redis stopped for many intervals: polling goes on within the cap, recovers without a burst", async () => {
    await using own = await startRedis();
    const schedule = { refreshIntervalMs: 100, maxPollsPerSecond: 50, claimMs: 1_000 };
    const make = () =>
      replica(
        createRedisClassifierStore({
          client: own.client({ commandTimeout: 100, enableOfflineQueue: false, maxRetriesPerRequest: 0 }),
          subscriber: own.client({ commandTimeout: undefined }),
        }),
        { options: { schedule, ranking: {} } },
      );
    const replicas = [make(), make()];
    const polls: number[] = [];
    let polling = true;
    const poller = async ({ classifier }: { classifier: Classifier }) => {
      while (polling) {
        for (const { id } of servers(5)) {
          const claim = await classifier.schedule.claim({ id }, "health");
          if (!claim) continue;
          polls.push(performance.now());
          await classifier.schedule.complete(claim);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    for (const { classifier, usage } of replicas) {
      usage.use("s1");
      classifier.start();
    }
    const done = replicas.map(poller);
    await eventually(() => replicas.every(({ classifier }) => classifier.tierOf("s1") === "hot"));
    await own.stop();
    const stoppedAt = performance.now();
    await eventually(() => performance.now() - stoppedAt > 1_200);
    const during = polls.filter((at) => at > stoppedAt + 200 && at < stoppedAt + 1_200).length;
    expect(during).toBeGreaterThan(5);
    expect(during).toBeLessThanOrEqual(2 * 1 * 50 + 2 * 50);
    for (const { classifier } of replicas) expect(classifier.tierOf("s1")).toBe("hot");
    await own.restart();
    const backAt = performance.now();
    await eventually(() => performance.now() - backAt > 1_000);
    const windows = [0, 1, 2, 3, 4].map(
      (n) => polls.filter((at) => at >= backAt + n * 200 && at < backAt + (n + 1) * 200).length,
    );
    // Alone each of two replicas polls the hot one two or three times in 200 ms and the four cold ones at most once.
    expect(Math.max(...windows)).toBeLessThanOrEqual(2 * (3 + 4) + 6);
    polling = false;
    await Promise.all(done);
    for (const { classifier } of replicas) {
      expect(classifier.tierOf("s1")).toBe("hot");
      await eventually(() => classifier.stats().epoch >= 1 && classifier.stats().lagMs !== undefined);
    }
    await Promise.all(open.splice(0).map((classifier) => classifier.stop()));
  });

  it("makes at most three round trips per cycle, whatever the number of servers", async () => {
    const counted = { calls: 0 };
    const client = redis.client();
    const counting = {
      evalsha: (sha: string, keys: number, ...args: (string | number)[]) => {
        counted.calls++;
        return client.evalsha(sha, keys, ...args);
      },
      eval: (script: string, keys: number, ...args: (string | number)[]) =>
        client.eval(script, keys, ...args),
    };
    const quiet = { heartbeatMs: 60_000, leaseMs: 120_000 };
    const a = replica(createRedisClassifierStore({ client: counting }), {
      options: quiet,
      known: servers(2_000),
    });
    for (let i = 0; i < 2_000; i++) a.usage.use(`s${i}`);
    a.classifier.start();
    await eventually(() => a.classifier.stats().cycles >= 2, { timeoutMs: 15_000 });
    const before = { calls: counted.calls, cycles: a.classifier.stats().cycles };
    await eventually(() => a.classifier.stats().cycles >= before.cycles + 4, { timeoutMs: 15_000 });
    await a.classifier.stop();
    const cycles = a.classifier.stats().cycles - before.cycles;
    expect(counted.calls - before.calls).toBeLessThanOrEqual(3 * (cycles + 1) + 1);
    expect(a.classifier.stats().tiers.hot).toBe(400);
  });

  it("three replicas agree on the tiers and make exactly one poll per due time", async () => {
    const schedule = { refreshIntervalMs: 150, jitter: 0, spread: false, maxPollsPerSecond: 500 };
    const replicas = [1, 2, 3].map(() => replica(storeOf(), { options: { schedule } }));
    const polled = new Map<string, number[]>();
    for (const { classifier } of replicas) classifier.start();
    replicas[0]?.usage.use("s1");
    for (const { classifier } of replicas) await eventually(() => classifier.tierOf("s1") === "hot");
    const deadline = performance.now() + 1_500;
    await Promise.all(
      replicas.map(async ({ classifier }) => {
        while (performance.now() < deadline) {
          await Promise.all(
            servers(5).map(async ({ id }) => {
              const claim = await classifier.schedule.claim({ id }, "tool_discovery");
              if (!claim) return;
              await classifier.schedule.complete(claim);
              const { lastPolledAt } = classifier.schedule.explain({ id }, "tool_discovery");
              polled.set(id, [...(polled.get(id) ?? []), lastPolledAt]);
            }),
          );
          await new Promise((resolve) => setTimeout(resolve, 3));
        }
      }),
    );
    for (const [id, times] of polled) {
      const interval = id === "s1" ? 150 : 450;
      const inOrder = times.toSorted((a, b) => a - b);
      const gaps = inOrder.slice(1).map((at, i) => at - (inOrder[i] ?? 0));
      for (const gap of gaps) expect(gap, id).toBeGreaterThanOrEqual(interval);
    }
    expect(polled.get("s1")?.length).toBeGreaterThanOrEqual(4);
    const tiers = replicas.map(({ classifier }) => servers(5).map(({ id }) => classifier.tierOf(id)));
    expect(tiers).toEqual(Array(3).fill(["cold", "hot", "cold", "cold", "cold"]));
  });

  it("SC-9 leaves no secret of a URL in any key or value", async () => {
    const known = servers(5).map((server) => ({
      ...server,
      url: "https://user:hunter2@host/mcp?key=hunter2",
    }));
    const a = replica(storeOf(), { known });
    a.usage.use("s1");
    a.classifier.start();
    await eventually(() => a.classifier.tierOf("s1") === "hot");
    const claim = await a.classifier.schedule.claim({ id: "s1", gatewayId: "hunter2" }, "health");
    if (claim) await a.classifier.schedule.complete(claim);
    const client = redis.client();
    for (const key of await client.keys("*")) {
      const dump = key + (await client.dumpBuffer(key))?.toString("latin1");
      expect(dump).not.toContain("hunter2");
    }
  });
});

describe("a classifier over a Cluster", () => {
  it("SC-9 runs its cycles on three masters without a cross-slot error", async () => {
    const cluster = await starting;
    const a = replica(createRedisClassifierStore({ client: cluster.client() }));
    a.usage.use("s1");
    a.classifier.start();
    await eventually(() => a.classifier.tierOf("s1") === "hot");
    const claim = await a.classifier.schedule.claim({ id: "s1" }, "health");
    expect(claim?.degraded).toBe(false);
    expect(a.errors.map(String).filter((error) => /slot/i.test(error))).toEqual([]);
    await a.classifier.stop();
  });
});

describe("a classifier alone", () => {
  it("leads itself in memory", async () => {
    const usage = createUsage(Date.now);
    await using classifier = createClassifier(fast, { servers: () => servers(5), usage: usage.source });
    usage.use("s1");
    classifier.start();
    await eventually(() => classifier.tierOf("s1") === "hot");
    expect(classifier.stats()).toMatchObject({ running: true, leader: true, epoch: 1 });
    expect(classifier.explain("s1")).toMatchObject({
      tier: "hot",
      rank: 1,
      hotCap: 1,
      why: "ranks within the cap",
      polls: [
        { pollType: "health", due: true },
        { pollType: "tool_discovery", due: true },
      ],
    });
    expect(classifier.explain({ id: "unknown" })).toMatchObject({
      tier: undefined,
      rank: 0,
      why: "not classified yet",
    });
  });

  it("does nothing when it is not enabled, and then slows no poll", async () => {
    const { classifier } = replica(createMemoryStore(), { options: { enabled: false } });
    classifier.start();
    expect(classifier.stats()).toMatchObject({ running: false, leader: false, lagMs: undefined });
    expect(classifier.explain("s1")).toMatchObject({ tier: undefined, why: "classification is off" });
    expect(classifier.schedule.explain({ id: "s1" }, "health").intervalMs).toBeLessThanOrEqual(330_000);
    await classifier.stop();
  });

  it("starts once, stops twice, and starts again", async () => {
    const { classifier, events } = replica(createMemoryStore());
    classifier.start();
    classifier.start();
    await eventually(() => classifier.stats().cycles > 0);
    await Promise.all([classifier.stop(), classifier.stop()]);
    expect(classifier.stats()).toMatchObject({ running: false, leader: false });
    const { cycles } = classifier.stats();
    classifier.start();
    await eventually(() => classifier.stats().cycles > cycles);
    expect(events.filter((event) => event === "leads")).toHaveLength(2);
  });

  it("waits with a start until a stop under way is done, and does what was asked last", async () => {
    const { classifier, events } = replica(createMemoryStore());
    classifier.start();
    await eventually(() => classifier.stats().leader);
    const stopping = classifier.stop();
    classifier.start();
    await stopping;
    await eventually(() => classifier.stats().leader);
    expect(events.filter((event) => event === "leads" || event === "follows")).toEqual([
      "leads",
      "follows",
      "leads",
    ]);
    const last = [classifier.stop(), classifier.start(), classifier.stop()];
    await Promise.all(last);
    expect(classifier.stats()).toMatchObject({ running: false, leader: false });
  });

  it("goes on after cycles that fail, and backs off between them", async () => {
    const { clock, fake } = fakeTime();
    let broken = true;
    const errors: unknown[] = [];
    const classifier = createClassifier(
      { cycleMs: 60_000 },
      {
        store: createMemoryStore({ now: clock.wall }),
        usage: { usage: () => [] },
        servers: () => {
          if (broken) throw new Error("registry away");
          return servers(5);
        },
        clock,
        observer: { onError: (error) => errors.push(error) },
      },
    );
    open.push(classifier);
    classifier.start();
    await fake.advance(29_000);
    expect(classifier.stats().failedCycles).toBe(1);
    await fake.advance(2_000);
    expect(classifier.stats().failedCycles).toBe(2);
    broken = false;
    await fake.advance(30_000);
    expect(classifier.stats()).toMatchObject({ failedCycles: 2, tiers: { cold: 5 } });
    expect(errors).toHaveLength(2);
    await classifier.stop();
  });

  it("gives a cycle 0.8 of the lease, and goes on when it takes longer", async () => {
    const { clock, fake } = fakeTime();
    const real = createMemoryStore({ now: clock.wall });
    let hang = true;
    const errors: Array<{ code?: string }> = [];
    const classifier = createClassifier(
      {},
      {
        store: { ...real, collect: () => (hang ? new Promise(() => {}) : real.collect()) },
        usage: { usage: () => [] },
        servers: () => servers(5),
        clock,
        observer: { onError: (error) => errors.push(error as { code?: string }) },
      },
    );
    open.push(classifier);
    classifier.start();
    await fake.advance(11_999);
    expect(errors).toEqual([]);
    await fake.advance(1);
    expect(errors).toMatchObject([{ code: "cycle_timeout", retryable: true }]);
    hang = false;
    await fake.advance(30_000);
    expect(classifier.stats()).toMatchObject({ failedCycles: 1, cycles: 1 });
    await classifier.stop();
    expect(fake.pendingTimers).toBe(0);
  });

  it("is leader only while its lease surely holds", async () => {
    const { clock, fake } = fakeTime();
    const real = createMemoryStore({ now: clock.wall });
    let down = false;
    const events: boolean[] = [];
    const classifier = createClassifier(
      {},
      {
        store: {
          ...real,
          acquire: (...args) => (down ? Promise.reject(new Error("down")) : real.acquire(...args)),
        },
        usage: { usage: () => [] },
        servers: () => servers(5),
        clock,
        observer: { onLeader: ({ leader }) => events.push(leader) },
      },
    );
    open.push(classifier);
    classifier.start();
    await fake.advance(1);
    expect(classifier.stats().leader).toBe(true);
    down = true;
    await fake.advance(14_000);
    expect(classifier.stats().leader).toBe(true);
    await fake.advance(6_000);
    expect(classifier.stats().leader).toBe(false);
    down = false;
    await fake.advance(30_000);
    expect(classifier.stats()).toMatchObject({ leader: true });
    expect(events).toEqual([true, false, true]);
  });

  it("gives the lease back when its loop crashes, and can be started again", async () => {
    const errors: unknown[] = [];
    let broken = false;
    const store = createMemoryStore();
    const classifier = createClassifier(fast, {
      store,
      servers: () => servers(5),
      usage: { usage: () => [] },
      random: () => {
        if (broken) throw new Error("crashed");
        return 0.5;
      },
      observer: { onError: (error) => errors.push(error) },
    });
    open.push(classifier);
    classifier.start();
    await eventually(() => classifier.stats().cycles > 0);
    broken = true;
    await eventually(() => !classifier.stats().running && !classifier.stats().leader);
    expect(errors).toMatchObject([{ message: "crashed" }]);
    broken = false;
    expect((await store.acquire("other", 1, 0)).leader).toBe(true);
    const { cycles } = classifier.stats();
    classifier.start();
    await eventually(() => classifier.stats().cycles > cycles && classifier.stats().leader);
  });

  it("ignores an observer that throws", async () => {
    const rude = () => {
      throw new Error("observer");
    };
    const classifier = createClassifier(fast, {
      servers: () => servers(5),
      usage: { usage: () => [] },
      observer: { onCycle: rude, onMove: rude, onLeader: rude, onError: rude },
    });
    open.push(classifier);
    classifier.start();
    await eventually(() => classifier.stats().cycles > 1);
    expect(classifier.stats().failedCycles).toBe(0);
  });

  it("SC-4 a leader that hears of its successor while it reads does not publish in the successor's term", async () => {
    const real = createMemoryStore();
    const published: number[] = [];
    let paused = false;
    let goOn: (() => void) | undefined;
    const { classifier } = replica({
      ...real,
      acquire: (...args) => (paused ? Promise.reject(new Error("paused")) : real.acquire(...args)),
      collect: async () => {
        if (paused) await new Promise<void>((resolve) => (goOn = resolve));
        return real.collect();
      },
      publish: (publication) => {
        published.push(publication.epoch);
        return real.publish(publication);
      },
    });
    classifier.start();
    await eventually(() => published.length > 0);
    paused = true;
    await eventually(() => goOn !== undefined);
    const successor = replica(real);
    successor.classifier.start();
    await eventually(() => successor.classifier.snapshot()?.epoch === 2);
    paused = false;
    await eventually(() => classifier.stats().epoch === 2);
    goOn?.();
    const { cycles } = classifier.stats();
    await eventually(() => classifier.stats().cycles > cycles + 1);
    expect(new Set(published)).toEqual(new Set([1]));
  });

  it("a cycle that is late publishes nothing any more", async () => {
    const { clock, fake } = fakeTime();
    const real = createMemoryStore({ now: clock.wall });
    const versions: number[] = [];
    let late: (() => void) | undefined;
    const classifier = createClassifier(
      {},
      {
        store: {
          ...real,
          collect: async () => {
            if (late === undefined) await new Promise<void>((resolve) => (late = resolve));
            return real.collect();
          },
          publish: (publication) => {
            versions.push(publication.versionSeen);
            return real.publish(publication);
          },
        },
        usage: { usage: () => [] },
        servers: () => servers(5),
        clock,
      },
    );
    open.push(classifier);
    classifier.start();
    await fake.advance(12_000);
    expect(classifier.stats()).toMatchObject({ failedCycles: 1, cycles: 0 });
    late?.();
    await fake.advance(1_000);
    expect(versions).toEqual([]);
    await fake.advance(30_000);
    expect(versions).toEqual([0]);
  });

  it("SC-4 a refusal of an earlier term does not depose a leader that was elected again", async () => {
    const { clock, fake } = fakeTime();
    const real = createMemoryStore({ now: clock.wall });
    const events: string[] = [];
    let held: (() => void) | undefined;
    let cut = false;
    const classifier = createClassifier(
      { cycleMs: 5_000 },
      {
        store: {
          ...real,
          acquire: (...args) => (cut ? Promise.reject(new Error("cut off")) : real.acquire(...args)),
          publish: async (publication) => {
            // The first answer comes a term late.
            if (held === undefined) await new Promise<void>((resolve) => (held = resolve));
            return real.publish(publication);
          },
        },
        usage: { usage: () => [] },
        servers: () => servers(5),
        clock,
        random: () => 0.5,
        observer: {
          onLeader: ({ leader, epoch }) => events.push(`${leader ? "leads" : "follows"} ${epoch}`),
        },
      },
    );
    open.push(classifier);
    classifier.start();
    await fake.advance(1_000);
    cut = true;
    await fake.advance(30_000);
    cut = false;
    await fake.advance(10_000);
    expect(events).toEqual(["leads 1", "follows 1", "leads 2"]);
    held?.();
    await fake.advance(1_000);
    expect(classifier.stats()).toMatchObject({ leader: true, epoch: 2 });
    expect(events).toHaveLength(3);
  });

  it("goes on following while a release or a notice cannot be handled", async () => {
    const real = createMemoryStore();
    const { classifier, errors } = replica({
      ...real,
      release: () => Promise.reject(new Error("no release")),
      subscribe: (listener) => {
        queueMicrotask(() => listener("published"));
        return () => {};
      },
      read: () => Promise.reject(new Error("no read")),
    });
    classifier.start();
    await eventually(() => classifier.stats().cycles > 0);
    await classifier.stop();
    expect(errors.map((error) => (error as Error).message)).toEqual(expect.arrayContaining(["no release"]));
  });

  it("counts moves, keeps the server's health polls quick while it is used, and sends what a failed report held", async () => {
    const real = createMemoryStore();
    let down = true;
    const { classifier, usage, events } = replica({
      ...real,
      report: (report) => (down ? Promise.reject(new Error("down")) : real.report(report)),
    });
    usage.use("s1", 5, 1);
    classifier.start();
    await eventually(() => classifier.stats().failedCycles > 0);
    down = false;
    await eventually(() => classifier.tierOf("s1") === "hot");
    expect((await real.collect()).usage).toMatchObject([{ serverId: "s1", totalUses: 5 }]);
    usage.use("s2", 1, 0);
    await eventually(() => classifier.tierOf("s2") === "hot" && classifier.tierOf("s1") === "cold");
    expect(events).toEqual(expect.arrayContaining(["s2 hot", "s1 cold"]));
    expect(classifier.stats().moves).toBe(2);
    const interval = (id: string) => classifier.schedule.explain({ id }, "health").intervalMs / 300_000;
    expect(interval("s1")).toBeLessThan(1.2);
    expect(interval("s4")).toBeGreaterThan(2.5);
    usage.entries.set("s1", {
      serverId: "s1",
      lastUsedAt: Date.now() + 5,
      totalUses: 1,
      activeSessions: 0,
      pooledSessions: 1,
    });
    await eventually(
      async () => (await real.collect()).usage.find((u) => u.serverId === "s1")?.totalUses === 6,
    );
  });

  it("refuses misspelt options", () => {
    expect(() => replica(createMemoryStore(), { options: { cycleMS: 1 } as ClassifierOptions })).toThrow(
      /cycleMs/,
    );
    const fraction = { leaseMs: 15_000.5 };
    expect(() => replica(createMemoryStore(), { options: fraction })).toThrow(/leaseMs: .*int/);
    const slowBeat = { leaseMs: 1_000, heartbeatMs: 1_000 };
    expect(() => replica(createMemoryStore(), { options: slowBeat })).toThrow(/heartbeatMs: must be less/);
    expect(leaders([])).toEqual([]);
  });
});
