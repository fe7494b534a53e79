import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ClassifierError, classify, type ServerHistory, type ServerUsage } from "../src/index.ts";
import { hot, servers, used } from "./support/usage.ts";

const NOW = 1_800_000_000_000;

describe("preset contextforge", () => {
  it("SC-1 of 10 servers with 3 used the 2 most recent are hot, the other 8 cold, disjoint and complete", () => {
    const result = classify(
      servers(10),
      [used("s1", 5), used("s2", 30), used("s3", 20)],
      "contextforge",
      NOW,
    );
    expect(hot(result)).toEqual(["s2", "s3"]);
    expect([...result.tiers.keys()]).toEqual(servers(10).map(({ id }) => id));
    expect([...result.tiers.values()].filter((tier) => tier === "cold")).toHaveLength(8);
    expect(result.metadata).toEqual({
      totalServers: 10,
      hotCap: 2,
      hotActual: 2,
      eligibleCount: 3,
      timestamp: NOW,
    });
  });

  it("SC-1 ties go by active sessions, then uses, then URL", () => {
    const five = servers(5);
    const first = (usage: ServerUsage[], known = five) => hot(classify(known, usage, "contextforge", NOW));
    expect(first([used("s1", 9), used("s2", 9, { activeSessions: 1 })])).toEqual(["s2"]);
    expect(first([used("s1", 9), used("s2", 9, { totalUses: 2 })])).toEqual(["s2"]);
    expect(first([used("s2", 9), used("s1", 9)])).toEqual(["s1"]);
    const named = five.map((server, i) => ({ ...server, url: `http://h/${9 - i}` }));
    expect(first([used("s2", 9), used("s1", 9)], named)).toEqual(["s2"]);
    const alike = five.map((server) => ({ ...server, url: "http://same" }));
    expect(first([used("s2", 9), used("s1", 9)], alike)).toEqual(["s1"]);
  });

  it("SC-1 with nothing used all are cold, and the reason is given", () => {
    const result = classify(servers(10), [used("s1", 0)], "contextforge", NOW);
    expect(hot(result)).toEqual([]);
    expect(result.metadata).toMatchObject({ hotCap: 2, hotActual: 0, eligibleCount: 0 });
    expect(result.metadata.underutilizedReason).toMatch(/only 0 of 2/);
  });

  it("SC-1 of 4 servers none is hot", () => {
    expect(hot(classify(servers(4), [used("s1", 5)], "contextforge", NOW))).toEqual([]);
  });

  it("does not fill up hot places with unused servers", () => {
    const result = classify(servers(20), [used("s1", 5), used("s2", 4)], "contextforge", NOW);
    expect(hot(result)).toEqual(["s1", "s2"]);
    expect(result.metadata).toMatchObject({ hotCap: 4, hotActual: 2, eligibleCount: 2 });
  });

  it("merges duplicates, leaves out disabled and unknown servers", () => {
    const known = [...servers(5), { id: "s0" }, { id: "off", enabled: false }];
    const usage = [used("off", 99), used("unknown", 98), used("s0", 1), used("s0", 7), used("s1", 6)];
    const result = classify(known, usage, "contextforge", NOW);
    expect(result.metadata).toMatchObject({ totalServers: 5, eligibleCount: 2 });
    expect(hot(result)).toEqual(["s0"]);
  });

  it("remembers since when a server is in its tier", () => {
    const first = classify(servers(5), [used("s1", 5)], "contextforge", NOW);
    const second = classify(servers(5), [used("s1", 6)], "contextforge", NOW + 1_000, first.history);
    const third = classify(servers(5), [used("s2", 7)], "contextforge", NOW + 2_000, second.history);
    expect([first, second, third].map(({ history }) => history.get("s1")?.since)).toEqual([
      NOW,
      NOW,
      NOW + 2_000,
    ]);
    expect(third.history.get("s2")).toMatchObject({
      tier: "hot",
      rank: 1,
      why: "ranks within the cap",
    });
  });
});

