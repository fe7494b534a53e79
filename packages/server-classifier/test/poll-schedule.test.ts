import { eventually, seededRandom } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import {
  createMemoryStore,
  createPollSchedule,
  type PollStore,
  type ScheduleOptions,
  type Tier,
} from "../src/index.ts";
import { unitHash } from "../src/poll-interval.ts";
import { scopeKey } from "../src/scope-key.ts";
import { request } from "./support/claim-request.ts";
import { fakeTime } from "./support/fake-time.ts";

const exact = { jitter: 0, spread: false } as const;
const HOUR = 3_600_000;

function setup(
  options: ScheduleOptions = exact,
  tiers: Record<string, Tier> = {},
  more: { inUse?: string[] } = {},
) {
  const { clock, fake } = fakeTime();
  const store = createMemoryStore({ now: clock.wall });
  const errors: unknown[] = [];
  let broken = false;
  const gate: PollStore = {
    claim: (requests, limit) => (broken ? Promise.reject(new Error("down")) : store.claim(requests, limit)),
    finish: (records) => (broken ? Promise.reject(new Error("down")) : store.finish(records)),
  };
  const open = () =>
    createPollSchedule(options, {
      store: gate,
      tierOf: (id) => tiers[id],
      inUse: (id) => more.inUse?.includes(id) ?? false,
      clock,
      onError: (error) => errors.push(error),
    });
  const schedule = open();
  const poll = async (id: string, at = schedule) => {
    const claim = await at.claim({ id }, "health");
    if (claim) await at.complete(claim);
    return claim !== undefined;
  };
  return { fake, clock, store, schedule, open, poll, errors, break: (down: boolean) => (broken = down) };
}

describe("intervals", () => {
  it("SC-6 a poll is due when exactly the interval has passed, and not a second before", async () => {
    const { fake, schedule, poll } = setup(exact, { a: "hot" });
    expect(await poll("a")).toBe(true);
    fake.advanceSync(299_000);
    expect(schedule.shouldPoll({ id: "a" }, "health")).toBe(false);
    expect(await poll("a")).toBe(false);
    fake.advanceSync(1_000);
    expect(schedule.shouldPoll({ id: "a" }, "health")).toBe(true);
    expect(await poll("a")).toBe(true);
  });

  it("SC-6 a cold server is not due at 1× and is at 3×", async () => {
    const { fake, schedule, poll } = setup(exact, { a: "cold" });
    await poll("a");
    fake.advanceSync(300_000);
    expect(schedule.shouldPoll({ id: "a" }, "health")).toBe(false);
    fake.advanceSync(600_000);
    expect(schedule.shouldPoll({ id: "a" }, "health")).toBe(true);
  });

  it("warm is 2×, dormant 6×, and multipliers can be set", () => {
    const tiers: Record<string, Tier> = { h: "hot", w: "warm", c: "cold", d: "dormant" };
    const intervals = (options: ScheduleOptions) => {
      const { schedule } = setup(options, tiers);
      return Object.keys(tiers).map((id) => schedule.explain({ id }, "health").intervalMs / 300_000);
    };
    expect(intervals(exact)).toEqual([1, 2, 3, 6]);
    expect(intervals({ ...exact, multipliers: { cold: 5 } })).toEqual([1, 2, 5, 6]);
  });

  it("a server's own interval wins over its tier", async () => {
    const { schedule } = setup(exact, { a: "cold" });
    expect(schedule.explain({ id: "a", intervalMs: 7_000 }, "health").intervalMs).toBe(7_000);
  });

  it("health checks of a server in use are not slowed by its tier, tool discovery is", () => {
    const { schedule } = setup(exact, { a: "cold" }, { inUse: ["a"] });
    expect(schedule.explain({ id: "a" }, "health").intervalMs).toBe(300_000);
    expect(schedule.explain({ id: "a" }, "tool_discovery").intervalMs).toBe(900_000);
  });

  it("poll types, and gateways that share a server, are independent", async () => {
    const { schedule } = setup(exact, { a: "hot" });
    const claims = [
      await schedule.claim({ id: "a", gatewayId: "g1" }, "health"),
      await schedule.claim({ id: "a", gatewayId: "g1" }, "tool_discovery"),
      await schedule.claim({ id: "a", gatewayId: "g2" }, "health"),
      await schedule.claim({ id: "a" }, "health"),
    ];
    expect(claims.every(Boolean)).toBe(true);
    expect(await schedule.claim({ id: "a", gatewayId: "g1" }, "health")).toBeUndefined();
  });

  it("SC-9 names its state by a hash", () => {
    const server = { id: "https://u:secret@h/?token=abc", gatewayId: "g" };
    expect(scopeKey(server, "health")).toMatch(/^[0-9a-f]{32}$/);
    expect(scopeKey({ id: "a", gatewayId: "b" }, "health")).not.toBe(scopeKey({ id: "a\0b" }, "health"));
  });

  it("SC-6 a last poll 60 s ahead is believed, 61 s ahead counts as never, and so do 0 and less", async () => {
    const { store, schedule, clock } = setup(exact, { a: "hot" });
    const scope = scopeKey({ id: "a" }, "health");
    const claimAt = async (last: number, suffix: string) =>
      (
        await store.claim([
          request(scope + suffix, "t", { intervalMs: 300_000, claimMs: 1, last: clock.wall() + last }),
        ])
      ).replies[0]?.granted;
    expect(await claimAt(60_000, "a")).toBe(false);
    expect(await claimAt(61_000, "b")).toBe(true);
    expect(await claimAt(-clock.wall(), "c")).toBe(true);
    expect(await claimAt(-clock.wall() - 5, "d")).toBe(true);
    expect(schedule.shouldPoll({ id: "a" }, "health")).toBe(true);
  });
});

