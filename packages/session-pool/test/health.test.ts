import {
  createSessionPool,
  type FaultKind,
  type ProbeVerdict,
  type SessionPoolObserver,
  type SessionPoolOptions,
  type SessionProbe,
  skipProbe,
} from "@gatewright/session-pool";
import { describe, expect, it } from "vitest";
import { downstreamKey, identityKey } from "./support/keys.ts";
import { MemoryFactory, type MemorySession } from "./support/memory-factory.ts";
import { createPoolClock } from "./support/pool-clock.ts";

class ProbedFactory extends MemoryFactory {
  asked: string[] = [];
  answers: Record<string, ProbeVerdict | Promise<ProbeVerdict> | Error> = {};
  names = ["ping", "list"];
  probes = (): readonly SessionProbe<MemorySession>[] =>
    this.names.map((name) => ({
      name,
      run: async () => {
        this.asked.push(name);
        const answer = this.answers[name] ?? "ok";
        if (answer instanceof Error) throw answer;
        return answer;
      },
    }));
}

function setup(options: SessionPoolOptions = {}, observer: SessionPoolObserver = {}) {
  const factory = new ProbedFactory();
  const { clock, time } = createPoolClock();
  const pool = createSessionPool(options, { factory, clock, random: () => 0.5, observer });
  return { factory, pool, time };
}

const never = new Promise<ProbeVerdict>(() => {});

describe("validation", () => {
  it("asks an idle session before it hands it out, and only then", async () => {
    const { factory, pool, time } = setup();
    (await pool.acquire(identityKey())).release();
    await time.advance(59_999);
    (await pool.acquire(identityKey())).release();
    expect(factory.asked).toEqual([]);
    await time.advance(60_000);
    expect(pool.tryAcquire(identityKey())).toBeUndefined();
    const lease = await pool.acquire(identityKey());
    expect(factory.asked).toEqual(["ping"]);
    expect(lease.session.id).toBe(1);
    lease.release();
    expect(pool.tryAcquire(identityKey())?.session.id).toBe(1);
  });

  it("is done once for all who ask at the same time", async () => {
    const { factory, pool, time } = setup();
    (await pool.acquire(identityKey())).release();
    await time.advance(60_000);
    const leases = await Promise.all(Array.from({ length: 5 }, () => pool.acquire(identityKey())));
    expect(factory.asked).toEqual(["ping"]);
    expect(new Set(leases.map((lease) => lease.session.id))).toEqual(new Set([1]));
  });

  it.each([
    ["unsupported", "ok", 1],
    ["unsupported", "unsupported", 1],
    ["unsupported", "terminal", 2],
    ["terminal", "ok", 2],
    [new Error("reset"), "ok", 2],
  ] as const)("after ping %s and list %s hands out session %i", async (ping, list, session) => {
    const events: unknown[] = [];
    const { factory, pool, time } = setup({}, { probeFailed: (event) => events.push(event.verdict) });
    factory.answers = { ping, list };
    (await pool.acquire(identityKey())).release();
    await time.advance(60_000);
    const lease = await pool.acquire(identityKey());
    expect(lease.session.id).toBe(session);
    expect(pool.stats().probeFailures).toBe(session - 1);
    expect(events).toEqual(session === 2 ? ["terminal"] : []);
    if (session === 2) expect(factory.sessions[0]?.closed).toBe("unhealthy");
  });

  it("SP-4 calls a session unhealthy whose ping gets no answer, whatever comes after in the chain", async () => {
    const { factory, pool, time } = setup({ probeTimeoutMs: 5000 });
    factory.names = ["ping"];
    const withSkip = factory.probes;
    factory.probes = () => [...withSkip(), skipProbe];
    factory.answers = { ping: never };
    (await pool.acquire(identityKey())).release();
    await time.advance(60_000);
    const lease = pool.acquire(identityKey());
    await time.advance(4999);
    expect(pool.stats().queueDepth).toBe(1);
    await time.advance(1);
    expect((await lease).session.id).toBe(2);
    expect(factory.sessions[0]?.closed).toBe("unhealthy");
    expect(await skipProbe.run(undefined, { signal: AbortSignal.abort() })).toBe("ok");
  });

  it("gives the whole chain one deadline", async () => {
    const { factory, pool, time } = setup({ probeTimeoutMs: 5000 });
    const first = Promise.withResolvers<ProbeVerdict>();
    factory.answers = { ping: first.promise, list: never };
    (await pool.acquire(identityKey())).release();
    await time.advance(60_000);
    const lease = pool.acquire(identityKey());
    await time.advance(4000);
    first.resolve("unsupported");
    await time.advance(1000);
    expect((await lease).session.id).toBe(2);
    expect(factory.asked).toEqual(["ping", "list"]);
  });

  it("also holds for stateful sessions, which are replaced only when found dead", async () => {
    const { factory, pool, time } = setup();
    (await pool.acquire(downstreamKey())).release();
    await time.advance(120_000);
    (await pool.acquire(downstreamKey())).release();
    expect(factory.asked).toEqual(["ping"]);
    expect(factory.sessions).toHaveLength(1);
  });

  it("ends quietly when the session is drained meanwhile", async () => {
    const { factory, pool, time } = setup();
    const answer = Promise.withResolvers<ProbeVerdict>();
    factory.answers = { ping: answer.promise };
    (await pool.acquire(identityKey())).release();
    await time.advance(60_000);
    const lease = pool.acquire(identityKey());
    await pool.drain(identityKey());
    answer.resolve("ok");
    expect((await lease).session.id).toBe(2);
    expect(factory.sessions[0]?.closed).toBe("drained");
  });
});