describe("any preset", () => {
  const usages = fc.array(
    fc.record({
      serverId: fc.integer({ min: 0, max: 30 }).map((n) => `s${n}`),
      lastUsedAt: fc.integer({ min: 0, max: NOW }),
      activeSessions: fc.nat(5),
      totalUses: fc.nat(1_000),
      pooledSessions: fc.nat(5),
    }),
    { maxLength: 60 },
  );
  const presets = fc.constantFrom("contextforge" as const, "default" as const, { tiers: 4 as const });

  it("gives every known server exactly one tier, the same one in whatever order things come", () => {
    fc.assert(
      fc.property(fc.nat(25), usages, presets, fc.integer(), (n, usage, preset, seed) => {
        const known = servers(n);
        const result = classify(known, usage, preset, NOW);
        expect(new Set(result.tiers.keys())).toEqual(new Set(known.map(({ id }) => id)));
        const turned = <T>(list: T[]) =>
          list.map((_, i) => list[(i + Math.abs(seed)) % list.length] as T).reverse();
        const again = classify(turned(known), turned(usage), preset, NOW);
        expect(new Map([...again.tiers].sort())).toEqual(new Map([...result.tiers].sort()));
        expect(again.metadata).toEqual(result.metadata);
      }),
    );
  });

  it("of the first run never makes more servers hot than the cap", () => {
    fc.assert(
      fc.property(fc.nat(25), usages, presets, (n, usage, preset) => {
        const { hotActual, hotCap, eligibleCount } = classify(servers(n), usage, preset, NOW).metadata;
        return hotActual === Math.min(hotCap, eligibleCount);
      }),
    );
  });

  it("ranks as a comparison one by one would: score, last use, active sessions, uses, URL, id", () => {
    const few = fc.array(
      fc.record({
        serverId: fc.integer({ min: 0, max: 11 }).map((n) => `s${n}`),
        lastUsedAt: fc.constantFrom(0, NOW - 5, NOW),
        activeSessions: fc.nat(1),
        totalUses: fc.nat(1),
        pooledSessions: fc.constant(0),
      }),
      { maxLength: 40 },
    );
    const urls = fc.array(fc.constantFrom("http://a", "http://b"), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(few, urls, presets, (usage, at, preset) => {
        const known = servers(12).map((server, i) => ({ ...server, url: at[i] as string }));
        const { history } = classify(known, usage, preset, NOW);
        const text = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
        const expected = known
          .map((server) => ({ ...server, ...(history.get(server.id) as ServerHistory) }))
          .filter(({ lastUsedAt }) => lastUsedAt > 0)
          .sort(
            (a, b) =>
              b.score - a.score ||
              b.lastUsedAt - a.lastUsedAt ||
              b.active - a.active ||
              b.uses - a.uses ||
              text(a.url, b.url) ||
              text(a.id, b.id),
          );
        expect(expected.map(({ rank }) => rank)).toEqual(expected.map((_, i) => i + 1));
        const unranked = [...history.values()].filter(({ lastUsedAt }) => lastUsedAt === 0);
        expect(unranked.every(({ rank }) => rank === 0)).toBe(true);
      }),
    );
  });

  it("counts numbers that are none as nothing", () => {
    const nonsense = [Number.NaN, Number.POSITIVE_INFINITY, -1];
    const usage = nonsense.flatMap((n) => [
      used("s1", n),
      used("s2", NOW, { activeSessions: n, totalUses: n }),
    ]);
    for (const preset of ["contextforge", "default"] as const) {
      const { history, metadata } = classify(servers(5), usage, preset, NOW);
      expect(metadata).toMatchObject({ eligibleCount: 1, hotActual: 1 });
      expect(history.get("s1")).toMatchObject({ lastUsedAt: 0, rank: 0 });
      expect(history.get("s2")).toMatchObject({ active: 0, uses: 0, rank: 1, tier: "hot" });
    }
  });

  it("classifies 10 000 servers in a few milliseconds", () => {
    const usage = servers(10_000).map(({ id }, i) => used(id, NOW - i * 1_000, { totalUses: i }));
    const first = classify(servers(10_000), usage, "default", NOW);
    // CPU time: what other processes do meanwhile is not the point.
    const before = process.cpuUsage();
    classify(servers(10_000), usage, "default", NOW + 60_000, first.history);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1_000).toBeLessThan(250);
  });

  it("refuses misspelt options with their path and the nearest key", () => {
    const attempt = () => classify([], [], { halflifeMs: 3 } as never, NOW);
    expect(attempt).toThrow(/halflifeMs: unknown key, did you mean halfLifeMs/);
    expect(() => classify([], [], { ratio: 2, zzzzzz: 1 } as never, NOW)).toThrow(
      /ratio: .*zzzzzz: unknown key$/,
    );
    expect(() => classify([], [], 3 as never, NOW)).toThrow(/options: /);
    try {
      attempt();
    } catch (error) {
      expect(ClassifierError.is(error) && error.code).toBe("invalid_options");
      expect(ClassifierError.is(new Error("other"))).toBe(false);
    }
  });
});
