import { createSessionPool, type SessionPoolObserver, type UsageDelta } from "@gatewright/session-pool";
import { describe, expect, it } from "vitest";
import { identityKey } from "./support/keys.ts";
import { MemoryFactory } from "./support/memory-factory.ts";
import { createPoolClock } from "./support/pool-clock.ts";

function setup(options = {}, observer: SessionPoolObserver = {}) {
  const factory = new MemoryFactory();
  const { clock, time } = createPoolClock();
  return { factory, time, pool: createSessionPool(options, { factory, clock, observer }) };
}

describe("usage", () => {
  it("is a frozen record per server", async () => {
    const { pool, time } = setup();
    const lease = await pool.acquire(identityKey());
    (await pool.acquire(identityKey("bob"))).release("application_error");
    await time.advance(30);
    const during = pool.usage();
    expect(during).toMatchObject([
      { serverId: "s1", activeSessions: 1, pooledSessions: 1, totalUses: 1, errors: 1 },
    ]);
    lease.release();
    const [after] = pool.usage();
    expect(after).toMatchObject({
      lastUsedAt: time.now(),
      activeSessions: 0,
      pooledSessions: 2,
      totalUses: 2,
    });
    expect(after?.latency).toMatchObject({ count: 2, sumMs: 30, maxMs: 30 });
    for (const part of [during, after, after?.latency, after?.latency.counts])
      expect(Object.isFrozen(part)).toBe(true);
    expect(during[0]?.totalUses).toBe(1);
  });

  it("does not count leases taken for probes", async () => {
    const { pool } = setup();
    const deltas: UsageDelta[] = [];
    pool.onUse((delta) => deltas.push(delta));
    const probe = await pool.acquire(identityKey(), { purpose: "probe" });
    expect(pool.usage()[0]).toMatchObject({ activeSessions: 0, pooledSessions: 1 });
    probe.release("timeout");
    const warm = pool.tryAcquire(identityKey(), { purpose: "probe" });
    warm?.release();
    expect(pool.usage()[0]).toMatchObject({ lastUsedAt: 0, totalUses: 0, errors: 0 });
    expect(deltas).toEqual([]);
    expect(pool.stats()).toMatchObject({ hits: 0, misses: 0, hitRate: 0 });
  });

  it("tells whether there is room without using anything up", async () => {
    const { pool } = setup({ maxUses: 2, maxConcurrencyPerSession: 2, maxPerKey: 1 });
    expect(pool.hasRoom(identityKey())).toBe(false);
    const first = await pool.acquire(identityKey());
    for (let i = 0; i < 5; i++) expect(pool.hasRoom(identityKey())).toBe(true);
    const second = pool.tryAcquire(identityKey());
    expect(second?.session).toBe(first.session);
    expect(pool.hasRoom(identityKey())).toBe(false);
  });

  it("does not let probe leases keep an idle session alive", async () => {
    const { factory, pool, time } = setup({ idleEvictMs: 10_000, reapIntervalMs: 1000 });
    (await pool.acquire(identityKey())).release();
    for (let i = 0; i < 6; i++) {
      await time.advance(1900);
      pool.tryAcquire(identityKey(), { purpose: "probe" })?.release();
    }
    expect(factory.sessions[0]?.closed).toBe("idle");
  });

  it("is announced use by use until nobody listens", async () => {
    const { pool, time } = setup();
    const deltas: UsageDelta[] = [];
    const stop = pool.onUse((delta) => deltas.push(delta));
    const stopBad = pool.onUse(() => {
      throw new Error("listener");
    });
    const lease = await pool.acquire(identityKey());
    await time.advance(7);
    lease.release();
    (await pool.acquire(identityKey())).release("broken");
    expect(deltas).toEqual([
      { serverId: "s1", at: time.now(), uses: 1, errors: 0, latencyMs: 7 },
      { serverId: "s1", at: time.now(), uses: 1, errors: 1, latencyMs: 0 },
    ]);
    expect(Object.isFrozen(deltas[0])).toBe(true);
    stop();
    stopBad();
    (await pool.acquire(identityKey())).release();
    expect(deltas).toHaveLength(2);
  });

  it("forgets servers without sessions beyond maxTrackedServers", async () => {
    const { pool } = setup({ maxTrackedServers: 2 });
    const kept = await pool.acquire(identityKey("ann", "s1"));
    (await pool.acquire(identityKey("ann", "s2"))).release("broken");
    await pool.drain({ serverId: "s2" });
    await pool.acquire(identityKey("ann", "s3"));
    expect(pool.usage().map((record) => record.serverId)).toEqual(["s1", "s3"]);
    kept.release();
  });
});

describe("stats", () => {
  it("tell waits, gauges and hit rate", async () => {
    const { pool, time } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1 });
    const lease = await pool.acquire(identityKey("ann", "s1", "t1"));
    const wait = pool.acquire(identityKey("ann", "s1", "t1"));
    await time.advance(40);
    expect(pool.stats()).toMatchObject({
      queueDepth: 1,
      sessions: 1,
      leases: 1,
      perKey: [{ serverId: "s1", strategy: "identity", sessions: 1, leases: 1, connecting: 0, waiters: 1 }],
      perServer: [{ serverId: "s1", sessions: 1, leases: 1, waiters: 1, breaker: "closed" }],
    });
    lease.release();
    (await wait).release();
    const { waits, hits, misses, hitRate } = pool.stats();
    expect({ hits, misses, hitRate }).toEqual({ hits: 1, misses: 1, hitRate: 0.5 });
    expect(waits).toMatchObject({ count: 2, maxMs: 40 });
    expect(waits.counts[waits.boundsMs.indexOf(50)]).toBe(1);
  });
});

describe("the observer", () => {
  it("is told of opens, closes, failures and refusals, and cannot break the pool", async () => {
    const seen: string[] = [];
    const note = (name: string) => (event: object) => {
      seen.push(`${name} ${JSON.stringify({ ...event, keyId: undefined, connectMs: undefined })}`);
      throw new Error("observer");
    };
    const { factory, pool } = setup(
      { maxTotal: 1, maxWaiters: 1, maxConcurrencyPerSession: 1, maxPerKey: 1 },
      {
        sessionOpened: note("opened"),
        sessionClosed: note("closed"),
        connectFailed: note("failed"),
        acquireFailed: note("refused"),
      },
    );
    factory.beforeConnect = async (attempt) => {
      if (attempt === 2) throw Object.assign(new Error("token=hunter2"), { cause: { code: "ECONNRESET" } });
    };
    const lease = await pool.acquire(identityKey());
    void pool.acquire(identityKey()).catch(() => {});
    await expect(pool.acquire(identityKey())).rejects.toMatchObject({ code: "pool_capacity" });
    lease.release("broken");
    await pool.close();
    await pool.close();
    expect(seen).toEqual([
      'opened {"serverId":"s1","strategy":"identity"}',
      'refused {"serverId":"s1","strategy":"identity","code":"pool_capacity","queueDepth":1}',
      'closed {"serverId":"s1","strategy":"identity","reason":"broken","uses":1}',
    ]);
  });
});