describe("claims", () => {
  it("of three replicas that ask at once exactly one polls", async () => {
    const { open, fake } = setup(exact, { a: "hot" });
    const replicas = [open(), open(), open()];
    for (let round = 0; round < 5; round++) {
      const claims = await Promise.all(replicas.map((replica) => replica.claim({ id: "a" }, "health")));
      const granted = claims.flatMap((claim, i) => (claim ? [{ claim, replica: replicas[i] }] : []));
      expect(granted).toHaveLength(1);
      for (const { claim, replica } of granted) await replica?.complete(claim);
      fake.advanceSync(300_001);
    }
  });

  it("a claim under way is not offered again, and claims of one turn share one call", async () => {
    const { clock } = fakeTime();
    const store = createMemoryStore({ now: clock.wall });
    let calls = 0;
    const counting: PollStore = {
      claim: (requests) => {
        calls++;
        return store.claim(requests);
      },
      finish: (records) => store.finish(records),
    };
    const schedule = createPollSchedule(exact, { store: counting, clock });
    const twice = [schedule.claim({ id: "a" }, "health"), schedule.claim({ id: "a" }, "health")];
    expect(schedule.shouldPoll({ id: "a" }, "health")).toBe(false);
    const others = Array.from({ length: 10 }, (_, i) => schedule.claim({ id: `x${i}` }, "health"));
    const granted = (await Promise.all([...twice, ...others])).filter(Boolean);
    expect(granted).toHaveLength(11);
    expect(calls).toBe(1);
  });

  it("the holder's death frees the poll", async () => {
    const { open, schedule, fake } = setup({ ...exact, claimMs: 5_000 }, { a: "hot" });
    expect(await schedule.claim({ id: "a" }, "health")).toBeDefined();
    const other = open();
    expect(await other.claim({ id: "a" }, "health")).toBeUndefined();
    fake.advanceSync(5_000);
    expect(await other.claim({ id: "a" }, "health")).toBeDefined();
  });

  it("a poll that takes longer than a claim keeps it by renewals; a holder that was replaced hears of it", async () => {
    const { open, schedule, fake, break: setBroken } = setup({ ...exact, claimMs: 5_000 }, { a: "hot" });
    const other = open();
    const claim = await schedule.claim({ id: "a" }, "health");
    if (!claim) throw new Error("not granted");
    for (let i = 0; i < 3; i++) {
      fake.advanceSync(4_000);
      if (i === 1) setBroken(true);
      expect(await schedule.renew(claim)).toBe(true);
      setBroken(false);
      if (i !== 1) expect(await other.claim({ id: "a" }, "health")).toBeUndefined();
    }
    fake.advanceSync(5_000);
    expect(await other.claim({ id: "a" }, "health")).toBeDefined();
    expect(await schedule.renew(claim)).toBe(false);
  });

  it("an abandoned poll is due at once, a failed one after a doubling pause, a success forgets", async () => {
    const { schedule, fake } = setup({ ...exact, failureMaxMs: 30_000 }, { a: "hot" });
    const take = async () => {
      const claim = await schedule.claim({ id: "a" }, "health");
      if (!claim) throw new Error("not granted");
      return claim;
    };
    await schedule.abandon(await take());
    const pauses: number[] = [];
    for (let i = 0; i < 4; i++) {
      await schedule.abandon(await take(), { failed: true });
      const { dueAt, failures, why } = schedule.explain({ id: "a" }, "health");
      pauses.push(dueAt - fake.now());
      expect(failures).toBe(i + 1);
      expect(why).toBe(`failed ${i + 1} times in a row, waits`);
      fake.advanceSync(dueAt - fake.now());
    }
    expect(pauses).toEqual([10_000, 20_000, 30_000, 30_000]);
    await schedule.complete(await take());
    expect(schedule.explain({ id: "a" }, "health")).toMatchObject({ failures: 0, lastPolledAt: fake.now() });
    expect(schedule.stats()).toMatchObject({ polls: 1, failures: 4 });
  });

  it("a postponed poll waits the first pause each time, and counts as no failure", async () => {
    const { schedule, fake } = setup(exact, { a: "hot" });
    for (let i = 0; i < 3; i++) {
      const claim = await schedule.claim({ id: "a" }, "health");
      if (!claim) throw new Error("not granted");
      await schedule.abandon(claim, { postponed: true });
      const { due, dueAt, failures, why } = schedule.explain({ id: "a" }, "health");
      expect({ due, wait: dueAt - fake.now(), failures, why }).toEqual({
        ...{ due: false, wait: 10_000 },
        ...{ failures: 0, why: "could not be asked, waits" },
      });
      fake.advanceSync(10_000);
    }
    expect(schedule.stats()).toMatchObject({ polls: 0, failures: 0 });
  });
});

