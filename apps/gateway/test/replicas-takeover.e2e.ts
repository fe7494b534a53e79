import { type CounterFixture, fixtureCommand, startCounterServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSession, startReplicaProcess, startReplicaSet } from "./support/replica-set.ts";

let redis: RedisServer;
let counter: CounterFixture;

beforeAll(async () => {
  [redis, counter] = await Promise.all([startRedis(), startCounterServer()]);
});

afterAll(() => Promise.all([redis.close(), counter.close()]));

/** Gateways start as processes of their own, which takes long on a busy machine. */
const slow = { timeout: 180_000 };

/** Longer than in one process: between two nothing is sure to happen within half a second. */
const patient = { heartbeatMs: 300, deadAfterMs: 1_500, connectTimeoutMs: 500, silenceMs: 2_000 };

describe("a session whose owner is gone", () => {
  // Those that wait for an owner to count as dead do so together, with replicas of their own.
  it.concurrent(
    "SP-13 is refused with Retry-After until the owner counts as dead, then taken over by one of 20 racers, state and all",
    slow,
    async () => {
      await using set = await startReplicaSet(redis, 2, { sessions: { owners: patient } });
      const [b, c] = set.replicas;
      const path = `/servers/${await set.register({ name: "counter", url: counter.url })}/mcp`;
      await using owner = await startReplicaProcess(redis, set, patient);
      const session = await openSession(owner, path);
      expect(await session.tool(owner, "add", { amount: 5 })).toMatchObject({ value: 5 });
      expect(await session.tool(b!, "add", { amount: 2 })).toMatchObject({ value: 7 });
      const opened = counter.stats().sessionsOpened;
      await owner.kill();

      const early = await session.request(c!, "tools/call", { name: "add", arguments: { amount: 100 } });
      expect(early.status).toBe(503);
      expect(Number(early.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      expect(early.body.error.data).toMatchObject({ code: "session_owner_unreachable", retryable: true });

      await eventually(async () => (await session.request(c!, "ping")).status === 200, { timeoutMs: 20_000 });
      const racers = Array.from({ length: 20 }, (_, index) =>
        session.tool(index % 2 === 0 ? b! : c!, "add", { amount: 1 }),
      );
      await Promise.all(racers);
      expect(await session.tool(b!, "read")).toMatchObject({ value: 27 });
      const won = [b, c].map((replica) => replica!.core.sessions.size);
      expect(won.sort()).toEqual([0, 1]);
      expect(counter.stats().sessionsOpened).toBe(opened);
      const reclaims = await c!.rest("GET", "/metrics");
      expect(String(reclaims.body)).toMatch(/gatewright_session_reclaims_total\{outcome="won"\} [01]/);
    },
  );

  it.concurrent(
    "SP-13 with a program behind it answers 404, so that its client begins anew",
    slow,
    async () => {
      await using set = await startReplicaSet(redis, 1, { sessions: { owners: patient } });
      const [b] = set.replicas;
      const path = `/servers/${await set.register({ name: "program", ...fixtureCommand("counter-stdio") })}/mcp`;
      await using owner = await startReplicaProcess(redis, set, patient);
      const session = await openSession(owner, path);
      expect(await session.tool(b!, "add", { amount: 5 })).toMatchObject({ value: 5 });
      await owner.kill();
      await eventually(async () => (await session.request(b!, "ping")).status === 404, { timeoutMs: 20_000 });
      expect((await session.request(b!, "tools/list")).status).toBe(404);
      const anew = await openSession(b!, path);
      expect(await anew.tool(b!, "read")).toMatchObject({ value: 0 });
    },
  );

  it("SP-13 with a program behind it is not gone on with either where that speaks a revision without sessions", async () => {
    await using set = await startReplicaSet(redis, 2);
    const [a, b] = set.replicas;
    const program = { ...fixtureCommand("counter-stdio"), env: { FIXTURE_ERA: "modern" } };
    const path = `/servers/${await set.register({ name: "program", ...program })}/mcp`;
    const session = await openSession(a!, path);
    expect(await session.tool(b!, "add", { amount: 5 })).toMatchObject({ value: 5 });
    await a!.close();
    expect((await session.request(b!, "tools/list")).status).toBe(404);
  });

  it("whose owner stops in good order is taken over at once, with its state and its upstream session", async () => {
    await using set = await startReplicaSet(redis, 2, {
      sessions: { owners: { ...patient, deadAfterMs: 60_000 } },
    });
    const [a, b] = set.replicas;
    const path = `/servers/${await set.register({ name: "counter", url: counter.url })}/mcp`;
    const session = await openSession(a!, path);
    await session.tool(a!, "add", { amount: 5 });
    const opened = counter.stats().sessionsOpened;
    await a!.close();
    expect(await session.tool(b!, "add", { amount: 1 })).toMatchObject({ value: 6 });
    expect(counter.stats().sessionsOpened).toBe(opened);
    const closed = counter.stats().sessionsClosed;
    expect(await session.delete(b!)).toBe(204);
    await eventually(() => counter.stats().sessionsClosed === closed + 1);
  });
});
