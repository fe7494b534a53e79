import { createSessionPool, type Lease, type SessionKey } from "@gatewright/session-pool";
import { seededRandom } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { downstreamKey, exclusiveKey, identityKey } from "./support/keys.ts";
import { MemoryFactory, type MemorySession } from "./support/memory-factory.ts";
import { createPoolClock } from "./support/pool-clock.ts";

const pick = <T>(random: () => number, items: readonly T[]): T =>
  items[Math.floor(random() * items.length)] as T;
const upTo = (random: () => number, most: number) => 1 + Math.floor(random() * most);
const seeds = Array.from({ length: 15 }, (_, i) => i + 1);
/** Lets everything happen that needs no time. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

interface Caller {
  readonly key: SessionKey;
  readonly seq: number;
  readonly abort: AbortController;
  /** The step in which it was served, and its lease. */
  step?: number;
  lease?: Lease<MemorySession>;
}

describe("whoever came first is served first, over all keys,", () => {
  it.each(seeds)("whatever keys, caps, releases and timeouts (seed %i)", async (seed) => {
    const random = seededRandom(seed);
    const { clock, time } = createPoolClock();
    const factory = new MemoryFactory();
    const caps = {
      maxTotal: 1 + upTo(random, 5),
      maxPerServer: upTo(random, 4),
      maxPerTenant: upTo(random, 3),
      maxPerKey: upTo(random, 3),
    };
    const concurrency = upTo(random, 2);
    const pool = createSessionPool(
      { ...caps, maxConcurrencyPerSession: concurrency, acquireTimeoutMs: 2_000, maxAgeMs: 2 ** 31 - 1 },
      { factory, clock, random },
    );
    const capsOf = ({ serverId, tenant }: SessionKey): [string, number][] => [
      [`server ${serverId}`, caps.maxPerServer],
      ...(tenant === undefined ? [] : [[`tenant ${tenant}`, caps.maxPerTenant] as [string, number]]),
      ["total", caps.maxTotal],
    ];
    const isUnder = (key: SessionKey, cap: string) => capsOf(key).some(([name]) => name === cap);
    const keyAt = () => {
      const [who, server] = [pick(random, ["ann", "bob", "cid"]), pick(random, ["s1", "s2", "s3"])];
      return pick(random, [
        () => exclusiveKey(who, server),
        () => exclusiveKey(who, server),
        () => identityKey(who, server, pick(random, ["t1", "t2"])),
        () => identityKey(who, server),
        () => downstreamKey(`d-${who}`, server, who),
      ])();
    };
    const callers = new Set<Caller>();
    let step = 0;
    let seq = 0;
    const ask = () => {
      const caller: Caller = { key: keyAt(), seq: seq++, abort: new AbortController() };
      callers.add(caller);
      pool.acquire(caller.key, { signal: caller.abort.signal }).then(
        (lease) => Object.assign(caller, { lease, step }),
        () => callers.delete(caller),
      );
    };
    /** `before` sessions had been made when the step began. */
    const check = (before: number) => {
      const open = factory.sessions.filter(({ closed }) => closed === undefined);
      const holders = (session: MemorySession) =>
        [...callers].filter(({ lease }) => lease?.session === session);
      const idle = open.filter((one) => one.key.strategy !== "downstream" && holders(one).length === 0);
      /** Whether a key could have a session if the idle ones and this one were closed. */
      const couldHave = (key: SessionKey, given?: MemorySession) => {
        const most = key.strategy === "downstream" ? 1 : caps.maxPerKey;
        if (open.filter((one) => one.key.id === key.id).length >= most) return false;
        return capsOf(key).every(([cap, limit]) => {
          const left = open.filter((one) => one !== given && !idle.includes(one) && isUnder(one.key, cap));
          return left.length < limit;
        });
      };
      for (const waiting of [...callers].filter(({ lease }) => lease === undefined)) {
        expect(couldHave(waiting.key), `caller ${waiting.seq} waits for nothing`).toBe(false);
        for (const session of open) {
          const now = holders(session);
          if (now.length === 0 || now.some((one) => one.step !== step || one.seq < waiting.seq)) continue;
          if (session.key.strategy === "downstream" && session.id <= before) continue;
          const passed = session.key.id === waiting.key.id || couldHave(waiting.key, session);
          expect(passed, `caller ${now[0]?.seq} was served before caller ${waiting.seq}`).toBe(false);
        }
      }
    };
    for (; step < 400; step++) {
      const dice = random();
      const held = [...callers].filter(({ lease }) => lease !== undefined);
      const before = factory.sessions.length;
      if (dice < 0.48) ask();
      else if (dice < 0.9 && held.length > 0) {
        const caller = pick(random, held);
        callers.delete(caller);
        caller.lease?.release(pick(random, ["ok", "ok", "ok", "broken"]));
      } else if (dice < 0.95) await time.advance(random() * 500);
      else pick(random, [...callers])?.abort.abort();
      await settle();
      check(before);
    }
    for (const { lease } of callers) lease?.release();
    await pool.close();
  });

  it.each(seeds)(
    "so that each waits for those before it only, however busy a key is (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const { clock, time } = createPoolClock();
      const factory = new MemoryFactory();
      const nap = (mostMs: number) =>
        new Promise<void>((resolve) => time.setTimeout(resolve, random() * mostMs));
      factory.beforeConnect = () => nap(10);
      factory.beforeClose = () => nap(10);
      const maxTotal = upTo(random, 4);
      const options = { maxTotal, maxPerKey: upTo(random, 4), maxConcurrencyPerSession: 1 };
      const pool = createSessionPool(options, { factory, clock, random });
      // Nobody's session takes longer to be opened, used and closed.
      const cycleMs = 10 + 20 + 10;
      let served = 0;
      const caller = async (who: string) => {
        while (time.now() < endMs) {
          const { perKey, queueDepth } = pool.stats();
          const before = queueDepth + perKey.reduce((sum, { connecting }) => sum + connecting, 0);
          const sinceMs = time.now();
          const lease = await pool.acquire(exclusiveKey(who));
          const cycles = Math.floor(before / Math.min(maxTotal, options.maxPerKey)) + 3;
          expect(time.now() - sinceMs, `${who} behind ${before}`).toBeLessThanOrEqual(cycles * cycleMs);
          served++;
          await nap(20);
          lease.release(random() < 0.1 ? "broken" : "ok");
          if (random() < 0.2) await nap(50);
        }
      };
      const endMs = time.now() + 2_000;
      const names = ["bob", "cid", ...Array.from({ length: 3 + upTo(random, 10) }, () => "ann")];
      let ended = false;
      const all = Promise.all(names.map(caller)).finally(() => {
        ended = true;
      });
      while (!ended) {
        await time.advance(1);
        await settle();
      }
      await all;
      expect(served).toBeGreaterThan(50);
      const closing = pool.close();
      await time.advance(100);
      await closing;
    },
  );

  it("also once a raised limit makes room, and beside a key that takes whatever comes back", async () => {
    const limits = { maxPerServer: 1 };
    const pool = createSessionPool({}, { factory: new MemoryFactory(), limitsOf: () => limits });
    const order: string[] = [];
    const use = async (who: string) => {
      const lease = await pool.acquire(exclusiveKey(who));
      order.push(who);
      return lease;
    };
    const first = await use("ann");
    const rest = ["bob", "ann", "cid", "ann", "bob"].map(use);
    first.release();
    (await rest[0])?.release();
    await rest[1];
    limits.maxPerServer = 2;
    pool.refreshLimits("s1");
    await rest[2];
    expect(order).toEqual(["ann", "bob", "ann", "cid"]);
    limits.maxPerServer = 4;
    pool.refreshLimits("s1");
    for (const lease of await Promise.all(rest)) lease.release();
    expect(order).toEqual(["ann", "bob", "ann", "cid", "ann", "bob"]);
    await pool.close();
  });

  it("also when the first caller of the only key that waits has given up", async () => {
    const pool = createSessionPool({ maxTotal: 1 }, { factory: new MemoryFactory() });
    const first = await pool.acquire(exclusiveKey("ann"));
    const abort = new AbortController();
    const gone = pool.acquire(exclusiveKey("bob"), { signal: abort.signal }).catch(() => "gave up");
    const served: string[] = [];
    void pool.acquire(exclusiveKey("bob")).then((lease) => {
      served.push("bob");
      lease.release();
    });
    abort.abort();
    expect(await gone).toBe("gave up");
    first.release("broken");
    await settle();
    expect(served).toEqual(["bob"]);
    await pool.close();
  });
});

