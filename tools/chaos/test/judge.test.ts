import { expect, it } from "vitest";
import type { CallRecord } from "../src/chaos-client.ts";
import type { FaultKind } from "../src/fault-plan.ts";
import { judge } from "../src/judge.ts";

const answered = (at: number, clientSession: string, session: string, value: number): CallRecord => ({
  ...{ key: `0:${at}`, client: 0, amount: 1, outcome: "ok", refusals: [] },
  ...{ clientSession, session, value, startedMs: at, endedMs: at + 10 },
});

const judged = (calls: readonly CallRecord[], kind: FaultKind, atMs: number, healedMs: number) => {
  const executions = new Map(
    calls.map(({ key, session = "", amount, value = 0 }) => [key, [{ key, session, amount, value }]]),
  );
  const { begunAnew, begunAnewByFault, crossTalk, lostUpdates } = judge(
    calls,
    executions,
    [{ kind, atMs, healedMs }],
    [],
  );
  expect([crossTalk, lostUpdates]).toEqual([[], []]);
  return { begunAnew: begunAnew.length, begunAnewByFault };
};

const anew = [answered(0, "one", "up-1", 1), answered(5_000, "one", "up-2", 1)];

it.each([
  [
    "a replica was killed: it has to be resumed, or the client told",
    anew,
    "replica killed",
    2_000,
    { begunAnew: 1 },
  ],
  ["the network was away", anew, "network blackholed", 2_000, { begunAnew: 1 }],
  ["the upstream was killed", anew, "upstream killed", 2_000, { begunAnewByFault: 1 }],
  ["credentials were rotated", anew, "credentials rotated", 2_000, { begunAnewByFault: 1 }],
  ["that was long before", anew, "upstream killed", -9_000, { begunAnew: 1 }],
  ["that was afterwards", anew, "upstream killed", 6_000, { begunAnew: 1 }],
] as const)(
  "a number that begins anew within a client's session is seen: %s",
  (_, calls, kind, atMs, seen) => {
    const none = { begunAnew: 0, begunAnewByFault: 0 };
    expect(judged(calls, kind, atMs, atMs + 1_000)).toEqual({ ...none, ...seen });
  },
);

it("a number that goes on, and one of a session that the client opened anew, are none of that", () => {
  const calls = [
    answered(0, "one", "up-1", 1),
    answered(3_000, "one", "up-1", 2),
    answered(6_000, "two", "up-2", 1),
  ];
  expect(judged(calls, "replica killed", 2_000, 3_000)).toEqual({ begunAnew: 0, begunAnewByFault: 0 });
});
