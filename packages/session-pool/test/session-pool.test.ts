import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { createSessionPool, isSessionPoolError, type SessionPoolOptions } from "@gatewright/session-pool";
import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { resolvePoolOptions } from "../src/pool-options.ts";
import { PoolState } from "../src/pool-state.ts";
import { downstreamKey, exclusiveKey, identityKey, keys, sessionlessKey } from "./support/keys.ts";
import { MemoryFactory } from "./support/memory-factory.ts";
import { createPoolClock } from "./support/pool-clock.ts";

function setup(options: SessionPoolOptions = {}) {
  const factory = new MemoryFactory();
  const { clock, time } = createPoolClock();
  const pool = createSessionPool(options, { factory, clock, random: () => 0.5 });
  return { factory, pool, time };
}

describe("leases", () => {
  it("reuses a session that was given back", async () => {
    const { factory, pool } = setup();
    const first = await pool.acquire(identityKey());
    first.release();
    const second = await pool.acquire(identityKey());
    expect(second.session).toBe(first.session);
    expect(factory.connects).toBe(1);
    expect(pool.stats()).toMatchObject({ hits: 1, misses: 1, hitRate: 0.5 });
  });

  it("releases once, however often it is asked to", async () => {
    const { pool } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1 });
    const stale = await pool.acquire(identityKey());
    stale.release();
    const current = await pool.acquire(identityKey());
    stale.release("broken");
    await stale[Symbol.asyncDispose]();
    stale[Symbol.dispose]();
    expect(pool.stats().leases).toBe(1);
    expect(pool.tryAcquire(identityKey())).toBeUndefined();
    current.release();
    expect(pool.tryAcquire(identityKey())?.session).toBe(current.session);
  });

  it("works with await using", async () => {
    const { pool } = setup();
    {
      await using lease = await pool.acquire(identityKey());
      expect(lease.key).toBe(lease.session.key);
      expect(pool.stats().leases).toBe(1);
    }
    expect(pool.stats().leases).toBe(0);
  });

  it("hands a returned session directly to the waiters, first in first out", async () => {
    const { pool } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1 });
    const key = identityKey();
    let lease = await pool.acquire(key);
    const served: number[] = [];
    const waits = Array.from({ length: 20 }, (_, i) =>
      pool.acquire(key).then((next) => {
        served.push(i);
        return next;
      }),
    );
    expect(pool.stats().queueDepth).toBe(20);
    for (const wait of waits) {
      lease.release();
      expect(pool.tryAcquire(key)).toBeUndefined();
      lease = await wait;
    }
    expect(served).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(pool.stats().waits.count).toBe(21);
  });

  it("shares one session among as many leases as it may carry, then opens another", async () => {
    const { factory, pool } = setup({ maxConcurrencyPerSession: 3 });
    const leases = await Promise.all(Array.from({ length: 7 }, () => pool.acquire(identityKey())));
    expect(factory.connects).toBe(3);
    expect(new Set(leases.map((lease) => lease.session)).size).toBe(3);
    for (const lease of leases) lease.release();
    expect(pool.stats().leases).toBe(0);
  });

  it("never shares an exclusive session between two calls at a time", async () => {
    const { factory, pool } = setup();
    const [a, b] = await Promise.all([pool.acquire(exclusiveKey()), pool.acquire(exclusiveKey())]);
    expect(a?.session).not.toBe(b?.session);
    a?.release();
    b?.release();
    await pool.acquire(exclusiveKey());
    expect(factory.connects).toBe(2);
  });

  it("keeps a session after an application error and discards it after a transport error", async () => {
    const { factory, pool } = setup();
    const first = await pool.acquire(identityKey());
    first.release("application_error");
    const second = await pool.acquire(identityKey());
    expect(second.session).toBe(first.session);
    second.release("broken");
    const third = await pool.acquire(identityKey());
    expect(third.session).not.toBe(first.session);
    expect(factory.sessions[0]?.closed).toBe("broken");
    expect(pool.stats().evictions).toEqual({ broken: 1 });
  });

  it("refuses keys that it did not make", async () => {
    const { pool } = setup();
    const forged = { ...identityKey(), id: "forged" };
    const plain = JSON.parse(JSON.stringify(forged));
    await expect(pool.acquire(plain)).rejects.toMatchObject({ code: "validation_failed" });
  });
});

