import { ALGORITHMS, type Decision } from "@gatewright/rate-limiter";
import { startRedis } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { LeaseBook } from "../src/lease/lease-book.ts";
import { RedisStore } from "../src/redis/redis-store.ts";
import type { CheckRequest } from "../src/store.ts";

it.each(["fixed_window", "sliding_window"] as const)(
  "%s: a lease is spent to the last millisecond of its window and not one longer, nor a second after Redis was last heard",
  async (name) => {
    await using redis = await startRedis();
    const clock = { time: 1_700_000_000_000 };
    const store = new RedisStore({ client: redis.client() }, { source: "argument", now: () => clock.time });
    const ask = (request: CheckRequest) => store.check(request);
    const degrade = (): Decision => expect.unreachable();
    const book = new LeaseBook(
      { size: 10, ttlMs: 60_000 },
      { store, timeoutMs: 10_000, ask, degrade },
      () => clock.time,
    );
    const rule = {
      name: "r",
      kind: "user",
      by: ["user"],
      limit: 1_000,
      windowMs: 1_500,
      burst: 1_000,
    } as const;
    const check = async (id: string) => {
      const charges = [{ rule: { ...rule, algorithm: ALGORITHMS[name], identity: name }, id }];
      const request = { tenant: undefined, charges, cost: 1, mode: "enforce", knownMode: "enforce" } as const;
      const decision = await book.check({ ...request, dedupeId: undefined, peek: false }, undefined);
      expect(decision.allowed).toBe(true);
      return decision.leased === true;
    };
    expect(await check("ann")).toBe(false);
    clock.time += 999;
    expect(await check("ann")).toBe(true);
    clock.time += 1;
    expect(await check("ann")).toBe(false); // Redis is asked again, and the lease goes on.
    expect(await check("ann")).toBe(true);
    clock.time += 499;
    expect(await check("ann")).toBe(true);
    clock.time += 1;
    expect(await check("ann")).toBe(false);
    expect(book.stats()).toMatchObject({ held: 1, reserved: 3 });
  },
);