describe("age", () => {
  it("retires a session at maxAge, jittered by ±10 %", async () => {
    for (const [random, life] of [
      [0, 270_000],
      [0.5, 300_000],
    ] as const) {
      const factory = new MemoryFactory();
      const { clock, time } = createPoolClock();
      const pool = createSessionPool(
        { reapIntervalMs: 10_000_000, idleEvictMs: 10_000_000 },
        { factory, clock, random: () => random },
      );
      (await pool.acquire(identityKey())).release();
      await time.advance(life - 1);
      expect(pool.tryAcquire(identityKey())?.session.id).toBe(1);
      await time.advance(1);
      const next = await pool.acquire(identityKey());
      expect(next.session.id).toBe(2);
    }
  });

  it("closes an aged session when its last lease ends", async () => {
    const { factory, pool, time } = setup();
    const lease = await pool.acquire(identityKey());
    await time.advance(400_000);
    expect(factory.sessions[0]?.closed).toBeUndefined();
    lease.release();
    expect(factory.sessions[0]?.closed).toBe("age");
  });

  it("is found by the reaper too", async () => {
    const { factory, pool, time } = setup();
    (await pool.acquire(identityKey())).release();
    await time.advance(305_000);
    expect(factory.sessions[0]?.closed).toBe("age");
  });

  it("retires a session after maxUses leases", async () => {
    const { factory, pool } = setup({ maxUses: 2 });
    const first = await pool.acquire(identityKey());
    const second = await pool.acquire(identityKey());
    const third = await pool.acquire(identityKey());
    expect([first, second, third].map((lease) => lease.session.id)).toEqual([1, 1, 2]);
    first.release();
    expect(factory.sessions[0]?.closed).toBeUndefined();
    second.release();
    expect(factory.sessions[0]?.closed).toBe("uses");
  });

  it("SP-10 is closed after idleEvictMs, the gauges back at 0", async () => {
    const { factory, pool, time } = setup({ maxAgeMs: 10_000_000 });
    (await pool.acquire(identityKey())).release();
    await time.advance(599_999);
    expect(pool.stats().sessions).toBe(1);
    await time.advance(5001);
    expect(factory.sessions[0]?.closed).toBe("idle");
    expect(pool.stats()).toMatchObject({ sessions: 0, leases: 0, perKey: [], evictions: { idle: 1 } });
    expect(pool.usage()[0]).toMatchObject({ activeSessions: 0, pooledSessions: 0 });
  });

  it("SP-11 never touches a stateful session whose downstream session lives", async () => {
    const { factory, pool, time } = setup({ maxTotal: 1, maxUses: 1, idleCheckMs: 3_600_000 });
    const key = downstreamKey();
    (await pool.acquire(key)).release();
    await time.advance(600_000);
    await expect(pool.acquire(identityKey("bob"))).rejects.toMatchObject({ code: "pool_capacity" });
    (await pool.acquire(key)).release();
    expect(factory.sessions).toHaveLength(1);
    expect(factory.sessions[0]?.closed).toBeUndefined();
  });

  it("ends a stateful session with its downstream session, 30 minutes after the last sign of life", async () => {
    const { factory, pool, time } = setup();
    const key = downstreamKey("d1", "s1");
    const sibling = downstreamKey("d1", "s2");
    (await pool.acquire(key)).release();
    await time.advance(1_200_000);
    (await pool.acquire(sibling)).release();
    await time.advance(1_200_000);
    pool.touchDownstream(key.downstream ?? "");
    await time.advance(1_790_000);
    expect(factory.sessions.map((session) => session.closed)).toEqual([undefined, undefined]);
    await time.advance(20_000);
    expect(factory.sessions.map((session) => session.closed)).toEqual([
      "downstream_ended",
      "downstream_ended",
    ]);
    expect(pool.stats().sessions).toBe(0);
  });

  it("remembers a bounded number of touches", async () => {
    const { pool } = setup({ maxTotal: 1 });
    for (let i = 0; i < 50; i++) pool.touchDownstream(`d${i}`);
    expect(await pool.endDownstream("d49")).toEqual({ closed: 0, forced: 0 });
  });

  it("takes a lease in flight for a sign of life", async () => {
    const { factory, pool, time } = setup();
    const lease = await pool.acquire(downstreamKey());
    await time.advance(4_000_000);
    expect(factory.sessions[0]?.closed).toBeUndefined();
    lease.release();
  });
});

