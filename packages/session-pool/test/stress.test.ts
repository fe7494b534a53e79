import { createSessionPool, isSessionPoolError, type Lease, type SessionKey } from "@gatewright/session-pool";
import { seededRandom } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { downstreamKey, exclusiveKey, identityKey, keys, sessionlessKey, stateless } from "./support/keys.ts";
import { MemoryFactory, type MemorySession } from "./support/memory-factory.ts";
import { createPoolClock } from "./support/pool-clock.ts";

const pick = <T>(random: () => number, items: readonly T[]): T =>
  items[Math.floor(random() * items.length)] as T;
const verdicts = ["ok", "ok", "ok", "application_error", "timeout", "cancelled", "unauthorized"] as const;

function keyAt(random: () => number): SessionKey {
  const who = pick(random, ["ann", "bob", "cid"]);
  const server = pick(random, ["s1", "s2", "s3"]);
  return pick(random, [
    () => identityKey(who, server, pick(random, ["t1", "t2"])),
    () => downstreamKey(`d-${who}`, server, who),
    () => exclusiveKey(who, server),
    () => sessionlessKey("c", server),
    () => keys.identity(stateless(server), {}),
  ])();
}

describe("whatever callers, servers and time do", () => {
  it.each(Array.from({ length: 20 }, (_, i) => i + 1))(
    "caps hold, nobody is lost, nothing leaks, no session is shared (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const { clock, time } = createPoolClock();
      const factory = new MemoryFactory();
      const caps = { maxTotal: 8, maxPerServer: 5, maxPerTenant: 3, maxPerKey: 3 };
      const pool = createSessionPool(
        {
          ...caps,
          maxConcurrencyPerSession: 2,
          maxUses: 40,
          breakerResetMs: 500,
          maxWaiters: 40,
          idleCheckMs: 1000,
        },
        {
          factory: Object.assign(factory, {
            probes: [{ name: "p", run: async () => (random() < 0.8 ? "ok" : "terminal") }],
          }),
          clock,
          random,
        },
      );
      factory.beforeConnect = async (_, signal) => {
        if (random() < 0.3) await new Promise<void>((resolve) => time.setTimeout(resolve, random() * 300));
        signal.throwIfAborted();
        if (random() < 0.1) throw new Error("refused");
      };
      factory.beforeClose = async () => {
        if (random() < 0.3) await new Promise<void>((resolve) => time.setTimeout(resolve, random() * 300));
      };
      const held = new Map<Lease<MemorySession>, SessionKey>();
      const pending = new Set<Promise<void>>();
      let asked = 0;
      let answered = 0;
      const ask = () => {
        const key = keyAt(random);
        const abort = new AbortController();
        asked++;
        const done = pool
          .acquire(key, { signal: abort.signal, deadline: time.now() + 100 + random() * 5000 })
          .then(
            (lease) => {
              expect(lease.session.key.id).toBe(key.id);
              expect(lease.session.closed).toBeUndefined();
              held.set(lease, key);
            },
            (error) => expect(isSessionPoolError(error) || error === "away").toBe(true),
          )
          .finally(() => {
            answered++;
            pending.delete(done);
          });
        pending.add(done);
        if (random() < 0.1) abort.abort("away");
      };
      const give = () => {
        const lease = pick(random, [...held.keys()]);
        if (lease === undefined) return;
        held.delete(lease);
        lease.release(pick(random, verdicts));
      };
      for (let step = 0; step < 1500; step++) {
        const dice = random();
        if (dice < 0.45) ask();
        else if (dice < 0.9) give();
        else if (dice < 0.91)
          void pool.drain({ serverId: pick(random, ["s1", "s2", "s3"]) }, { deadlineMs: 50 });
        else if (dice < 0.92) pick(random, factory.sessions)?.lose();
        else await time.advance(random() * 200);
        const stats = pool.stats();
        expect(stats.sessions).toBeLessThanOrEqual(caps.maxTotal);
        for (const server of stats.perServer) expect(server.sessions).toBeLessThanOrEqual(caps.maxPerServer);
        expect(factory.open).toBeLessThanOrEqual(
          caps.maxTotal +
            (stats.evictions.lost ?? 0) +
            (stats.evictions.timeouts ?? 0) +
            (stats.evictions.unhealthy ?? 0),
        );
      }
      while (pending.size > 0 || held.size > 0) {
        for (const lease of [...held.keys()]) {
          held.delete(lease);
          lease.release();
        }
        await time.advance(500);
      }
      expect(answered).toBe(asked);
      const closing = pool.close({ deadlineMs: 10 });
      await time.advance(20_000);
      await closing;
      await time.advance(20_000);
      expect(factory.open).toBe(0);
      expect(factory.sessions.every((session) => session.closed !== undefined)).toBe(true);
      expect(pool.stats()).toMatchObject({ sessions: 0, leases: 0, queueDepth: 0, perKey: [] });
      for (const { activeSessions, pooledSessions } of pool.usage())
        expect(activeSessions + pooledSessions).toBe(0);
      expect(time.pendingTimers).toBe(0);
    },
  );
});
