import {
  createSessionPool,
  type SessionPoolObserver,
  type SessionPoolOptions,
} from "@gatewright/session-pool";
import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { downstreamKey, identityKey, keys } from "./support/keys.ts";
import { MemoryFactory } from "./support/memory-factory.ts";
import { createPoolClock } from "./support/pool-clock.ts";

function setup(options: SessionPoolOptions = {}, observer: SessionPoolObserver = {}, limits = {}) {
  const factory = new MemoryFactory();
  const { clock, time } = createPoolClock();
  const pool = createSessionPool(options, { factory, clock, observer, limitsOf: () => limits });
  return { factory, pool, time };
}

describe("refreshLimits", () => {
  it("lets a waiter in when the leases of a session are raised, and ends nothing", async () => {
    const limits = { maxConcurrencyPerSession: 1 };
    const { factory, pool } = setup({}, {}, limits);
    const first = await pool.acquire(downstreamKey());
    const waiting = pool.acquire(downstreamKey());
    expect(pool.stats().queueDepth).toBe(1);
    limits.maxConcurrencyPerSession = 2;
    pool.refreshLimits("another");
    expect(pool.stats().queueDepth).toBe(1);
    pool.refreshLimits("s1");
    const second = await waiting;
    expect(second.session).toBe(first.session);
    expect(pool.tryAcquire(downstreamKey())).toBeUndefined();
    first.release();
    second.release();
    expect(factory.open).toBe(1);
  });

  it("gives no lease on a session above a lowered limit, nor to those who waited, until it is below", async () => {
    const limits = { maxConcurrencyPerSession: 3 };
    const { pool } = setup({}, {}, limits);
    const leases = await Promise.all([1, 2, 3].map(() => pool.acquire(downstreamKey())));
    const order: string[] = [];
    const waiting = pool.acquire(downstreamKey()).then((lease) => {
      order.push("served");
      return lease;
    });
    limits.maxConcurrencyPerSession = 1;
    pool.refreshLimits("s1");
    leases[0]!.release();
    leases[1]!.release();
    await Promise.resolve();
    order.push("two given back");
    leases[2]!.release();
    (await waiting).release();
    expect(order).toEqual(["two given back", "served"]);
    const again = await pool.acquire(downstreamKey());
    expect(pool.tryAcquire(downstreamKey())).toBeUndefined();
    again.release();
    expect(pool.stats()).toMatchObject({ leases: 0, sessions: 1 });
  });

  it("opens more sessions of a key when it may have more", async () => {
    const limits = { maxPerKey: 1, maxConcurrencyPerSession: 1 };
    const { factory, pool } = setup({}, {}, limits);
    const first = await pool.acquire(identityKey());
    const waiting = pool.acquire(identityKey());
    limits.maxPerKey = 2;
    pool.refreshLimits("s1");
    (await waiting).release();
    first.release();
    expect(factory.open).toBe(2);
  });

  it("leaves the limits of all keys as they are when those of one are wrong", async () => {
    let wrong = false;
    const pool = createSessionPool(
      {},
      {
        factory: new MemoryFactory(),
        limitsOf: ({ id }) => {
          if (wrong && id === identityKey("bob").id) throw new Error("no limits");
          return { maxPerKey: 1, maxConcurrencyPerSession: wrong ? 2 : 1 };
        },
      },
    );
    const ann = await pool.acquire(identityKey("ann"));
    const bob = await pool.acquire(identityKey("bob"));
    const order: string[] = [];
    const waiting = ["first", "second"].map((name) =>
      pool.acquire(identityKey("ann")).then((lease) => {
        order.push(name);
        lease.release();
      }),
    );
    wrong = true;
    expect(() => pool.refreshLimits("s1")).toThrow("no limits");
    ann.release();
    await Promise.all(waiting);
    expect(order).toEqual(["first", "second"]);
    const again = await pool.acquire(identityKey("ann"));
    expect(pool.tryAcquire(identityKey("ann"))).toBeUndefined();
    again.release();
    bob.release();
    await pool.close();
  });
});