describe("recovery", () => {
  it("evicts a session that ends by itself and makes a new one for who comes next", async () => {
    const { factory, pool } = setup();
    (await pool.acquire(identityKey())).release();
    factory.sessions[0]?.lose();
    expect(factory.sessions[0]?.closed).toBe("lost");
    expect((await pool.acquire(identityKey())).session.id).toBe(2);
  });

  it("serves those who wait for a session that is lost under its holder", async () => {
    const { factory, pool } = setup({ maxConcurrencyPerSession: 1, maxPerKey: 1 });
    const holder = await pool.acquire(identityKey());
    const wait = pool.acquire(identityKey());
    factory.sessions[0]?.lose();
    expect((await wait).session.id).toBe(2);
    holder.release();
    expect(factory.sessions[0]?.closed).toBe("lost");
  });

  it("retires a session after three timeouts in a row, not after three in all", async () => {
    const { factory, pool } = setup();
    const call = async (verdict: "ok" | "timeout" | "cancelled") =>
      (await pool.acquire(identityKey())).release(verdict);
    await call("timeout");
    await call("timeout");
    await call("ok");
    await call("timeout");
    await call("timeout");
    await call("cancelled");
    expect(factory.sessions[0]?.closed).toBeUndefined();
    await call("timeout");
    expect(factory.sessions[0]?.closed).toBe("timeouts");
  });

  it("evicts on 401 and has the next connect resolve its credentials anew, once", async () => {
    const { factory, pool } = setup({ maxConcurrencyPerSession: 1 });
    const [a, b] = await Promise.all([pool.acquire(identityKey()), pool.acquire(identityKey())]);
    a?.release("unauthorized");
    b?.release("unauthorized");
    (await pool.acquire(identityKey())).release();
    expect(factory.sessions.map((session) => session.refreshed)).toEqual([false, false, true]);
    expect(factory.sessions.slice(0, 2).map((session) => session.closed)).toEqual([
      "unauthorized",
      "unauthorized",
    ]);
    (await pool.acquire(identityKey())).release("broken");
    (await pool.acquire(identityKey())).release();
    expect(factory.sessions[3]?.refreshed).toBe(false);
  });

  it("connects a second time with fresh credentials when the first connect is refused for them", async () => {
    const { factory, pool } = setup();
    const refusal = new Error("401");
    Object.assign(factory, { classify: () => ({ kind: "unauthorized" as const }) });
    factory.beforeConnect = async (attempt) => {
      if (attempt === 1) throw refusal;
    };
    expect((await pool.acquire(identityKey())).session.refreshed).toBe(true);
    factory.beforeConnect = async () => {
      throw refusal;
    };
    await expect(pool.acquire(identityKey("bob"))).rejects.toMatchObject({
      cause: refusal,
      details: { kind: "unauthorized" },
    });
    expect(factory.connects).toBe(4);
  });
});

