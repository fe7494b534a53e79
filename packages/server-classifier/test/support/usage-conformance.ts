import { expect, it } from "vitest";
import type { UsageDelta } from "../../src/index.ts";
import { publication } from "./publication.ts";
import type { StoreHarness } from "./store-under-test.ts";

const delta = (serverId: string, more: Partial<UsageDelta> = {}): UsageDelta => ({
  serverId,
  uses: 1,
  ageMs: 1_000,
  active: 0,
  sessions: 1,
  ...more,
});

/** What replicas report, and what is collected of it. */
export function describeUsage({ open, wait }: StoreHarness): void {
  it("SC-2 sums the reports of all replicas", async () => {
    const { a, b } = await open();
    await a.report({
      replicaId: "A",
      seq: 1,
      ttlMs: 5_000,
      entries: [delta("x", { active: 2, sessions: 3 })],
    });
    const { now } = await b.report({
      replicaId: "B",
      seq: 1,
      ttlMs: 5_000,
      entries: [delta("x", { uses: 4, ageMs: 10, active: 1 }), delta("y", { uses: 0, ageMs: undefined })],
    });
    const { usage } = await a.collect();
    const x = usage.find(({ serverId }) => serverId === "x");
    expect(x).toMatchObject({ totalUses: 5, activeSessions: 3, pooledSessions: 4 });
    expect(Math.abs((x?.lastUsedAt ?? 0) - (now - 10))).toBeLessThanOrEqual(250);
    const y = usage.find(({ serverId }) => serverId === "y");
    expect(y).toMatchObject({ totalUses: 0, lastUsedAt: 0, pooledSessions: 1 });
  });

  it("counts a repeated report once", async () => {
    const { a } = await open();
    const report = { replicaId: "A", seq: 1, ttlMs: 5_000, entries: [delta("x")] };
    await a.report(report);
    await a.report(report);
    await a.report({ ...report, seq: 2 });
    expect((await a.collect()).usage).toMatchObject([{ serverId: "x", totalUses: 2, pooledSessions: 1 }]);
  });

  it("drops the sessions of a replica that fell silent, not what it used", async () => {
    const { a } = await open();
    await a.report({ replicaId: "A", seq: 1, ttlMs: 50, entries: [delta("x", { active: 1 })] });
    await wait(80);
    expect((await a.collect()).usage).toMatchObject([
      { serverId: "x", totalUses: 1, activeSessions: 0, pooledSessions: 0 },
    ]);
  });

  it("forgets the use of servers that a publication does not know", async () => {
    const { a } = await open();
    await a.report({ replicaId: "A", seq: 1, ttlMs: 50, entries: [delta("s1"), delta("gone")] });
    await a.publish(publication(1));
    await wait(80);
    expect((await a.collect()).usage.map(({ serverId }) => serverId)).toEqual(["s1"]);
  });
}