describe("the server's own word", () => {
  it("SC-8 with ttlMs 900 000 there is no list poll before, and one after a change was announced", async () => {
    const { schedule, fake } = setup(exact, { a: "hot" });
    const claim = await schedule.claim({ id: "a" }, "tool_discovery");
    if (!claim) throw new Error("not granted");
    await schedule.complete(claim, { ttlMs: 900_000 });
    expect(schedule.explain({ id: "a" }, "tool_discovery").why).toMatch(/how long its list holds/);
    fake.advanceSync(899_999);
    expect(await schedule.claim({ id: "a" }, "tool_discovery")).toBeUndefined();
    fake.advanceSync(-600_000);
    for (let i = 0; i < 5; i++) await schedule.listChanged({ id: "a" });
    expect(schedule.explain({ id: "a" }, "tool_discovery").why).toMatch(/announced a change/);
    expect(await schedule.claim({ id: "a" }, "tool_discovery")).toBeUndefined();
    fake.advanceSync(1_000);
    const polled = await schedule.claim({ id: "a" }, "tool_discovery");
    if (!polled) throw new Error("not granted");
    await schedule.complete(polled, { ttlMs: 900_000 });
    expect(await schedule.claim({ id: "a" }, "tool_discovery")).toBeUndefined();
  });

  it("does not honour a ttl beyond the largest, nor nonsense", async () => {
    const { schedule, fake } = setup({ ...exact, maxTtlMs: HOUR }, { a: "hot" });
    for (const [ttlMs, expected] of [
      [HOUR * 100, HOUR],
      [Number.POSITIVE_INFINITY, 300_000],
      [-5, 300_000],
    ] as const) {
      const claim = await schedule.claim({ id: "a" }, "tool_discovery");
      if (!claim) throw new Error("not granted");
      await schedule.complete(claim, { ttlMs });
      expect(schedule.explain({ id: "a" }, "tool_discovery").dueAt - fake.now()).toBe(expected);
      fake.advanceSync(HOUR);
    }
  });
});

