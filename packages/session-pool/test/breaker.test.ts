import { createSessionPool, type SessionPoolOptions } from "@gatewright/session-pool";
import { describe, expect, it } from "vitest";
import { exclusiveKey, identityKey } from "./support/keys.ts";
import { MemoryFactory, type MemorySession } from "./support/memory-factory.ts";
import { createPoolClock } from "./support/pool-clock.ts";

function setup(options: SessionPoolOptions = {}) {
  const factory = new MemoryFactory();
  const { clock, time } = createPoolClock();
  const states: string[] = [];
  const pool = createSessionPool(options, {
    factory,
    clock,
    observer: { breakerChanged: ({ state }) => states.push(state) },
  });
  let failing = true;
  factory.beforeConnect = async () => {
    if (failing) throw new Error("down");
  };
  const attempt = (who = "ann", server = "s1") =>
    pool.acquire(identityKey(who, server)).catch((error) => error);
  return { factory, pool, time, states, attempt, heal: () => (failing = false) };
}

describe("the breaker of a server", () => {
  it("SP-9 opens after five connect failures in a row; the sixth caller fails at once", async () => {
    const { factory, pool, attempt, states } = setup();
    for (let i = 0; i < 5; i++) expect(await attempt()).toMatchObject({ code: "upstream_unreachable" });
    // Time stands still here: a wait would have no end.
    const sixth = await attempt("bob");
    expect(sixth).toMatchObject({
      code: "upstream_unreachable",
      details: { breaker: "open", retryAfterMs: 60_000 },
      cause: { message: "down" },
    });
    expect(factory.connects).toBe(5);
    expect(states).toEqual(["open"]);
    expect(pool.stats()).toMatchObject({ breakerTrips: 1, perServer: [{ serverId: "s1", breaker: "open" }] });
  });

  it("SP-9 lets exactly one connect through after the reset time", async () => {
    const { factory, time, attempt, heal, states } = setup();
    for (let i = 0; i < 5; i++) await attempt();
    await time.advance(60_000);
    heal();
    const gate = Promise.withResolvers<void>();
    factory.beforeConnect = () => gate.promise;
    const trial = attempt("ann");
    const others = await Promise.all([attempt("bob"), attempt("carl")]);
    expect(others.map((error) => error.code)).toEqual(["upstream_unreachable", "upstream_unreachable"]);
    expect(factory.connects).toBe(6);
    gate.resolve();
    expect((await trial).session.id).toBe(1);
    expect((await attempt("bob")).session.id).toBe(2);
    expect(states).toEqual(["open", "half_open", "closed"]);
  });

  it("lets its one trial through at once when the server was reached in some other way", async () => {
    const { factory, pool, attempt, states } = setup();
    for (let i = 0; i < 5; i++) await attempt();
    pool.serverReached("s2");
    expect((await attempt()).code).toBe("upstream_unreachable");
    expect(factory.connects).toBe(5);
    pool.serverReached("s1");
    expect((await attempt()).code).toBe("upstream_unreachable");
    expect(factory.connects).toBe(6);
    expect(states).toEqual(["open", "half_open", "open"]);
  });

  it("tries no earlier for being reached once that trial has failed, until a connect has worked", async () => {
    const { factory, pool, time, attempt, heal, states } = setup();
    for (let i = 0; i < 5; i++) await attempt();
    for (let checks = 0; checks < 6; checks++) {
      pool.serverReached("s1");
      await attempt();
      await time.advance(9_000);
    }
    expect(factory.connects).toBe(6);
    await time.advance(6_000);
    heal();
    expect((await attempt()).session.id).toBe(1);
    factory.beforeConnect = () => Promise.reject(new Error("down"));
    for (let i = 0; i < 5; i++) await attempt("bob");
    factory.beforeConnect = async () => undefined;
    expect((await attempt("bob")).code).toBe("upstream_unreachable");
    pool.serverReached("s1");
    expect((await attempt("bob")).session.id).toBe(2);
    expect(states).toEqual([
      "open",
      "half_open",
      "open",
      "half_open",
      "closed",
      "open",
      "half_open",
      "closed",
    ]);
  });

  it("opens again when the trial fails, for the whole reset time", async () => {
    const { factory, time, attempt, states } = setup();
    for (let i = 0; i < 5; i++) await attempt();
    await time.advance(60_000);
    await attempt();
    expect(factory.connects).toBe(6);
    await time.advance(59_999);
    await attempt();
    expect(factory.connects).toBe(6);
    expect(states).toEqual(["open", "half_open", "open"]);
  });

  it("uses the monotonic clock: a corrected wall clock changes nothing", async () => {
    const { factory, time, attempt } = setup();
    for (let i = 0; i < 5; i++) await attempt();
    time.setNow(time.now() + 3_600_000);
    await attempt();
    expect(factory.connects).toBe(5);
  });

  it.each(["local", "aborted", "misrouted", "unauthorized", "refused"] as const)(
    "does not count %s failures",
    async (kind) => {
      const { factory, states, attempt } = setup();
      Object.assign(factory, { classify: () => ({ kind }) });
      for (let i = 0; i < 8; i++) await attempt();
      expect(states).toEqual([]);
    },
  );

  it("does not count a connect that succeeded in between", async () => {
    const { factory, states, attempt } = setup();
    factory.beforeConnect = async (n) => {
      if (n !== 5) throw new Error("down");
    };
    for (let i = 0; i < 4; i++) await attempt();
    (await attempt("bob")).release("broken");
    for (let i = 0; i < 4; i++) await attempt();
    expect(states).toEqual([]);
    await attempt();
    expect(states).toEqual(["open"]);
  });

  it("makes another trial when the first one ended without an answer about the server", async () => {
    const { factory, pool, time, attempt, heal, states } = setup();
    for (let i = 0; i < 5; i++) await attempt();
    await time.advance(60_000);
    const never = new Promise<void>(() => {});
    factory.beforeConnect = () => never;
    const trial = attempt();
    heal();
    await time.advance(0);
    factory.beforeConnect = async () => {};
    await pool.drain({ serverId: "s1" });
    expect((await trial).session.id).toBe(1);
    expect(states).toEqual(["open", "half_open", "open", "half_open", "closed"]);
  });

  it("leaves sessions that are open alone, and other servers", async () => {
    const { factory, attempt } = setup();
    factory.beforeConnect = async () => {};
    const warm = await attempt();
    warm.release();
    factory.beforeConnect = async () => {
      throw new Error("down");
    };
    for (let i = 0; i < 6; i++) await attempt("bob");
    expect((await attempt()).session).toBe(warm.session);
    factory.beforeConnect = async () => {};
    expect((await attempt("bob", "s2")).session.id).toBe(2);
  });
});