describe("drain", () => {
  it("closes the idle sessions of a key and leaves the others", async () => {
    const { factory, pool } = setup();
    for (const who of ["a", "b"]) (await pool.acquire(identityKey(who))).release();
    expect(await pool.drain(identityKey("a"))).toEqual({ closed: 1, forced: 0 });
    expect(factory.sessions.map((session) => session.closed)).toEqual(["drained", undefined]);
  });

  it("closes the sessions of a server, stateful ones too", async () => {
    const { factory, pool } = setup();
    (await pool.acquire(identityKey("a", "s1"))).release();
    (await pool.acquire(downstreamKey("d", "s1"))).release();
    (await pool.acquire(identityKey("a", "s2"))).release();
    expect(await pool.drain({ serverId: "s1" })).toEqual({ closed: 2, forced: 0 });
    expect(factory.sessions.map((session) => session.closed)).toEqual(["drained", "drained", undefined]);
  });

  it("gives no new lease on a drained session while its old leases end in peace", async () => {
    const { factory, pool, time } = setup();
    const old = await pool.acquire(downstreamKey());
    const drained = pool.drain({ serverId: "s1" }, { deadlineMs: 1000 });
    const fresh = await pool.acquire(downstreamKey());
    expect(fresh.session).not.toBe(old.session);
    await time.advance(999);
    expect(factory.sessions[0]?.closed).toBeUndefined();
    old.release();
    expect(await drained).toEqual({ closed: 1, forced: 0 });
    expect(factory.sessions[0]?.closed).toBe("drained");
  });

  it("closes what is still leased at the deadline; a late release does no harm", async () => {
    const { factory, pool, time } = setup();
    const old = await pool.acquire(identityKey());
    const drained = pool.drain({ serverId: "s1" }, { deadlineMs: 1000 });
    await time.advance(1000);
    expect(await drained).toEqual({ closed: 1, forced: 1 });
    expect(factory.sessions[0]?.closed).toBe("drained");
    old.release();
    expect(pool.stats()).toMatchObject({ sessions: 0, leases: 0 });
  });

  it("gives up connects that began before it and begins them anew for who waits", async () => {
    const { factory, pool } = setup();
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = (attempt) => (attempt === 1 ? gate.promise : Promise.resolve());
    const wait = pool.acquire(identityKey());
    await eventually(() => factory.connects === 1);
    await pool.drain(identityKey());
    const lease = await wait;
    gate.resolve();
    await eventually(() => factory.sessions.length === 2);
    expect(lease.session.id).toBe(1);
    expect(factory.connects).toBe(2);
    await eventually(() => factory.sessions[1]?.closed === "late");
  });

  it("takes up no session whose connect ends in the very moment of the drain", async () => {
    for (let turns = 0; turns < 12; turns++) {
      const { factory, pool } = setup();
      const gate = Promise.withResolvers<void>();
      factory.beforeConnect = (attempt) => (attempt === 1 ? gate.promise : Promise.resolve());
      const wait = pool.acquire(identityKey());
      await eventually(() => factory.connects === 1);
      gate.resolve();
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      const drained = pool.drain(identityKey());
      (await wait).release();
      await drained;
      await eventually(() => factory.sessions[0]?.closed !== undefined);
      expect(pool.stats().sessions).toBe(factory.open);
    }
  });

  it("asks for the limits again", async () => {
    const limits = { maxPerKey: 1, maxConcurrencyPerSession: 1 };
    const { factory, pool } = setup({}, {}, limits);
    const first = await pool.acquire(identityKey());
    const wait = pool.acquire(identityKey());
    expect(factory.connects).toBe(1);
    first.release();
    (await wait).release();
    Object.assign(limits, { maxPerKey: 2 });
    await pool.drain({ serverId: "s1" });
    await Promise.all([pool.acquire(identityKey()), pool.acquire(identityKey())]);
    expect(factory.connects).toBe(3);
  });

  it("ends all sessions of a downstream session at once, and of no other", async () => {
    const { factory, pool } = setup();
    const key = downstreamKey("d1", "s1");
    const busy = await pool.acquire(key);
    (await pool.acquire(downstreamKey("d1", "s2"))).release();
    (await pool.acquire(downstreamKey("d2", "s1"))).release();
    pool.touchDownstream(key.downstream ?? "");
    const ended = pool.endDownstream(key.downstream ?? "");
    await eventually(() => factory.sessions.length === 3);
    expect(factory.sessions.map((session) => session.closed)[2]).toBeUndefined();
    busy.release();
    expect(await ended).toMatchObject({ closed: 2 });
    expect(factory.sessions[1]?.closed).toBe("downstream_ended");
  });
});

describe("handing over", () => {
  it("closes the sessions of a downstream session for another replica, and refuses who waits", async () => {
    const { factory, pool } = setup({ maxConcurrencyPerSession: 1 });
    const key = downstreamKey();
    const lease = await pool.acquire(key);
    const wait = pool.acquire(key).catch((error) => error);
    const report = pool.endDownstream(key.downstream ?? "", { handOver: true, deadlineMs: 1000 });
    expect(await wait).toMatchObject({ code: "not_found", retryable: false });
    lease.release();
    expect(await report).toEqual({ closed: 1, forced: 0 });
    expect(factory.sessions[0]?.closed).toBe("handed_over");
    expect(factory.connects).toBe(1);
  });

  it("leaves a session to another replica too that was still connecting", async () => {
    const { factory, pool } = setup();
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = () => gate.promise;
    const key = downstreamKey();
    const wait = pool.acquire(key).catch((error) => error);
    await Promise.resolve();
    await pool.endDownstream(key.downstream ?? "", { handOver: true });
    expect(await wait).toMatchObject({ code: "not_found" });
    gate.resolve();
    await eventually(() => factory.sessions[0]?.closed === "handed_over");
    expect(factory.open).toBe(0);
  });

  it("on close concerns stateful sessions only", async () => {
    const { factory, pool } = setup();
    (await pool.acquire(downstreamKey())).release();
    (await pool.acquire(identityKey())).release();
    await pool.close({ handOver: true });
    expect(factory.sessions.map(({ closed }) => closed)).toEqual(["handed_over", "pool_closed"]);
  });
});