describe("what is not known is polled", () => {
  it("servers without tier, and never polled ones, at 1×", async () => {
    const { schedule, fake, poll } = setup(exact);
    expect(schedule.explain({ id: "new" }, "health")).toMatchObject({ due: true, why: "never polled" });
    await poll("new");
    expect(schedule.explain({ id: "new" }, "health").why).toMatch(/not classified/);
    expect(await poll("new")).toBe(false);
    fake.advanceSync(300_000);
    expect(await poll("new")).toBe(true);
  });

  it("never faster than the cap, and what the cap held back comes later", async () => {
    const { schedule, fake } = setup({ ...exact, maxPollsPerSecond: 10 });
    const round = async () => {
      const claims = await Promise.all(
        Array.from({ length: 40 }, (_, i) => schedule.claim({ id: `s${i}` }, "health")),
      );
      return claims.filter(Boolean).length;
    };
    expect(await round()).toBe(10);
    expect(schedule.stats().capped).toBe(30);
    fake.advanceSync(1_000);
    expect(await round()).toBe(10);
  });

  it("never faster than the cap in several turns at once, and what was not granted is not charged", async () => {
    const { clock } = fakeTime();
    const store = createMemoryStore({ now: clock.wall });
    const options = { ...exact, maxPollsPerSecond: 10 };
    const open = () => createPollSchedule(options, { store, clock });
    const [schedule, rival] = [open(), open()];
    const ask = (from: number, replica = schedule) =>
      Promise.all(Array.from({ length: 8 }, (_, i) => replica.claim({ id: `s${from + i}` }, "health"))).then(
        (claims) => claims.filter(Boolean).length,
      );
    const first = ask(0);
    await Promise.resolve();
    expect(await Promise.all([first, ask(8), ask(16)])).toEqual([8, 2, 0]);
    expect(await ask(0, rival)).toBe(0);
    expect(await ask(24, rival)).toBe(8);
  });

  it("never faster than the cap without the store either", async () => {
    const { schedule, break: setBroken } = setup({ ...exact, maxPollsPerSecond: 10 });
    setBroken(true);
    const claims = await Promise.all(
      Array.from({ length: 40 }, (_, i) => schedule.claim({ id: `s${i}` }, "health")),
    );
    expect(claims.filter((claim) => claim?.degraded)).toHaveLength(10);
    expect(schedule.stats().capped).toBe(30);
  });

  it("asks for more than a thousand polls in several calls", async () => {
    const { schedule } = setup({ ...exact, maxPollsPerSecond: 5_000 });
    const claims = Array.from({ length: 2_500 }, (_, i) => schedule.claim({ id: `s${i}` }, "health"));
    expect((await Promise.all(claims)).filter(Boolean)).toHaveLength(2_500);
  });

  it("SC-5 without the store it goes on by its own memory, and afterwards there is no burst", async () => {
    const { schedule, open, fake, poll, errors, break: setBroken } = setup({}, {});
    const other = open();
    const both = async (i: number) => (await poll(`s${i}`, other)) || (await poll(`s${i}`));
    for (let i = 0; i < 20; i++) await both(i);
    setBroken(true);
    let polls = 0;
    for (let minute = 0; minute < 60; minute++) {
      fake.advanceSync(60_000);
      for (let i = 0; i < 20; i++) for (const one of [schedule, other]) if (await poll(`s${i}`, one)) polls++;
    }
    expect(polls).toBeGreaterThan(2 * 20 * 9);
    expect(polls).toBeLessThanOrEqual(2 * 20 * 13);
    expect(schedule.stats().degraded + other.stats().degraded).toBeGreaterThanOrEqual(polls);
    expect(errors.length).toBeGreaterThan(0);
    setBroken(false);
    const ages: number[] = [];
    const take = async (i: number) => {
      let granted = 0;
      for (const replica of [schedule, other]) {
        const age = fake.now() - replica.explain({ id: `s${i}` }, "health").lastPolledAt;
        if (!(await poll(`s${i}`, replica))) continue;
        granted++;
        ages.push(age);
      }
      return granted;
    };
    // What is polled at once was due by its poller's own memory, and of two pollers one gets it.
    for (let i = 0; i < 20; i++) expect(await take(i)).toBeLessThanOrEqual(1);
    const atOnce = ages.length;
    for (let minute = 0; minute < 10; minute++) {
      fake.advanceSync(60_000);
      for (let i = 0; i < 20; i++) await take(i);
    }
    expect(Math.min(...ages)).toBeGreaterThanOrEqual(0.9 * 300_000);
    // Each replica polled alone until now: at most one more poll of each server than ten minutes hold.
    expect(ages.length - atOnce).toBeLessThanOrEqual(20 * 3);
  });

  it("SC-5 a notice of change and failures that could not be booked are not forgotten when the store is back", async () => {
    const { schedule, fake, poll, break: setBroken } = setup({ ...exact, claimMs: 5_000 }, { a: "hot" });
    await poll("a");
    fake.advanceSync(10_000);
    setBroken(true);
    await schedule.listChanged({ id: "a" }, "health");
    setBroken(false);
    fake.advanceSync(1_000);
    const claim = await schedule.claim({ id: "a" }, "health");
    if (!claim) throw new Error("not granted");
    setBroken(true);
    await schedule.abandon(claim, { failed: true });
    setBroken(false);
    fake.advanceSync(10_000);
    const again = await schedule.claim({ id: "a" }, "health");
    if (!again) throw new Error("not granted");
    await schedule.abandon(again, { failed: true });
    expect(schedule.explain({ id: "a" }, "health")).toMatchObject({ failures: 2 });
    expect(schedule.explain({ id: "a" }, "health").dueAt - fake.now()).toBe(20_000);
  });

  it("a failed end of a poll is kept in memory", async () => {
    const { schedule, break: setBroken, errors } = setup(exact, { a: "hot" });
    const claim = await schedule.claim({ id: "a" }, "health");
    if (!claim) throw new Error("not granted");
    setBroken(true);
    await schedule.complete(claim);
    expect(errors).toHaveLength(1);
    expect(schedule.shouldPoll({ id: "a" }, "health")).toBe(false);
    setBroken(false);
    expect(await schedule.claim({ id: "a" }, "health")).toBeUndefined();
  });

  it("remembers a bounded number of polls", async () => {
    const { schedule, poll } = setup({ ...exact, maxScopes: 5, maxPollsPerSecond: 1_000 });
    for (let i = 0; i < 20; i++) await poll(`s${i}`);
    expect(schedule.stats().scopes).toBe(5);
  });

  it("refuses misspelt options, and times that are no whole milliseconds", () => {
    expect(() => setup({ claimMs: 0.5 })).toThrow(/claimMs: .*int/);
    expect(() => setup({ refreshIntervalMS: 5 } as ScheduleOptions)).toThrow(
      /did you mean refreshIntervalMs/,
    );
  });
});

