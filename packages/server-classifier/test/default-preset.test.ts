import { describe, expect, it } from "vitest";
import { type Classification, classify, type RankingOptions, type ServerUsage } from "../src/index.ts";
import { hot, servers, used } from "./support/usage.ts";

const NOW = 1_800_000_000_000;
const MINUTE = 60_000;

/** Runs cycles one minute apart; `usage(cycle, now)` is what the store would sum up. */
function run(
  cycles: number,
  options: RankingOptions,
  n: number,
  usage: (cycle: number, now: number) => ServerUsage[],
) {
  const results: Classification[] = [];
  for (let cycle = 0; cycle < cycles; cycle++) {
    const now = NOW + cycle * MINUTE;
    results.push(classify(servers(n), usage(cycle, now), options, now, results.at(-1)?.history));
  }
  return results;
}

const moves = (results: readonly Classification[], id: string) =>
  results.filter((result, i) => i > 0 && results[i - 1]?.tiers.get(id) !== result.tiers.get(id)).length;

describe("default preset", () => {
  it("keeps nobody warm once there are no warm tiers any more", () => {
    const usage = (_: number, now: number) => [
      used("s0", now),
      used("s1", now - MINUTE),
      used("s2", now - 2 * MINUTE),
    ];
    const four = run(2, { tiers: 4 }, 5, usage).at(-1);
    expect([...(four?.tiers.values() ?? [])]).toContain("warm");
    let { history } = four ?? { history: new Map() };
    for (let cycle = 2; cycle < 20; cycle++) {
      const now = NOW + cycle * MINUTE;
      ({ history } = classify(servers(5), usage(cycle, now), "default", now, history));
    }
    expect([...history.values()].map(({ tier }) => tier)).not.toContain("warm");
  });

  it("SC-1 of 4 servers one is hot, with nothing used none is and the reason is given", () => {
    expect(hot(classify(servers(4), [used("s2", NOW)], "default", NOW))).toEqual(["s2"]);
    const idle = classify(servers(4), [], "default", NOW);
    expect(hot(idle)).toEqual([]);
    expect(idle.metadata).toMatchObject({
      hotCap: 1,
      underutilizedReason: expect.stringContaining("0 of 1"),
    });
    expect(classify([], [], "default", NOW).metadata).toMatchObject({
      totalServers: 0,
      hotCap: 0,
      hotActual: 0,
    });
  });

  it("ranks by decayed use, so that steady traffic beats one recent call", () => {
    const result = classify(
      servers(5),
      [used("s1", NOW, { totalUses: 1 }), used("s2", NOW - 5 * MINUTE, { totalUses: 500 })],
      "default",
      NOW,
    );
    expect(hot(result)).toEqual(["s2"]);
    expect(result.history.get("s2")).toMatchObject({ rank: 1, tier: "hot" });
    expect(result.history.get("s1")).toMatchObject({ rank: 2, why: "ranks past the cap" });
    expect(result.history.get("s0")).toMatchObject({ rank: 0, why: "never used" });
  });

  it("halves a use every half-life and counts active sessions and recency", () => {
    const [first, , third] = run(3, { halfLifeMs: 2 * MINUTE }, 5, () => [
      used("s1", NOW, { totalUses: 8, activeSessions: 0 }),
    ]);
    expect(first?.history.get("s1")).toMatchObject({ decayed: 8, score: 9 });
    expect(third?.history.get("s1")?.decayed).toBeCloseTo(4);
    expect(third?.history.get("s1")?.score).toBeCloseTo(4.5);
    const active = classify(
      servers(5),
      [used("s1", NOW), used("s2", NOW, { activeSessions: 1 })],
      "default",
      NOW,
    );
    expect(hot(active)).toEqual(["s2"]);
  });

  it("ties go by last use, active sessions, uses, URL and id", () => {
    const first = (usage: ServerUsage[], urls: Record<string, string> = {}) =>
      hot(
        classify(
          servers(5).map((s) => (urls[s.id] ? { ...s, url: urls[s.id] as string } : s)),
          usage,
          "default",
          NOW,
        ),
      );
    expect(first([used("s1", NOW + 1), used("s2", NOW + 2)])).toEqual(["s2"]);
    expect(
      first([used("s1", NOW, { totalUses: 2 }), used("s2", NOW, { totalUses: 1, activeSessions: 1 })]),
    ).toEqual(["s2"]);
    expect(first([used("s2", NOW), used("s1", NOW)])).toEqual(["s1"]);
    expect(first([used("s2", NOW), used("s1", NOW)], { s1: "z", s2: "a" })).toEqual(["s2"]);
    expect(first([used("s2", NOW), used("s1", NOW)], { s1: "a", s2: "z" })).toEqual(["s1"]);
    expect(first([used("s2", NOW), used("s1", NOW)], { s1: "same", s2: "same" })).toEqual(["s1"]);
  });

  it("SC-7 a server that alternates around the cap changes its tier at most once in 10 cycles", () => {
    const results = run(12, { minDwellMs: 0 }, 10, (cycle, now) => [
      used("s0", now, { totalUses: 1_000_000 * (cycle + 1) }),
      used("s1", now, { totalUses: 100, activeSessions: cycle % 2 ? 40 : 0 }),
      used("s2", now, { totalUses: 100, activeSessions: cycle % 2 ? 0 : 40 }),
    ]);
    for (const id of ["s0", "s1", "s2"]) expect(moves(results, id)).toBeLessThanOrEqual(1);
    expect(results.at(-1)?.history.get("s1")?.why).toMatch(/within the cap|reach|runs/);
  });

  it("a hot server leaves after two cycles past 1.25 times the cap, not after one", () => {
    const busyUntil = (last: number) => (cycle: number, now: number) =>
      ["s0", "s1", "s2", "s3"].map((id, i) =>
        used(id, now, {
          totalUses: 10,
          activeSessions: (cycle <= last ? [9, 8, 1, 2] : [1, 2, 9, 8])[i] as number,
        }),
      );
    const results = run(4, { minDwellMs: 0 }, 10, busyUntil(0));
    expect(results.map((r) => r.tiers.get("s0"))).toEqual(["hot", "hot", "cold", "cold"]);
    expect(results[1]?.history.get("s0")?.why).toBe("ranks out of its tier, but not for enough runs yet");
    expect(results.map((r) => r.tiers.get("s2"))).toEqual(["cold", "hot", "hot", "hot"]);
  });

  it("stays within reach: rank 5 of a cap of 4 does not leave", () => {
    const results = run(6, { minDwellMs: 0 }, 20, (cycle, now) =>
      Array.from({ length: 5 }, (_, i) =>
        used(`s${i}`, now, { activeSessions: cycle === 0 ? 9 - i : 5 + i }),
      ),
    );
    expect(results.at(-1)?.tiers.get("s0")).toBe("hot");
    expect(results.at(-1)?.history.get("s0")?.why).toBe("ranks past the cap, but within reach of it");
  });

  it("does not leave before the minimum dwell", () => {
    const results = run(12, { minDwellMs: 5 * MINUTE }, 5, (cycle, now) => [
      used(cycle === 0 ? "s0" : "s1", now, { activeSessions: 9 }),
      used(cycle === 0 ? "s1" : "s0", NOW, { activeSessions: 0 }),
      used("s2", now, { activeSessions: 5 }),
    ]);
    const tiers = results.map((r) => r.tiers.get("s0"));
    expect(tiers.slice(0, 5)).toEqual(Array(5).fill("hot"));
    expect(tiers.at(-1)).toBe("cold");
    expect(results[3]?.history.get("s0")?.why).toBe(
      "ranks out of its tier, but has not been in it long enough to leave",
    );
  });

  it("pins fix a tier and take no place from others", () => {
    const pins = { s3: "hot", s1: "cold" } as const;
    const [result] = run(1, { pins }, 5, (_, now) => [used("s1", now, { totalUses: 99 }), used("s2", now)]);
    expect(hot(result as Classification).sort()).toEqual(["s2", "s3"]);
    expect(result?.history.get("s3")?.why).toBe("pinned by the operator");
    const unpinned = classify(servers(5), [], "default", NOW + 1, result?.history);
    expect(unpinned.tiers.get("s1")).toBe("hot");
  });

  it("a tier of the server itself wins over the pins of the options", () => {
    const known = [{ id: "s0", tier: "cold" as const }, { id: "s1", tier: "hot" as const }, { id: "s2" }];
    const { tiers } = classify(known, [used("s0", NOW)], { pins: { s0: "hot", s1: "cold", s2: "hot" } }, NOW);
    expect(Object.fromEntries(tiers)).toEqual({ s0: "cold", s1: "hot", s2: "hot" });
  });

  it("SC-5 a store that lost its counts but hears of open sessions leaves the hot ones hot", () => {
    const first = classify(servers(5), [used("s1", NOW, { totalUses: 9 })], "default", NOW);
    const open = { ...used("s1", 0, { totalUses: 0 }), lastUsedAt: 0, pooledSessions: 2 };
    const after = classify(servers(5), [open], { leaveRuns: 1, minDwellMs: 0 }, NOW + 60_000, first.history);
    expect(after.tiers.get("s1")).toBe("hot");
    expect(after.history.get("s1")?.lastUsedAt).toBe(NOW);
  });

  it("with four tiers knows warm, and dormant after 24 hours without use", () => {
    const day = 86_400_000;
    const usage = Array.from({ length: 6 }, (_, i) => used(`s${i}`, NOW - i, { totalUses: 100 - i }));
    usage.push(used("s6", NOW - day), used("s7", NOW - day + 1));
    const first = classify(servers(10), usage, { tiers: 4 }, NOW);
    expect([...first.tiers.values()]).toEqual([
      ...["hot", "hot", "warm", "warm", "warm", "cold"],
      ...["dormant", "cold", "cold", "cold"],
    ]);
    const later = classify(servers(10), usage, { tiers: 4 }, NOW + day, first.history);
    expect(later.tiers.get("s9")).toBe("cold");
    const latest = classify(servers(10), usage, { tiers: 4, minDwellMs: 0 }, NOW + day + 1, later.history);
    expect(latest.tiers.get("s9")).toBe("dormant");
    const back = classify(
      servers(10),
      [used("s9", NOW + day + 2)],
      { tiers: 4 },
      NOW + day + 2,
      latest.history,
    );
    expect(back.tiers.get("s9")).toBe("hot");
  });

  it("a warm server leaves for cold with the same calm", () => {
    const usage = (cycle: number, now: number) =>
      Array.from({ length: 8 }, (_, i) =>
        used(`s${i}`, now, { activeSessions: cycle === 0 ? 20 - i : i === 4 ? 0 : 20 - i }),
      );
    const results = run(4, { tiers: 4, minDwellMs: 0 }, 10, usage);
    expect(results.map((r) => r.tiers.get("s4"))).toEqual(["warm", "warm", "cold", "cold"]);
  });

  it("counts everything as new when a total fell back, and keeps the last use when a count is missing", () => {
    const first = classify(servers(5), [used("s1", NOW, { totalUses: 100 })], "default", NOW);
    const fell = classify(servers(5), [used("s1", NOW, { totalUses: 3 })], "default", NOW, first.history);
    expect(fell.history.get("s1")?.decayed).toBeCloseTo(103);
    const missing = classify(servers(5), [], "default", NOW, first.history);
    expect(missing.history.get("s1")).toMatchObject({ lastUsedAt: NOW, decayed: 100 });
  });
});