describe("a session that is lost before anybody used it", () => {
  /** Sessions whose end is told with the subscription to it, as long as `dead` says so. */
  class StillbornFactory extends MemoryFactory {
    dead = true;
    override onLost(session: MemorySession, lost: () => void): () => void {
      if (this.dead) lost();
      return super.onLost(session, lost);
    }
  }

  it("is a failed connect: who waits for it is told, nothing connects without pause, and the breaker opens", async () => {
    const factory = new StillbornFactory();
    const { clock, time } = createPoolClock();
    const pool = createSessionPool({}, { factory, clock });
    const attempt = () => pool.acquire(exclusiveKey()).catch((error) => error);
    const many = await Promise.all(Array.from({ length: 20 }, attempt));
    for (const error of many) expect(error).toMatchObject({ code: "upstream_unreachable" });
    expect(many[0]).toMatchObject({ details: { kind: "session_lost" } });
    // As many as connect at the same time, and none once the breaker is open.
    expect(factory.connects).toBe(10);
    expect(await attempt()).toMatchObject({ details: { breaker: "open" } });
    expect(factory.connects).toBe(10);
    expect(factory.sessions.map(({ closed }) => closed)).toEqual(Array(10).fill("lost"));
    expect(pool.stats()).toMatchObject({ sessions: 0, queueDepth: 0, perKey: [] });
    factory.dead = false;
    await time.advance(60_000);
    (await attempt()).release();
    expect(pool.stats()).toMatchObject({ sessions: 1, perServer: [{ breaker: "closed" }] });
    await pool.close();
  });

  it("leaves who waits for another session of its key to that one", async () => {
    const factory = new StillbornFactory();
    const { clock, time } = createPoolClock();
    const pool = createSessionPool({ acquireTimeoutMs: 100 }, { factory, clock });
    factory.dead = false;
    const lease = await pool.acquire(exclusiveKey());
    factory.dead = true;
    const [next, late] = [1, 2].map(() => pool.acquire(exclusiveKey()).catch((error) => error.code));
    await time.advance(1);
    lease.release();
    const again = await next;
    expect(again.session).toBe(lease.session);
    await time.advance(110);
    expect(await late).toBe("acquire_timeout");
    expect(factory.connects).toBe(3);
    again.release();
    await pool.close();
  });

  it("counts as one also when that takes a moment, up to the time of a connect; one that was used does not", async () => {
    const factory = new MemoryFactory();
    const { clock, time } = createPoolClock();
    const pool = createSessionPool({ breakerFailures: 3, connectTimeoutMs: 1000 }, { factory, clock });
    const breaker = () => pool.stats().perServer[0]?.breaker;
    const warmAndLose = async (afterMs: number) => {
      pool.warm(exclusiveKey());
      await time.advance(afterMs);
      factory.sessions.at(-1)?.lose();
    };
    for (let n = 0; n < 5; n++) await warmAndLose(1001);
    for (let n = 0; n < 2; n++) await warmAndLose(10);
    expect(breaker()).toBe("closed");
    (await pool.acquire(exclusiveKey())).release();
    factory.sessions.at(-1)?.lose();
    for (let n = 0; n < 2; n++) await warmAndLose(10);
    expect(breaker()).toBe("closed");
    await warmAndLose(10);
    expect(breaker()).toBe("open");
    await time.advance(60_000);
    await warmAndLose(10);
    expect(breaker()).toBe("open");
    await pool.close();
  });

  /** Warms a session for each of some callers, and a way to lose those of all that were warmed. */
  async function warmed(failures = 0) {
    const factory = new MemoryFactory();
    const { clock, time } = createPoolClock();
    const pool = createSessionPool({}, { factory, clock });
    const fail = async (times: number) => {
      factory.beforeConnect = () => Promise.reject(new Error("down"));
      for (let n = 0; n < times; n++) await pool.acquire(exclusiveKey("gus")).catch(() => {});
      factory.beforeConnect = async () => {};
    };
    await fail(failures);
    const warm = async (...callers: string[]) => {
      for (const caller of callers) pool.warm(exclusiveKey(caller));
      await time.advance(10);
    };
    /** All but those of one caller. */
    const lose = (spared?: string) => {
      for (const session of factory.sessions) if (session.key.id !== spared) session.lose();
    };
    const breaker = () => pool.stats().perServer[0]?.breaker;
    return {
      pool,
      time,
      fail,
      warm,
      lose,
      breaker,
      use: async () => (await pool.acquire(exclusiveKey("eve"))).release(),
    };
  }

  it("counts as one with all others that the same moment ends, and as none when something worked since", async () => {
    const { pool, warm, lose, breaker, use } = await warmed();
    const loseAll = async (times: number) => {
      for (let n = 0; n < times; n++) {
        await warm("ann", "bob", "cid", "dan", "fay");
        lose();
      }
    };
    await loseAll(4);
    expect(breaker()).toBe("closed");
    await warm("ann", "bob", "cid", "dan", "fay");
    await use();
    lose();
    expect(breaker()).toBe("closed");
    await loseAll(4);
    expect(breaker()).toBe("closed");
    await loseAll(1);
    expect(breaker()).toBe("open");
    await pool.close();
  });

  it("counts though there is always a younger one", async () => {
    const { pool, warm, lose, breaker } = await warmed();
    const callers = ["ann", "bob", "cid"];
    await warm("ann");
    for (let n = 1; n < 20; n++) {
      await warm(callers[n % 3] ?? "");
      // Only the older of the two.
      lose(exclusiveKey(callers[n % 3]).id);
    }
    expect(breaker()).toBe("open");
    await pool.close();
  });

  it("fails a trial though others have connected after it", async () => {
    const { pool, time, warm, lose, breaker } = await warmed(5);
    await time.advance(60_000);
    await warm("ann");
    await warm("bob");
    expect(breaker()).toBe("closed");
    lose();
    expect(breaker()).toBe("open");
    await pool.close();
  });

  it("does not count on from failures before a session that has outlived the time of a connect, but from those since", async () => {
    const { pool, time, fail, warm, lose, breaker } = await warmed(4);
    await warm("ann");
    await time.advance(10_000);
    await warm("bob");
    lose(exclusiveKey("ann").id);
    expect(breaker()).toBe("closed");
    await fail(3);
    await warm("cid");
    lose(exclusiveKey("ann").id);
    expect(breaker()).toBe("open");
    await pool.close();
  });

  it("does not count on from failures before calls that worked, though the first was a probe", async () => {
    const { pool, warm, lose, breaker, use } = await warmed(4);
    (await pool.acquire(exclusiveKey("eve"), { purpose: "probe" })).release();
    for (let n = 0; n < 10; n++) await use();
    await warm("bob");
    lose();
    expect(breaker()).toBe("closed");
    await use();
    await pool.close();
  });

  it("is not in a row with those before a call that worked on another session", async () => {
    const { pool, warm, lose, breaker, use } = await warmed();
    await use();
    const { id } = exclusiveKey("eve");
    for (let n = 0; n < 4; n++) {
      await warm("ann");
      lose(id);
    }
    await use();
    for (let n = 0; n < 4; n++) {
      await warm("ann");
      lose(id);
    }
    expect(breaker()).toBe("closed");
    await warm("ann");
    lose(id);
    expect(breaker()).toBe("open");
    await use();
    await pool.close();
  });
});