describe("spread", () => {
  it("is the same on every replica, within ± 10 %, and different from poll to poll", async () => {
    const { schedule, open, fake, poll } = setup({ spread: false }, { a: "hot" });
    const other = open();
    const intervals: number[] = [];
    for (let i = 0; i < 20; i++) {
      await poll("a");
      expect(await poll("a", other)).toBe(false);
      const own = schedule.explain({ id: "a" }, "health");
      expect(other.explain({ id: "a" }, "health")).toEqual(own);
      intervals.push(own.intervalMs);
      fake.advanceSync(own.dueAt - fake.now());
    }
    expect(Math.min(...intervals)).toBeGreaterThanOrEqual(270_000);
    expect(Math.max(...intervals)).toBeLessThanOrEqual(330_000);
    expect(new Set(intervals).size).toBeGreaterThan(15);
  });

  it("300 servers, 20 % hot: at most half the polls of poll-everything, max/min per 5 minutes below 1.5", async () => {
    const tiers: Record<string, Tier> = {};
    for (let i = 0; i < 300; i++) tiers[`s${i}`] = i < 60 ? "hot" : "cold";
    const { poll, fake } = setup({}, tiers);
    const buckets: number[] = [];
    for (let step = 0; step < 6 * 60 * 2; step++) {
      let polls = 0;
      for (const id of Object.keys(tiers)) if (await poll(id)) polls++;
      const bucket = Math.floor(step / 10);
      buckets[bucket] = (buckets[bucket] ?? 0) + polls;
      fake.advanceSync(30_000);
    }
    const steady = buckets.slice(6);
    const perInterval = steady.reduce((sum, n) => sum + n, 0) / steady.length;
    expect(perInterval / 300).toBeLessThanOrEqual(0.5);
    expect(Math.max(...steady) / Math.min(...steady)).toBeLessThan(1.5);
    // Six hours of 300 servers are a second of a CPU.
  }, 60_000);

  it("hashes texts evenly", () => {
    const random = seededRandom(3);
    const buckets = Array(10).fill(0);
    for (let i = 0; i < 20_000; i++) buckets[Math.floor(unitHash(`s${Math.floor(random() * 1e9)}`) * 10)]++;
    expect(Math.min(...buckets)).toBeGreaterThan(1_800);
    expect(Math.max(...buckets)).toBeLessThan(2_200);
  });

  it("counts the polls that tiers save", async () => {
    const { schedule, fake, poll } = setup(exact, { a: "cold" });
    await poll("a");
    for (let i = 0; i < 4; i++) {
      fake.advanceSync(900_000);
      await poll("a");
    }
    expect(schedule.stats()).toMatchObject({ polls: 5, saved: 8 });
    await eventually(() => schedule.stats().scopes === 1);
  });
});
