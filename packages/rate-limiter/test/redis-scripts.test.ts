import { ALGORITHMS, type AlgorithmName } from "@gatewright/rate-limiter";
import { type RedisServer, startRedis } from "@gatewright/testkit";
import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RECEIPT } from "../src/decision.ts";
import { RedisStore } from "../src/redis/redis-store.ts";
import { bakedCheckScript, type ClockSource, checkScript, refundScript } from "../src/redis/script.ts";
import { playOnBoth, ruleOf } from "./support/against-pure.ts";
import { schedules } from "./support/schedules.ts";

const NAMES = Object.keys(ALGORITHMS) as AlgorithmName[];
const SEED = 20_261_120;
const SCHEDULES = 10_000;

let redis: RedisServer;
let client: Redis;

beforeAll(async () => {
  redis = await startRedis();
  client = redis.client({ enableAutoPipelining: false });
});
afterAll(() => redis.close());

describe("every Lua script against its pure function, on real Redis", () => {
  const FORMS = [
    ["in the text", Number.POSITIVE_INFINITY],
    ["as arguments", 0],
  ] as const;
  it.each(NAMES.flatMap((name) => FORMS.map(([form, most]) => [name, form, most] as const)))(
    "RL-4 %s, rules %s: 10 000 random schedules with refunds and clock steps back give the same verdicts step by step",
    async (name, form, mostBaked) => {
      const clock = { time: 0 };
      const prefix = `${name} ${form}`;
      const source = { source: "argument", now: () => clock.time } as const;
      const store = new RedisStore({ client, prefix }, source, mostBaked);
      const samples = fc.sample(schedules(name, 7), { seed: SEED, numRuns: SCHEDULES });
      let next = 0;
      let compared = 0;
      const worker = async () => {
        for (let number = next++; number < samples.length; number = next++) {
          const checks = await playOnBoth(store, clock, name, String(number), samples[number]!);
          compared += checks;
        }
      };
      await Promise.all(Array.from({ length: 64 }, worker));
      expect(compared).toBeGreaterThanOrEqual(SCHEDULES);
    },
    60_000,
  );

  it.each(NAMES)(
    "RL-4 %s: script and test script differ in the clock line alone, and that is Redis TIME",
    (name) => {
      const rule = { limit: 5, windowMs: 60_000, lifeMs: 60_000, burst: 5 };
      const baked = (name: AlgorithmName, clock?: ClockSource) =>
        bakedCheckScript(name, [rule, rule], true, clock);
      for (const make of [checkScript, baked, refundScript]) {
        const real = make(name).text.split("\n");
        const test = make(name, "argument").text.split("\n");
        expect(real.slice(1)).toEqual(test.slice(1));
        expect(real[0]).toContain("redis.call('TIME')");
        expect(test[0]).toBe("local now = tonumber(ARGV[#ARGV])");
        expect(real.slice(1).join("\n")).not.toContain("TIME");
      }
    },
  );

  it("RL-4 the time of a decision is the clock of Redis", async () => {
    const store = new RedisStore({ client });
    const charges = [
      {
        rule: ruleOf("fixed_window", { limit: { limit: 5, windowMs: 60_000, burst: 5 }, events: [] }),
        id: "t",
      },
    ];
    const before = await client.time();
    const decision = await store.check({
      tenant: undefined,
      charges,
      cost: 1,
      mode: "enforce",
      knownMode: "enforce",
      dedupeId: undefined,
      peek: false,
    });
    const after = await client.time();
    const ms = ([seconds, micros]: [number, number] | number[]) =>
      Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    const at = decision[RECEIPT]?.at ?? 0;
    expect(at).toBeGreaterThanOrEqual(ms(before));
    expect(at).toBeLessThanOrEqual(ms(after));
  });
});
