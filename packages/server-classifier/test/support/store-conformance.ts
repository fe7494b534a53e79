import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { type ClassifierStore, classify, type UsageDelta } from "../../src/index.ts";
import { request } from "./claim-request.ts";
import { servers, used } from "./usage.ts";

/** What the suite needs of a store under test: two handles on the same state, fresh for each test. */
export interface StoreUnderTest {
  readonly a: ClassifierStore;
  readonly b: ClassifierStore;
}

const delta = (serverId: string, more: Partial<UsageDelta> = {}): UsageDelta => ({
  serverId,
  uses: 1,
  ageMs: 1_000,
  active: 0,
  sessions: 1,
  ...more,
});

const publication = (epoch: number, ids = 5, versionSeen = 0) => ({
  epoch,
  versionSeen,
  ttlMs: 60_000,
  classification: classify(servers(ids), [used("s1", 5)], "contextforge", 1_000),
});

/** The behaviour every {@link ClassifierStore} shares. `open` gives a fresh pair, `wait` lets store time pass. */
export function describeStore(
  open: () => Promise<StoreUnderTest>,
  wait: (ms: number) => Promise<void>,
): void {
  it("gives the lease to one, renews it for the holder, and tells others when it ends", async () => {
    const { a, b } = await open();
    const first = await a.acquire("A", 2_000, 0);
    expect(first).toMatchObject({ leader: true, epoch: 1, expiresInMs: 2_000 });
    expect(first.now).toBeGreaterThan(1e12);
    const other = await b.acquire("B", 2_000, 0);
    expect(other).toMatchObject({ leader: false, epoch: 1 });
    expect(other.expiresInMs).toBeGreaterThan(0);
    expect(other.expiresInMs).toBeLessThanOrEqual(2_000);
    expect(await a.acquire("A", 2_000, 1)).toMatchObject({ leader: true, epoch: 1 });
  });

  it("gives an expired lease to the next with a larger epoch, larger than any it saw", async () => {
    const { a, b } = await open();
    await a.acquire("A", 50, 0);
    await wait(80);
    expect(await b.acquire("B", 50, 0)).toMatchObject({ leader: true, epoch: 2 });
    await wait(80);
    expect(await a.acquire("A", 50, 41)).toMatchObject({ leader: true, epoch: 42 });
  });

  it("SC-4 goes above an epoch that a contender saw before the data was lost, though another leads", async () => {
    const { a, b } = await open();
    await a.acquire("A", 2_000, 0);
    expect(await b.acquire("B", 2_000, 7)).toMatchObject({ leader: false, epoch: 8 });
    expect((await a.publish(publication(1))).accepted).toBe(false);
    expect(await a.acquire("A", 2_000, 1)).toMatchObject({ leader: true, epoch: 8 });
    expect((await a.publish(publication(8))).accepted).toBe(true);
  });

  it("releases only for the holder, and announces it", async () => {
    const { a, b } = await open();
    const events: string[] = [];
    const off = b.subscribe((event) => events.push(event));
    await a.acquire("A", 5_000, 0);
    expect(await b.release("B")).toBe(false);
    await eventually(async () => {
      await a.acquire("A", 5_000, 0);
      expect(await a.release("A")).toBe(true);
      return events.includes("released");
    });
    expect((await b.acquire("B", 5_000, 0)).leader).toBe(true);
    off();
    await b.release("B");
    expect(await b.release("B")).toBe(false);
  });

  it("SC-4 refuses a publication of an earlier epoch and keeps the later one", async () => {
    const { a, b } = await open();
    const late = await a.publish(publication(6, 10));
    expect(late).toMatchObject({ accepted: true, snapshot: { epoch: 6, version: 1 } });
    expect((await b.publish(publication(5, 3))).accepted).toBe(false);
    const { snapshot } = await b.read();
    expect(snapshot).toMatchObject({ epoch: 6, version: 1, metadata: { totalServers: 10 } });
    expect(snapshot?.servers.size).toBe(10);
  });

  it("SC-4 refuses the old leader also after a successor was elected that has not published yet", async () => {
    const { a, b } = await open();
    const { epoch } = await a.acquire("A", 50, 4);
    expect(epoch).toBe(5);
    await wait(80);
    expect((await b.acquire("B", 5_000, 0)).epoch).toBe(6);
    expect((await a.publish(publication(5))).accepted).toBe(false);
    expect((await b.publish(publication(6))).accepted).toBe(true);
  });

  it("replaces a snapshot as a whole, with growing versions, and reads back what was published", async () => {
    const { a, b } = await open();
    expect((await a.read()).snapshot).toBeUndefined();
    await a.publish(publication(1, 10));
    const second = publication(1, 5);
    expect((await a.publish(second)).snapshot?.version).toBe(2);
    const { snapshot } = await b.read();
    expect(snapshot?.servers).toEqual(second.classification.history);
    expect(snapshot?.metadata).toEqual(second.classification.metadata);
    expect((await a.publish(publication(1, 5, 99))).snapshot?.version).toBe(100);
  });

  it("forgets a snapshot after its time to live", async () => {
    const { a } = await open();
    await a.publish({ ...publication(1), ttlMs: 50 });
    await wait(80);
    expect((await a.read()).snapshot).toBeUndefined();
  });

  it("announces a publication", async () => {
    const { a, b } = await open();
    const events: string[] = [];
    b.subscribe((event) => events.push(event));
    await eventually(async () => {
      await a.publish(publication(1));
      return events.includes("published");
    });
  });

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

  it("grants a claim to exactly one of many who ask at once", async () => {
    const { a, b } = await open();
    const asked = Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).claim([request("p", `t${i}`)]));
    const granted = (await Promise.all(asked)).filter(({ replies }) => replies[0]?.granted);
    expect(granted).toHaveLength(1);
  });

  it("frees a claim when its holder dies, and only the holder can free it before", async () => {
    const { a, b } = await open();
    const short = { claimMs: 700 };
    await a.claim([request("p", "dies", short)]);
    await b.finish([{ scope: "p", ending: { kind: "abandoned", token: "other" } }]);
    expect((await b.claim([request("p", "t2", short)])).replies[0]?.granted).toBe(false);
    await wait(730);
    expect((await b.claim([request("p", "t3", short)])).replies[0]?.granted).toBe(true);
    await b.finish([{ scope: "p", ending: { kind: "abandoned", token: "t3" } }]);
    expect((await a.claim([request("p", "t4")])).replies[0]?.granted).toBe(true);
  });

  it("records a time only when a poll is completed, and then not before the interval", async () => {
    const { a } = await open();
    const claim = async (token: string, more = {}) => (await a.claim([request("p", token, more)])).replies[0];
    await claim("t1");
    await a.finish([{ scope: "p", ending: { kind: "abandoned", token: "t1" } }]);
    expect(await claim("t2")).toMatchObject({ granted: true, state: { last: 0, count: 0 } });
    const { states, now } = await a.finish([{ scope: "p", ending: { kind: "completed", token: "t2" } }]);
    expect(states[0]).toMatchObject({ count: 1, claimedAt: 0, holder: "" });
    expect(Math.abs((states[0]?.last ?? 0) - now)).toBeLessThanOrEqual(1);
    expect((await claim("t3"))?.granted).toBe(false);
    await wait(60);
    expect((await claim("t4", { intervalMs: 40 }))?.granted).toBe(true);
  });

  it("honours ttlMs, doubles the pause after failures, and forgets failures after a success", async () => {
    const { a } = await open();
    const claim = async (token: string) =>
      (await a.claim([request("p", token, { intervalMs: 1 })])).replies[0];
    const fail = (token: string) => ({ kind: "failed", token, baseMs: 40, maxMs: 100 }) as const;
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      await eventually(async () => (await claim(`t${i}`))?.granted === true);
      const { states, now } = await a.finish([{ scope: "p", ending: fail(`t${i}`) }]);
      waits.push((states[0]?.retryAt ?? 0) - now);
      await wait(120);
    }
    expect(waits).toEqual([40, 80, 100, 100]);
    await claim("t9");
    const { states } = await a.finish([
      { scope: "p", ending: { kind: "completed", token: "t9", ttlMs: 50_000 } },
    ]);
    expect(states[0]).toMatchObject({ failures: 0, retryAt: 0, ttlMs: 50_000 });
    await wait(20);
    expect((await claim("t10"))?.granted).toBe(false);
  });

  it("SC-8 makes a forced poll due once, after the debounce, and again when it was forced during the poll", async () => {
    const { a } = await open();
    const claim = async (token: string) => (await a.claim([request("p", token)])).replies[0];
    const force = { scope: "p", ending: { kind: "forced", debounceMs: 500 } } as const;
    await claim("t0");
    await a.finish([{ scope: "p", ending: { kind: "completed", token: "t0", ttlMs: 900_000 } }]);
    await a.finish([force]);
    await a.finish([force]);
    expect((await claim("t1"))?.granted).toBe(false);
    await wait(530);
    expect((await claim("t2"))?.granted).toBe(true);
    await a.finish([force]);
    await wait(5);
    const done = await a.finish([{ scope: "p", ending: { kind: "completed", token: "t2" } }]);
    expect(done.states[0]?.forcedAt).toBe(0);
    await a.finish([force]);
    await wait(530);
    expect((await claim("t3"))?.granted).toBe(true);
  });

  it("believes the caller's memory when its own is older, unless that is nonsense", async () => {
    const { a } = await open();
    const { now } = await a.read();
    const claim = async (scope: string, knownLast: number) =>
      (await a.claim([request(scope, "t", { last: knownLast })])).replies[0]?.granted;
    expect(await claim("recent", now - 1_000)).toBe(false);
    expect(await claim("old", now - 61_000)).toBe(true);
    for (const nonsense of [-1, 0, now + 120_000]) expect(await claim(`n${nonsense}`, nonsense)).toBe(true);
  });

  it("SC-5 believes a caller's memory of what could not be booked, unless somebody polled since", async () => {
    const { a } = await open();
    const { now } = await a.read();
    const ask = async (scope: string, token: string, more: Parameters<typeof request>[2]) =>
      (await a.claim([request(scope, token, more)])).replies[0];
    const memory = { last: now - 10_000, ttlMs: 90_000, failures: 2 };
    expect(await ask("p", "t1", { ...memory, intervalMs: 1 })).toMatchObject({
      granted: false,
      state: memory,
    });
    expect(await ask("p", "t2", { ...memory, forcedAt: now - 5_000 })).toMatchObject({
      granted: true,
      state: { ...memory, forcedAt: now - 5_000 },
    });
    const ending = { kind: "completed", token: "t2" } as const;
    const done = await a.finish([{ scope: "p", ending }]);
    expect(done.states[0]).toMatchObject({ failures: 0, forcedAt: 0, ttlMs: 0 });
    const late = await ask("p", "t3", { ...memory, forcedAt: now - 5_000 });
    expect(late).toMatchObject({ granted: false, state: { failures: 0, forcedAt: 0, ttlMs: 0 } });
  });

  it("keeps a claim for its holder as long as it is renewed, and for nobody else", async () => {
    const { a, b } = await open();
    const short = { claimMs: 700 };
    const renew = async (token: string) =>
      (await a.finish([{ scope: "p", ending: { kind: "renewed", token } }])).states[0];
    const { replies, now } = await a.claim([request("p", "t1", short)]);
    expect(replies[0]?.granted).toBe(true);
    await wait(400);
    expect(await renew("other")).toMatchObject({ holder: "t1", heldAt: now });
    const renewed = await renew("t1");
    expect(renewed).toMatchObject({ holder: "t1", claimedAt: now });
    expect(renewed?.heldAt).toBeGreaterThanOrEqual(now + 400);
    await wait(400);
    expect((await b.claim([request("p", "t2", short)])).replies[0]?.granted).toBe(false);
    await wait(320);
    expect((await b.claim([request("p", "t3", short)])).replies[0]?.granted).toBe(true);
    expect(await renew("t1")).toMatchObject({ holder: "t3" });
  });

  it("answers many claims and endings in one call, in their order", async () => {
    const { a } = await open();
    await a.claim([request("b", "x")]);
    const { replies } = await a.claim(["a", "b", "c"].map((scope) => request(scope, `t-${scope}`)));
    expect(replies.map(({ granted, state }) => [granted, state.holder])).toEqual([
      [true, "t-a"],
      [false, "x"],
      [true, "t-c"],
    ]);
    const { states } = await a.finish(
      ["c", "a"].map((scope) => ({ scope, ending: { kind: "completed", token: `t-${scope}` } as const })),
    );
    expect(states.map(({ count, holder }) => [count, holder])).toEqual([
      [1, ""],
      [1, ""],
    ]);
  });

  it("grants no more than the limit, and answers with the states of all", async () => {
    const { a } = await open();
    const ask = ["a", "b", "c"].map((scope) => request(scope, "t"));
    expect((await a.claim(ask, 2)).replies.map(({ granted }) => granted)).toEqual([true, true, false]);
    expect((await a.claim(ask, 0)).replies.map(({ state }) => state.holder)).toEqual(["t", "t", ""]);
    expect((await a.claim(ask, 5)).replies.map(({ granted }) => granted)).toEqual([false, false, true]);
  });

  it("closes twice without complaint", async () => {
    const { a } = await open();
    a.subscribe(() => {});
    await a.close();
    await a.close();
  });
}
