import { createRateLimiter } from "@gatewright/rate-limiter";
import { createRedisStore, laneOf } from "@gatewright/rate-limiter/redis";
import { eventually, type RedisCluster, startRedisCluster } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeRecord } from "./support/control-record.ts";

/** One that stays whole, and two that lose a master: all need the same two seconds before they serve. */
let [cluster, partial, broken] = [] as RedisCluster[] as [RedisCluster, RedisCluster, RedisCluster];
beforeAll(async () => {
  [cluster, partial, broken] = await Promise.all([
    startRedisCluster(),
    startRedisCluster(),
    startRedisCluster(),
  ]);
});
afterAll(() => Promise.all([cluster, partial, broken].map((each) => each?.close())));

describe.concurrent("Redis Cluster with three masters", () => {
  it("RL-7 checks three rules for any tenant without a cross-slot error, and every lane can be toggled", async () => {
    const client = cluster.client();
    const errors: unknown[] = [];
    const limiter = createRateLimiter(
      { rules: { by_user: "2/m", by_tenant: "9/m", by_tool: { x: "9/m" } }, timeoutMs: 10_000 },
      { store: createRedisStore({ client }), observer: { onStoreError: (error) => errors.push(error) } },
    );
    const tenants = Array.from({ length: 200 }, (_, i) => `tenant-${i}`);
    const subjects = [...tenants, undefined].map((tenant) => ({ user: "ann", tenant, tool: "x" }));
    const all = () => Promise.all(subjects.map((subject) => limiter.check(subject, { dedupeId: undefined })));
    await all();
    await all();
    expect((await all()).some((decision) => decision.allowed)).toBe(false);
    await writeRecord(client, { mode: "disabled", rev: 1 });
    expect((await all()).every((decision) => decision.allowed && decision.rev === 1)).toBe(true);
    await writeRecord(client, { mode: "enforce", rev: 2 });
    expect((await all()).some((decision) => decision.allowed)).toBe(false);
    await writeRecord(client, { mode: "permissive", rev: 3, tenant: "tenant-7" });
    expect((await all()).filter((decision) => decision.allowed)).toHaveLength(1);

    await limiter.wipe({ scope: "all" });
    expect((await all()).every((decision) => decision.allowed)).toBe(true);
    expect(errors).toEqual([]);
  });

  it("RL-7 a dedupe id charges a call of any tenant once, in the tenant's own lane", async () => {
    const errors: unknown[] = [];
    const limiter = createRateLimiter(
      { rules: { by_user: "1/h", by_tool: { x: "1/h" } }, timeoutMs: 10_000 },
      {
        store: createRedisStore({ client: cluster.client(), prefix: "once" }),
        observer: { onStoreError: (error) => errors.push(error) },
      },
    );
    for (const tenant of Array.from({ length: 40 }, (_, i) => `tenant-${i}`)) {
      const subject = { user: "ann", tenant, tool: "x" };
      const allowed = async (dedupeId: string) => (await limiter.check(subject, { dedupeId })).allowed;
      expect([await allowed("1"), await allowed("1"), await allowed("2")]).toEqual([true, true, false]);
    }
    expect(errors).toEqual([]);
  });

  it("a wipe sweeps the dead keys of every node", async () => {
    const client = cluster.client();
    const store = createRedisStore({ client, prefix: "sweep" });
    const limiter = createRateLimiter({ rules: { by_user: "2/m" }, timeoutMs: 10_000 }, { store });
    const subjects = Array.from({ length: 60 }, (_, i) => ({ user: "ann", tenant: `t${i}` }));
    await Promise.all(subjects.map((subject) => limiter.check(subject)));
    await limiter.wipe({ scope: "all" });
    await eventually(() => limiter.stats().store["swept"] === 60, { timeoutMs: 10_000 });
    await store.close();
  });

  it("RL-6 that lost a master but serves the rest: only the tenants of that master are decided by the policy", async () => {
    const own = partial;
    for (const node of own.nodes) await node.client().config("SET", "cluster-require-full-coverage", "no");
    const client = own.client({ enableOfflineQueue: false, maxRedirections: 1 });
    await eventually(() => client.status === "ready");
    const states: string[] = [];
    const lanes = new Set<string | undefined>();
    const onBreaker = (state: string, lane: string | undefined) => {
      states.push(state);
      lanes.add(lane);
    };
    const breaker = { failures: 3, openMs: 20 };
    const limiter = createRateLimiter(
      { rules: { by_user: "100000/h" }, timeoutMs: 2_000, failurePolicy: "closed", breaker },
      { store: createRedisStore({ client }), observer: { onBreaker } },
    );
    const subjects = Array.from({ length: 30 }, (_, i) => ({ user: "ann", tenant: `tenant-${i}` }));
    const degraded = async () => {
      const decisions = await Promise.all(subjects.map((subject) => limiter.check(subject)));
      return decisions.map((decision) => decision.degraded !== undefined);
    };
    await eventually(async () => !(await degraded()).includes(true));
    await own.nodes[1]?.kill();
    const slots = await Promise.all(
      subjects.map(({ tenant }) => own.nodes[0]!.client().cluster("KEYSLOT", `{l${laneOf(tenant)}}`)),
    );
    // Three masters have a third of the 16 384 slots each, in order.
    const lost = slots.map((slot) => slot >= 5_462 && slot <= 10_922);
    expect(new Set(lost)).toEqual(new Set([true, false]));
    await eventually(async () => expect(await degraded()).toEqual(lost));
    // The three failures in a row that open the breaker of each lane that is away.
    await eventually(async () => {
      for (let i = 0; i < 5; i++) await degraded();
      return limiter.stats().breaker !== "closed";
    });
    states.length = 0;
    lanes.clear();
    for (let i = 0; i < 50; i++) expect(await degraded()).toEqual(lost);
    expect(states).not.toContain("closed");
    const away = new Set(subjects.filter((_, i) => lost[i]).map(({ tenant }) => laneOf(tenant)));
    await eventually(async () => {
      await degraded();
      expect(lanes).toEqual(away);
    });
  }, 60_000);

  it("RL-6 that lost a master: every check is decided in time by the policy, and by counters again when it is back", async () => {
    const own = broken;
    const client = own.client({ enableOfflineQueue: false });
    await eventually(() => client.status === "ready");
    const limiter = createRateLimiter(
      {
        rules: { by_user: "9/m" },
        timeoutMs: 100,
        failurePolicy: "closed",
        breaker: { failures: 3, openMs: 100 },
      },
      { store: createRedisStore({ client }) },
    );
    const subjects = Array.from({ length: 30 }, (_, i) => ({ user: "ann", tenant: `tenant-${i}` }));
    const checkAll = () => Promise.all(subjects.map((subject) => limiter.check(subject)));
    await eventually(async () => (await checkAll()).every((decision) => decision.allowed));
    await own.nodes[1]?.kill();
    await eventually(async () => (await checkAll()).every(({ degraded }) => degraded === "closed"));
    const startedAt = performance.now();
    await checkAll();
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await own.nodes[1]?.restart();
    await eventually(async () => (await checkAll()).every(({ degraded }) => degraded === undefined), {
      timeoutMs: 15_000,
    });
  }, 60_000);
});
