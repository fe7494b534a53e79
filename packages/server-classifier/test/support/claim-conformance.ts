import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import type { PollEnding } from "../../src/poll-state.ts";
import { request } from "./claim-request.ts";
import type { StoreHarness } from "./store-under-test.ts";

/** Who makes a poll, when, and what is booked of it. */
export function describeClaims({ open, wait }: StoreHarness): void {
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

  it("postpones a poll that could not be made, which counts as no failure, for its holder alone", async () => {
    const { a } = await open();
    const claim = async (token: string) => (await a.claim([request("p", token)])).replies[0];
    const abandon = async (token: string, pauseMs: number) => {
      const { states, now } = await a.finish([{ scope: "p", ending: { kind: "abandoned", token, pauseMs } }]);
      return { state: states[0], pauseMs: (states[0]?.retryAt ?? 0) - now };
    };
    expect((await claim("t1"))?.granted).toBe(true);
    expect((await abandon("other", 500)).state).toMatchObject({ holder: "t1", retryAt: 0 });
    expect(await abandon("t1", 500)).toMatchObject({ pauseMs: 500, state: { holder: "", failures: 0 } });
    await wait(530);
    expect((await claim("t3"))?.granted).toBe(true);
    expect((await abandon("t3", 60_000)).pauseMs).toBe(60_000);
    expect((await claim("t4"))?.granted).toBe(false);
  });

  it("SC-8 makes a forced poll due once, after the debounce", async () => {
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
    const done = await a.finish([{ scope: "p", ending: { kind: "completed", token: "t2" } }]);
    expect(done.states[0]?.forcedAt).toBe(0);
    expect((await claim("t3"))?.granted).toBe(false);
  });

  it("SC-8 makes another poll of a change that is announced during the poll that an earlier one asked for", async () => {
    const { a, b } = await open();
    const claim = async (store: typeof a, token: string, forcedAt = 0) =>
      (await store.claim([request("p", token, { forcedAt })])).replies[0];
    const force = async (debounceMs: number) =>
      (await b.finish([{ scope: "p", ending: { kind: "forced", debounceMs } }])).states[0]?.forcedAt ?? 0;
    await claim(a, "t0");
    await a.finish([{ scope: "p", ending: { kind: "completed", token: "t0" } }]);
    const first = await force(1);
    await wait(30);
    expect((await claim(a, "t1"))?.granted).toBe(true);
    const second = await force(500);
    expect(second).toBeGreaterThan(first);
    // Many notices during one poll make one more, also where a replica remembers one that this poll heeds.
    expect(await force(600)).toBe(second);
    expect(await claim(b, "rival", first)).toMatchObject({ granted: false, state: { forcedAt: second } });
    const done = await a.finish([{ scope: "p", ending: { kind: "completed", token: "t1" } }]);
    expect(done.states[0]?.forcedAt).toBe(second);
    await wait(530);
    expect((await claim(a, "t2"))?.granted).toBe(true);
    const last = await a.finish([{ scope: "p", ending: { kind: "completed", token: "t2" } }]);
    expect(last.states[0]?.forcedAt).toBe(0);
  });

  it("SC-8 takes a notice for heeded only by who polled because of it", async () => {
    const { a } = await open();
    const claim = async (token: string) => (await a.claim([request("p", token)])).replies[0];
    const finish = async (ending: PollEnding) => (await a.finish([{ scope: "p", ending }])).states[0];
    await claim("t0");
    await finish({ kind: "completed", token: "t0" });
    const notice = await finish({ kind: "forced", debounceMs: 1 });
    await wait(30);
    expect((await claim("t1"))?.granted).toBe(true);
    expect(await finish({ kind: "completed", token: "other" })).toMatchObject({
      holder: "t1",
      forcedAt: notice?.forcedAt,
    });
    await finish({ kind: "abandoned", token: "t1" });
    expect((await claim("t2"))?.granted).toBe(true);
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
    const short = { claimMs: 1_200 };
    const renew = async (token: string) =>
      (await a.finish([{ scope: "p", ending: { kind: "renewed", token } }])).states[0];
    const { replies, now } = await a.claim([request("p", "t1", short)]);
    expect(replies[0]?.granted).toBe(true);
    await wait(700);
    expect(await renew("other")).toMatchObject({ holder: "t1", heldAt: now });
    const renewed = await renew("t1");
    expect(renewed).toMatchObject({ holder: "t1", claimedAt: now });
    expect(renewed?.heldAt).toBeGreaterThanOrEqual(now + 700);
    await wait(700);
    expect((await b.claim([request("p", "t2", short)])).replies[0]?.granted).toBe(false);
    await wait(530);
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
}