describe("classification without a classifier", () => {
  it.each([
    [new DOMException("gone", "AbortError"), "aborted", undefined],
    [new DOMException("slow", "TimeoutError"), "timeout", undefined],
    [new Error("reset"), "transport", "broken"],
    ["thrown text", "transport", "broken"],
  ] as const)("%s is %s", async (error, kind, closed) => {
    const { pool, factory } = setup();
    const lease = await pool.acquire(identityKey());
    expect(lease.fail(error)).toBe(kind);
    expect(factory.sessions[0]?.closed).toBe(closed);
  });
});

describe("run", () => {
  class Fault extends Error {
    readonly kind: FaultKind;
    readonly executed: boolean | undefined;
    constructor(kind: FaultKind, executed?: boolean) {
      super(kind);
      this.kind = kind;
      this.executed = executed;
    }
  }

  function failing(...faults: (Fault | undefined)[]) {
    const made = setup();
    Object.assign(made.factory, { classify: (error: Fault) => error });
    let calls = 0;
    const call = async () => {
      const fault = faults[calls++];
      if (fault !== undefined) throw fault;
      return "done";
    };
    return { ...made, call, count: () => calls };
  }

  it("returns what the call returns and gives the session back", async () => {
    const { pool, call, factory } = failing();
    expect(await pool.run(identityKey(), call)).toBe("done");
    expect(await pool.run(identityKey(), call)).toBe("done");
    expect(factory.sessions).toHaveLength(1);
  });

  it("repeats a repeatable call once on a new session when the session was lost", async () => {
    const { pool, call, count, factory } = failing(new Fault("session_lost"));
    expect(await pool.run(identityKey(), call, { repeatable: true })).toBe("done");
    expect(count()).toBe(2);
    expect(factory.sessions[0]?.closed).toBe("lost");
    const twice = failing(new Fault("session_lost"), new Fault("session_lost"));
    await expect(twice.pool.run(identityKey(), twice.call, { repeatable: true })).rejects.toThrow(
      "session_lost",
    );
    expect(twice.count()).toBe(2);
  });

  it("repeats any call that was certainly not executed", async () => {
    for (const fault of [new Fault("session_lost", false), new Fault("unauthorized")]) {
      const { pool, call, count } = failing(fault);
      expect(await pool.run(identityKey(), call)).toBe("done");
      expect(count()).toBe(2);
    }
  });

  it("says outcome_unknown for a write whose session was lost, and the next call works", async () => {
    const fault = new Fault("session_lost");
    const { pool, call, count } = failing(fault);
    await expect(pool.run(identityKey(), call)).rejects.toMatchObject({
      code: "outcome_unknown",
      cause: fault,
    });
    expect(count()).toBe(1);
    expect(await pool.run(identityKey(), call)).toBe("done");
  });

  it.each([
    ["transport", "broken"],
    ["application", undefined],
    ["local", undefined],
    ["timeout", undefined],
  ] as const)("passes a %s error on and closes the session as %s", async (kind, closed) => {
    const fault = new Fault(kind);
    const { pool, call, count, factory } = failing(fault);
    await expect(pool.run(identityKey(), call, { repeatable: true })).rejects.toBe(fault);
    expect(count()).toBe(1);
    expect(factory.sessions[0]?.closed).toBe(closed);
  });
});

describe("a factory that throws where it should not", () => {
  it.each([
    ["classify", undefined],
    ["onLost", undefined],
    ["probes", "unhealthy"],
  ])("%s does not break the pool", async (method, closed) => {
    const { pool, factory, time } = setup();
    Object.assign(factory, {
      [method]: () => {
        throw new Error("bug");
      },
    });
    (await pool.acquire(identityKey())).fail(new DOMException("gone", "AbortError"));
    await time.advance(60_000);
    (await pool.acquire(identityKey())).release();
    expect(factory.sessions[0]?.closed).toBe(closed);
  });

  it("a probe that throws at once is terminal", async () => {
    const { pool, factory, time } = setup();
    factory.probes = () => [
      {
        name: "bad",
        run: () => {
          throw new Error("bug");
        },
      },
    ];
    (await pool.acquire(identityKey())).release();
    await time.advance(60_000);
    expect((await pool.acquire(identityKey())).session.id).toBe(2);
  });
});