describe("while many servers are full and many sessions idle", () => {
  async function crowded() {
    const factory = new MemoryFactory();
    const pool = createSessionPool(
      { maxTotal: 10_000, maxPerServer: 1, acquireTimeoutMs: 600_000 },
      { factory, limitsOf: ({ serverId }) => (serverId === "wide" ? { maxPerServer: 5_000 } : undefined) },
    );
    const idle = await Promise.all(
      Array.from({ length: 800 }, (_, i) => pool.acquire(exclusiveKey(`p${i}`, "wide"))),
    );
    for (const lease of idle) lease.release();
    for (let i = 0; i < 200; i++) {
      await pool.acquire(exclusiveKey("ann", `s${i}`));
      void pool.acquire(exclusiveKey("bob", `s${i}`)).catch(() => {});
    }
    expect(pool.stats().queueDepth).toBe(200);
    return { factory, pool };
  }
  /** Milliseconds of the processor, so that other work on the machine counts little. */
  const costOf = async (run: () => unknown) => {
    const begin = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(begin);
    return (user + system) / 1000;
  };

  it("a thousand calls on a warm session of another server cost no look at each of these", async () => {
    const { pool } = await crowded();
    const cost = await costOf(async () => {
      for (let i = 0; i < 1_000; i++) (await pool.acquire(exclusiveKey("p7", "wide"))).release();
    });
    expect(cost).toBeLessThan(250);
    await pool.close({ deadlineMs: 0 });
  });

  it("a thousand callers that wait for a connect of another server cost none either", async () => {
    const { factory, pool } = await crowded();
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = () => gate.promise;
    const leases: Promise<Lease<MemorySession>>[] = [];
    const cost = await costOf(() => {
      for (let i = 0; i < 1_000; i++) leases.push(pool.acquire(downstreamKey("d1", "wide")));
    });
    expect(cost).toBeLessThan(250);
    gate.resolve();
    for (const lease of leases) (await lease).release();
    await pool.close({ deadlineMs: 0 });
  });
});