describe("waiting", () => {
  it("ends after the timeout with a typed error and leaves the counts as they were", async () => {
    const { pool, time } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1, acquireTimeoutMs: 200 });
    const holder = await pool.acquire(identityKey());
    const wait = pool.acquire(identityKey()).catch((error) => error);
    await time.advance(199);
    expect(pool.stats().queueDepth).toBe(1);
    await time.advance(6);
    const error = await wait;
    expect(isSessionPoolError(error)).toBe(true);
    expect(error).toMatchObject({ code: "acquire_timeout", retryable: true, details: { serverId: "s1" } });
    expect(pool.stats()).toMatchObject({ queueDepth: 0, leases: 1, sessions: 1 });
    holder.release();
    expect(pool.tryAcquire(identityKey())?.session).toBe(holder.session);
  });

  it("ends at the caller's deadline when that is earlier", async () => {
    const { pool, time } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1 });
    await pool.acquire(identityKey());
    const late = pool.acquire(identityKey(), { deadline: time.now() + 50 }).catch((error) => error);
    const later = pool.acquire(identityKey(), { deadline: time.now() + 90 }).catch((error) => error);
    await time.advance(60);
    expect(pool.stats().queueDepth).toBe(1);
    expect(await late).toMatchObject({ code: "acquire_timeout" });
    await time.advance(60);
    expect(await later).toMatchObject({ code: "acquire_timeout" });
  });

  it("does not begin when the deadline is over, but takes a session that is there", async () => {
    const { factory, pool, time } = setup();
    const late = { deadline: time.now() };
    await expect(pool.acquire(identityKey(), late)).rejects.toMatchObject({ code: "acquire_timeout" });
    expect(factory.connects).toBe(0);
    (await pool.acquire(identityKey())).release();
    (await pool.acquire(identityKey(), late)).release();
  });

  it("leaves no trace when aborted", async () => {
    const { pool } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1 });
    const holder = await pool.acquire(identityKey());
    const abort = new AbortController();
    const first = pool.acquire(identityKey(), { signal: abort.signal }).catch((error) => error);
    const second = pool.acquire(identityKey());
    abort.abort(new Error("gone"));
    expect((await first).message).toBe("gone");
    expect(pool.stats().queueDepth).toBe(1);
    holder.release();
    expect((await second).session).toBe(holder.session);
    await expect(pool.acquire(identityKey(), { signal: abort.signal })).rejects.toThrow("gone");
  });

  it("refuses more waiters than the queue may hold", async () => {
    const { pool } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1, maxWaitersPerKey: 2, maxWaiters: 3 });
    const a = identityKey("a");
    const b = identityKey("b");
    await Promise.all([pool.acquire(a), pool.acquire(b)]);
    void pool.acquire(a);
    void pool.acquire(a);
    await expect(pool.acquire(a)).rejects.toMatchObject({
      code: "pool_capacity",
      details: { scope: "queue" },
    });
    void pool.acquire(b);
    await expect(pool.acquire(b)).rejects.toMatchObject({ code: "pool_capacity" });
    expect(pool.stats().queueDepth).toBe(3);
  });

  it("listens to a signal shared by many waiters without a warning", async () => {
    const { pool } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1 });
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on("warning", note);
    await pool.acquire(identityKey());
    const { signal, abort } = (() => {
      const controller = new AbortController();
      return { signal: controller.signal, abort: () => controller.abort() };
    })();
    const waits = Array.from({ length: 50 }, () =>
      pool.acquire(identityKey(), { signal }).catch(() => "aborted"),
    );
    await new Promise((resolve) => setImmediate(resolve));
    abort();
    expect(new Set(await Promise.all(waits))).toEqual(new Set(["aborted"]));
    process.off("warning", note);
    expect(warnings).toEqual([]);
  });
});

