import { createMemoryStore, createPollSchedule, type PolledServer } from "@gatewright/server-classifier";
import { createRedisClassifierStore } from "@gatewright/server-classifier/redis";
import { createFakeClock, eventually, startRedis } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { duePolls } from "../src/polling/due-polls.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

it("asks for the most overdue polls first, so that none starves where the rate cap cannot grant all", async () => {
  const fake = createFakeClock();
  const clock = { now: () => fake.monotonic(), wall: () => fake.now(), setTimer: () => () => {} };
  const schedule = createPollSchedule(
    { refreshIntervalMs: 10_000, maxPollsPerSecond: 1, jitter: 0, spread: false },
    { store: createMemoryStore({ now: clock.wall }), clock },
  );
  const records = Array.from({ length: 30 }, (_, i) => ({ id: `s${i}`, state: "reachable" as const }));
  const servers = new Map<string, PolledServer>(records.map(({ id }) => [id, { id }]));
  const polls = new Map<string, number>();
  // Sixty polls every ten seconds are wanted, one a second is allowed.
  for (let second = 0; second < 180; second++) {
    const due = duePolls(schedule, records, ({ id }) => servers.get(id) as PolledServer);
    expect(due.map(({ dueAt }) => dueAt)).toEqual(due.map(({ dueAt }) => dueAt).sort((a, b) => a - b));
    const claims = due.map(({ record, pollType }) =>
      schedule.claim(servers.get(record.id) as PolledServer, pollType),
    );
    for (const claim of await Promise.all(claims)) {
      if (claim === undefined) continue;
      const key = `${claim.pollType} ${claim.server.id}`;
      polls.set(key, (polls.get(key) ?? 0) + 1);
      await schedule.complete(claim);
    }
    fake.advanceSync(1_000);
  }
  expect(polls.size).toBe(60);
  expect([Math.min(...polls.values()), Math.max(...polls.values())]).toEqual([3, 3]);
});

it("keeps its claim of a listing that takes longer than a claim holds", async () => {
  await using redis = await startRedis();
  await using upstream = await startScriptedServer();
  let answer: (() => void) | undefined;
  upstream.script("tools/list", (_, send) => {
    answer = () => send({ tools: [] });
  });
  await using _gateway = await startTestGateway({
    redis: { url: redis.url },
    mcpServers: { slow: { url: upstream.url } },
    classifier: { claimMs: 2_000 },
  });
  await eventually(() => answer !== undefined, { timeoutMs: 10_000 });
  const client = redis.client();
  const [key = ""] = await client.keys("gw:{cls}:p:*");
  const times = async () => ((await client.get(key)) ?? "").split("|").slice(6, 8).map(Number);
  const [claimedAt = 0, heldAt] = await times();
  expect(claimedAt).toBeGreaterThan(0);
  expect(heldAt).toBe(claimedAt);
  await eventually(async () => ((await times())[1] ?? 0) > claimedAt, { timeoutMs: 10_000 });
  expect((await times())[0]).toBe(claimedAt);
  const rival = createRedisClassifierStore({ client });
  const known = { last: 0, failures: 0, forcedAt: 0, ttlMs: 0 };
  const pace = { intervalMs: 1, maxPauseMs: 1 };
  const scope = key.slice("gw:{cls}:p:".length);
  const { replies } = await rival.claim([{ scope, token: "rival", pace, claimMs: 2_000, known }]);
  expect(replies[0]?.granted).toBe(false);
  answer?.();
  await eventually(async () => ((await times())[1] ?? 1) === 0, { timeoutMs: 10_000 });
});
