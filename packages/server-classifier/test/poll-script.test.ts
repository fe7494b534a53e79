import { type RedisServer, seededRandom, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { dueAt, endPoll, isClaimed, type PollEnding, type PollState, recollect } from "../src/poll-state.ts";
import { createRedisClassifierStore } from "../src/redis/index.ts";
import { request } from "./support/claim-request.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

const ROUNDS = 2_000;
const random = seededRandom(11);
const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
const tokens = ["", "mine", "other"] as const;

/** Few moments, so that the same one comes up in several places. */
const moments = (now: number) =>
  [0, 0, -900_000, -20_000, -5_000, -1_000, -1, 500, 30_000, 3_600_000].map((offset) => {
    return offset === 0 ? 0 : now + offset;
  });

function stateAt(now: number): PollState {
  const times = moments(now);
  const claimed = random() < 0.5;
  return {
    last: pick(times),
    count: pick([0, 1, 7]),
    failures: pick([0, 1, 3, 60]),
    retryAt: pick(times),
    forcedAt: pick(times),
    ttlMs: pick([0, 10_000, 600_000]),
    claimedAt: claimed ? pick(times) : 0,
    heldAt: claimed ? pick(times) : 0,
    holder: claimed ? pick(tokens) : "",
  };
}

/** Puts random states into Redis, each under its own scope. */
async function seed() {
  const client = redis.client();
  const store = createRedisClassifierStore({ client });
  const { now } = await store.read();
  const states = Array.from({ length: ROUNDS }, () => stateAt(now));
  const packed = states.flatMap((state, i) => [`gw:{cls}:p:${i}`, Object.values(state).join("|")]);
  await client.mset(...packed);
  return { now, store, states };
}

it("the script that books endings does what endPoll does", async () => {
  const { store, states } = await seed();
  const endings = states.map((): PollEnding => {
    const token = pick(["mine", "other"]);
    return pick<PollEnding>([
      { kind: "completed", token, ttlMs: pick([0, 5_000]) },
      { kind: "failed", token, baseMs: 1_000, maxMs: 60_000 },
      { kind: "abandoned", token },
      { kind: "abandoned", token, pauseMs: 700 },
      { kind: "renewed", token },
      { kind: "forced", debounceMs: pick([1, 500, 30_000]) },
    ]);
  });
  const reply = await store.finish(endings.map((ending, i) => ({ scope: String(i), ending })));
  for (const [i, ending] of endings.entries()) {
    const state = { ...(states[i] as PollState) };
    endPoll(state, ending, reply.now);
    expect(reply.states[i], JSON.stringify({ before: states[i], ending })).toEqual(state);
  }
});

it("the script that grants claims does what recollect, dueAt and isClaimed say", async () => {
  const { now: seededAt, store, states } = await seed();
  const requests = states.map((_, i) =>
    request(String(i), "asks", {
      intervalMs: pick([1, 10_000, 600_000]),
      maxPauseMs: pick([1_000, 900_000]),
      claimMs: pick([1_000, 10_000]),
      last: pick(moments(seededAt)),
      failures: pick([0, 2]),
      forcedAt: pick(moments(seededAt)),
      ttlMs: pick([0, 20_000]),
    }),
  );
  const { now, replies } = await store.claim(requests);
  let granted = 0;
  for (const [i, { known, pace, claimMs, token }] of requests.entries()) {
    const state = { ...(states[i] as PollState) };
    recollect(state, known, now);
    const expected = !isClaimed(state, claimMs, now) && dueAt(state, pace, now) <= now;
    // A pause that is not believed is not kept either.
    if (state.retryAt > now + pace.maxPauseMs) state.retryAt = 0;
    if (expected) Object.assign(state, { claimedAt: now, heldAt: now, holder: token });
    expect(replies[i], JSON.stringify({ before: states[i], known })).toEqual({ granted: expected, state });
    if (expected) granted++;
  }
  expect(granted).toBeGreaterThan(ROUNDS / 10);
  expect(granted).toBeLessThan((ROUNDS * 9) / 10);
});