describe("caps", () => {
  it("never opens more sessions in all than the cap, and serves everybody", async () => {
    const { factory, pool } = setup({ maxTotal: 10, maxConcurrencyPerSession: 1, maxPerKey: 4 });
    const work = Array.from({ length: 200 }, async (_, i) => {
      const lease = await pool.acquire(sessionlessKey(`c${i % 20}`));
      await Promise.resolve();
      lease.release();
    });
    await Promise.all(work);
    expect(factory.maxOpen).toBeLessThanOrEqual(10);
    expect(pool.stats().sessions).toBeLessThanOrEqual(10);
  });

  it.each([
    ["server", { maxPerServer: 2 }, ["a", "b", "c"].map((p) => identityKey(p, "s1"))],
    ["tenant", { maxPerTenant: 2 }, ["a", "b", "c"].map((p) => identityKey(p, `s-${p}`, "t1"))],
    ["total", { maxTotal: 2 }, ["a", "b", "c"].map((p) => identityKey(p, `s-${p}`))],
  ] as const)(
    "closes the least recently used idle session when the %s cap is reached",
    async (_, options, [a, b, c]) => {
      const { factory, pool, time } = setup(options);
      (await pool.acquire(a!)).release();
      await time.advance(1);
      (await pool.acquire(b!)).release();
      await time.advance(1);
      (await pool.acquire(a!)).release();
      const lease = await pool.acquire(c!);
      expect(lease.session.id).toBe(3);
      expect(factory.sessions.map((session) => session.closed)).toEqual([undefined, "lru", undefined]);
      expect(factory.maxOpen).toBe(2);
    },
  );

  it("waits for a busy session to become idle and displaces it", async () => {
    const { factory, pool } = setup({ maxTotal: 1 });
    const holder = await pool.acquire(identityKey("a"));
    const wait = pool.acquire(identityKey("b"));
    expect(pool.stats().queueDepth).toBe(1);
    holder.release();
    expect((await wait).session.id).toBe(2);
    expect(factory.maxOpen).toBe(1);
  });

  it("serves keys that wait for room in the order they came, also against a busy key", async () => {
    const { pool } = setup({ maxTotal: 1, maxConcurrencyPerSession: 1, maxPerKey: 1 });
    const order: string[] = [];
    const use = async (name: string) => {
      const lease = await pool.acquire(identityKey(name));
      order.push(name);
      await Promise.resolve();
      lease.release();
    };
    await Promise.all([use("a"), use("a"), use("b"), use("a"), use("b")]);
    expect(order).toEqual(["a", "a", "b", "a", "b"]);
  });

  it("takes a shared session that is never idle from its key when another key has waited long", async () => {
    const { factory, pool, time } = setup({
      maxTotal: 1,
      maxConcurrencyPerSession: 2,
      acquireTimeoutMs: 1000,
    });
    const busy = identityKey("a");
    let lease = await pool.acquire(busy);
    const wait = pool.acquire(identityKey("b"));
    const overlap = async () => {
      const next = await pool.acquire(busy);
      lease.release();
      lease = next;
    };
    await overlap();
    await time.advance(200);
    await overlap();
    expect(pool.stats().queueDepth).toBe(1);
    await time.advance(60);
    await overlap();
    lease.release();
    expect((await wait).session.key.id).toBe(identityKey("b").id);
    expect(factory.sessions[0]?.closed).toBe("lru");
    expect(factory.maxOpen).toBe(1);
  });

  it("holds a tenant's cap also when its sessions are gone while a caller of it waits for room elsewhere", async () => {
    const { factory, pool, time } = setup({ maxPerServer: 1, maxPerTenant: 1 });
    const other = await pool.acquire(identityKey("x", "s1"));
    const wait = pool.acquire(identityKey("a", "s1", "t1"));
    (await pool.acquire(identityKey("b", "s2", "t1"))).release();
    await pool.drain({ serverId: "s2" });
    const lease = await pool.acquire(identityKey("c", "s3", "t1"));
    other.release();
    await time.advance(1);
    expect(
      factory.sessions.filter(({ key, closed }) => key.tenant === "t1" && closed === undefined),
    ).toHaveLength(1);
    lease.release();
    expect((await wait).session.key.tenant).toBe("t1");
  });

  it("says pool_capacity at once when only living stateful sessions are left, and never closes one", async () => {
    const { factory, pool } = setup({ maxTotal: 2 });
    (await pool.acquire(downstreamKey("d1"))).release();
    (await pool.acquire(downstreamKey("d2"))).release();
    await expect(pool.acquire(identityKey())).rejects.toMatchObject({
      code: "pool_capacity",
      details: { scope: "total", limit: 2 },
    });
    expect(factory.sessions.every((session) => session.closed === undefined)).toBe(true);
    expect(pool.stats().perKey).toHaveLength(2);
  });

  it("says pool_capacity after the timeout when the wait was for room", async () => {
    const { pool, time } = setup({ maxTotal: 1, acquireTimeoutMs: 100 });
    await pool.acquire(identityKey("a"));
    const wait = pool.acquire(identityKey("b")).catch((error) => error);
    await time.advance(110);
    expect(await wait).toMatchObject({ code: "pool_capacity" });
    expect(pool.stats().perKey).toHaveLength(1);
  });
});