describe("close", () => {
  it("refuses callers and waiters, waits for leases, closes in parallel", async () => {
    const { factory, pool } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1 });
    const lease = await pool.acquire(identityKey("a"));
    const wait = pool.acquire(identityKey("a")).catch((error) => error);
    (await pool.acquire(identityKey("b"))).release();
    const closed = pool.close({ deadlineMs: 1000 });
    expect(await wait).toMatchObject({ code: "pool_closed" });
    await expect(pool.acquire(identityKey("c"))).rejects.toMatchObject({ code: "pool_closed" });
    pool.warm(identityKey("c"));
    expect(pool.tryAcquire(identityKey("b"))).toBeUndefined();
    lease.release();
    expect(await closed).toEqual({ closed: 2, forced: 0 });
    expect(await pool.close()).toEqual({ closed: 2, forced: 0 });
    await pool[Symbol.asyncDispose]();
    expect(factory.open).toBe(0);
    expect(factory.connects).toBe(2);
  });

  it("gives up connects under way and closes what they bring", async () => {
    const { factory, pool } = setup();
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = () => gate.promise;
    const wait = pool.acquire(identityKey()).catch((error) => error);
    await eventually(() => factory.connects === 1);
    await pool.close();
    expect(await wait).toMatchObject({ code: "pool_closed" });
    gate.resolve();
    await eventually(() => factory.sessions[0]?.closed === "late");
  });

  it("SP-14 abandons wedged closes with a warning, all of them within twice the grace", async () => {
    const warnings: unknown[] = [];
    const { factory, pool, time } = setup(
      { closeTimeoutMs: 1000 },
      { closeAbandoned: ({ why, reason }) => warnings.push(`${reason} ${why}`) },
    );
    factory.beforeClose = (session) =>
      session.id === 3 ? Promise.reject(new Error("no")) : new Promise<void>(() => {});
    for (const who of ["a", "b", "c"]) (await pool.acquire(identityKey(who))).release();
    const stuck = await pool.acquire(identityKey("d"));
    const begin = time.monotonic();
    let ended = 0;
    const closed = pool.close({ deadlineMs: 1000 }).then((report) => {
      ended = time.monotonic();
      return report;
    });
    await time.advance(5000);
    expect(await closed).toEqual({ closed: 4, forced: 1 });
    expect(ended - begin).toBeLessThanOrEqual(2000);
    expect(warnings).toEqual([
      "pool_closed failed",
      "pool_closed timeout",
      "pool_closed timeout",
      "pool_closed timeout",
    ]);
    stuck.release();
    expect(pool.stats().sessions).toBe(0);
    expect(time.pendingTimers).toBe(0);
  });

  it("survives a factory whose close throws and an unsubscribe that throws", async () => {
    const { factory, pool } = setup();
    Object.assign(factory, {
      close: () => {
        throw new Error("sync");
      },
      onLost: () => () => {
        throw new Error("sync");
      },
    });
    (await pool.acquire(identityKey())).release("broken");
    expect(await pool.close()).toEqual({ closed: 0, forced: 0 });
  });
});

describe("one-shot sessions", () => {
  const anonymous = () => keys.identity({ id: "s1", stateless: true }, {});

  it("are closed after their one lease", async () => {
    const { factory, pool } = setup();
    const lease = await pool.acquire(anonymous());
    expect(factory.sessions[0]?.closed).toBeUndefined();
    lease.release();
    expect(factory.sessions[0]?.closed).toBe("one_shot");
    await eventually(() => pool.stats().perKey.length === 0);
  });

  it("are closed unused when their caller went away", async () => {
    const { factory, pool } = setup();
    const abort = new AbortController();
    const wait = pool.acquire(anonymous(), { signal: abort.signal }).catch(() => "aborted");
    abort.abort();
    expect(await wait).toBe("aborted");
    await eventually(() => factory.sessions[0]?.closed === "one_shot");
  });
});

describe("warm", () => {
  it("opens the first session of a key before anybody asks, and only the first", async () => {
    const { factory, pool } = setup();
    pool.warm(identityKey(), "early");
    pool.warm(identityKey());
    await eventually(() => factory.sessions.length === 1);
    pool.warm(identityKey());
    expect(pool.tryAcquire(identityKey())?.session.id).toBe(1);
    expect(factory.contexts).toEqual(["early"]);
  });
});