describe("connecting", () => {
  it("is done once for all who wait, by the pool and not by who asked first", async () => {
    const { factory, pool } = setup();
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = () => gate.promise;
    const abort = new AbortController();
    const first = pool
      .acquire(identityKey(), { signal: abort.signal, context: "first" })
      .catch(() => "aborted");
    const second = pool.acquire(identityKey(), { context: "second" });
    abort.abort();
    expect(await first).toBe("aborted");
    gate.resolve();
    expect((await second).session.id).toBe(1);
    expect(factory.connects).toBe(1);
    expect(factory.contexts).toEqual(["first"]);
  });

  it("keeps the session for later when nobody waits for it any more", async () => {
    const { factory, pool } = setup();
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = () => gate.promise;
    const abort = new AbortController();
    const only = pool.acquire(identityKey(), { signal: abort.signal }).catch(() => "aborted");
    abort.abort();
    await only;
    gate.resolve();
    await eventually(() => factory.sessions.length === 1);
    expect((await pool.acquire(identityKey())).session.id).toBe(1);
  });

  it("fails those who wait for it with upstream_unreachable and its cause", async () => {
    const { factory, pool } = setup();
    const cause = Object.assign(new Error("refused by https://user:secret@host"), { code: "ECONNREFUSED" });
    factory.beforeConnect = async () => {
      throw cause;
    };
    const error = await pool.acquire(identityKey()).catch((e) => e);
    expect(error).toMatchObject({
      code: "upstream_unreachable",
      cause,
      details: { serverId: "s1", kind: "transport", networkCode: "ECONNREFUSED" },
    });
    expect(error.message).not.toContain("secret");
    expect(pool.stats()).toMatchObject({ sessions: 0, queueDepth: 0, perKey: [] });
  });

  it("gives up after connectTimeoutMs and closes what comes too late", async () => {
    const { factory, pool, time } = setup({ connectTimeoutMs: 100 });
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = () => gate.promise;
    const wait = pool.acquire(identityKey()).catch((error) => error);
    await time.advance(100);
    expect(await wait).toMatchObject({ code: "upstream_unreachable", details: { kind: "timeout" } });
    gate.resolve();
    await eventually(() => factory.sessions[0]?.closed === "late");
    expect(factory.open).toBe(0);
    expect(pool.stats().sessions).toBe(0);
  });
});

describe("child processes", () => {
  it("one per principal, opened ahead of the first call and shared by nobody else", async () => {
    const factory = new MemoryFactory();
    const pool = createSessionPool({}, { factory, limitsOf: () => ({ maxPerKey: 1 }) });
    const [ann, bob] = ["ann", "bob"].map((principal) =>
      keys.exclusive({ id: "s1", transport: "stdio" }, { principal }),
    );
    pool.warm(ann!);
    pool.warm(bob!);
    await eventually(() => factory.sessions.length === 2);
    const calls = await Promise.all([1, 2, 3].map(() => pool.run(ann!, async (session) => session.id)));
    const other = await pool.run(bob!, async (session) => session.id);
    expect(new Set(calls)).toEqual(new Set([1]));
    expect(other).toBe(2);
    expect(factory.connects).toBe(2);
  });

  it("with an idle pool end by themselves: no timer of the background keeps them alive", async () => {
    const program = `
      import { createSessionKeys, createSessionPool } from "@gatewright/session-pool";
      const keys = createSessionKeys({ secret: "0123456789abcdef0123456789abcdef" });
      const pool = createSessionPool({}, { factory: { connect: async () => ({}), close: async () => {} } });
      (await pool.acquire(keys.exclusive({ id: "s" }, { principal: "p" }))).release();
      console.log("done");
    `;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--conditions=@gatewright/source", "--input-type=module", "-e", program],
      { cwd: import.meta.dirname, timeout: 15_000 },
    );
    expect(stdout).toBe("done\n");
  });
});

describe("options", () => {
  it("names an unknown key and the nearest right one", () => {
    expect(() => setup({ maxPerKeys: 3 } as never)).toThrow(/"maxPerKeys".*"maxPerKey"/);
  });

  it.each([Number.NaN, "5"])(
    "of a call with %s for a time are refused at once, and nobody else is held up",
    async (bad) => {
      const { pool, time } = setup({ maxPerKey: 1, acquireTimeoutMs: 100 });
      const wrong = { code: "validation_failed", message: expect.stringContaining("deadline") };
      const deadline = { deadline: bad as number };
      const deadlineMs = { deadlineMs: bad as number };
      await expect(pool.acquire(exclusiveKey(), deadline)).rejects.toMatchObject(wrong);
      const lease = await pool.acquire(exclusiveKey());
      const before = pool.acquire(exclusiveKey()).catch((error) => error.code);
      await expect(pool.acquire(exclusiveKey(), deadline)).rejects.toMatchObject(wrong);
      await expect(pool.run(exclusiveKey(), async () => 1, deadline)).rejects.toMatchObject(wrong);
      const after = pool.acquire(exclusiveKey()).catch((error) => error.code);
      await time.advance(200);
      expect(await Promise.all([before, after])).toEqual(["acquire_timeout", "acquire_timeout"]);
      await expect(pool.drain({ serverId: "s1" }, deadlineMs)).rejects.toMatchObject(wrong);
      await expect(pool.endDownstream("d1", deadlineMs)).rejects.toMatchObject(wrong);
      await expect(pool.close(deadlineMs)).rejects.toMatchObject(wrong);
      lease.release();
      // None of them did anything.
      (await pool.acquire(exclusiveKey(), deadline).catch(() => pool.acquire(exclusiveKey()))).release();
      expect(pool.stats()).toMatchObject({ sessions: 1, evictions: {} });
      await pool.close();
    },
  );

  it("of a key must be numbers that are limits", async () => {
    for (const limits of [
      { maxPerKey: Number.NaN },
      { maxPerServer: 0 },
      { maxConcurrencyPerSession: 1.5 },
    ]) {
      const pool = createSessionPool({}, { factory: new MemoryFactory(), limitsOf: () => limits });
      const [name] = Object.keys(limits);
      const wrong = { code: "validation_failed", details: { path: name } };
      await expect(pool.acquire(identityKey())).rejects.toMatchObject(wrong);
      expect(pool.stats().perKey).toEqual([]);
    }
  });

  it.each([
    () => ({ maxPerKey: Number.NaN }),
    () => {
      throw new Error("no limits");
    },
  ])(
    "of a key that are wrong by now keep no drain from happening, and those in force stay",
    async (wrong) => {
      let limitsOf: () => { maxPerKey: number } = () => ({ maxPerKey: 1 });
      const factory = new MemoryFactory();
      const pool = createSessionPool({}, { factory, limitsOf: () => limitsOf() });
      for (const who of ["ann", "bob"]) (await pool.acquire(exclusiveKey(who))).release();
      limitsOf = wrong;
      expect(await pool.drain({ serverId: "s1" })).toEqual({ closed: 2, forced: 0 });
      expect(factory.sessions.map(({ closed }) => closed)).toEqual(["drained", "drained"]);
      limitsOf = () => ({ maxPerKey: 1 });
      const lease = await pool.acquire(exclusiveKey("ann"));
      limitsOf = wrong;
      const next = pool.acquire(exclusiveKey("ann"));
      await pool.drain({ serverId: "s2" });
      expect(() => pool.refreshLimits("s1")).toThrow();
      expect(pool.stats()).toMatchObject({ sessions: 1, queueDepth: 1 });
      lease.release();
      (await next).release();
      await pool.close();
    },
  );

  it("of a key that are wrong leave no trace of its tenant or server", () => {
    const { clock } = createPoolClock();
    const state = new PoolState({
      factory: new MemoryFactory(),
      options: resolvePoolOptions({}),
      clock,
      random: Math.random,
      observer: {},
      limitsOf: () => ({ maxPerKey: 0 }),
    });
    for (let n = 0; n < 3; n++) expect(() => state.bucketFor(identityKey("ann", "s1", `t${n}`))).toThrow();
    expect([state.tenants.size, state.servers.size, state.buckets.size]).toEqual([0, 0, 0]);
  });

  it("names a key with a wrong value", () => {
    expect(() => setup({ maxTotal: 0 })).toThrow(/"maxTotal"/);
  });
});
