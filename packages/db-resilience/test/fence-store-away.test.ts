import {
  eventually,
  type PostgresPair,
  type PostgresServer,
  type RedisServer,
  startPostgres,
  startPostgresPair,
  startPostgresStandby,
  startRedis,
} from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../src/clock.ts";
import { createReadSession, type FenceStore } from "../src/index.ts";
import { createRedisFenceStore } from "../src/redis/index.ts";
import { openDatabase, type Subject, timed } from "./support.ts";

let redis: RedisServer;
let prefixes = 0;
let prefix: string;
beforeAll(async () => {
  redis = await startRedis({ persist: true });
});
beforeEach(() => {
  prefix = `p${++prefixes}`;
});
afterAll(() => redis.close());

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  redis.resume();
  if (!redis.running) await redis.restart();
  for (const one of opened.splice(0).reverse()) await one.close();
});

/** The store as a gateway uses it: commands fail at once while Redis is away, and soon when it hangs. */
function redisStore(): FenceStore {
  const client = redis.client({
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: 500,
    retryStrategy: () => 50,
  });
  opened.push({ close: async () => client.disconnect() });
  return createRedisFenceStore(client, { prefix });
}

/** The same once it answers: a client that is still connecting is a store that is away. */
async function redisStoreThatAnswers(): Promise<FenceStore> {
  const store = redisStore();
  await eventually(async () => {
    await store.read();
  });
  return store;
}

function open(
  hosts: readonly PostgresServer[],
  options: Parameters<typeof openDatabase>[1] = {},
  fenceStore = redisStore(),
  clock = systemClock,
): Subject {
  const subject = openDatabase(hosts, options, { fenceStore, clock });
  opened.push({ close: () => subject.database.close({ deadlineMs: 100 }) });
  return subject;
}

const insert = (subject: Subject, n: number) =>
  timed(() => subject.database.query("insert into t values ($1)", [n]));
const rows = async (server: PostgresServer) =>
  (await server.query<{ n: number }>("select n from t order by n")).map(({ n }) => n);
const inForce = async () => {
  const client = redis.client();
  const text = await client.get(`${prefix}:{db}:fence`);
  const [timeline, , , era] = (text ?? "").split("|");
  return { timeline: Number(timeline), era: Number(era) };
};

describe("one server, and a fence store that is away at the start", () => {
  let postgres: PostgresServer;
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.query("create table t (n int primary key)");
  });
  afterAll(() => postgres.close());
  beforeEach(() => postgres.query("truncate t"));

  it("is read and written: every server there is was seen; the store is told when it answers", async () => {
    await redis.stop();
    const subject = open([postgres]);
    expect(await timed(() => subject.database.query("select 1"))).toMatchObject({ status: 200 });
    expect(await insert(subject, 1)).toMatchObject({ status: 200 });
    expect(subject.database.readiness().state).toBe("ready");
    await redis.restart();
    await eventually(async () => {
      await subject.database.query("select 1");
      return (await inForce()).timeline === 1;
    });
    expect(await rows(postgres)).toEqual([1]);
  });

  it("is written no more once the store answers that a later history is in force", async () => {
    await redisStoreReady().raise({ ...fence, systemIdentifier: await systemOf(postgres), timeline: 7 });
    redis.pause();
    const subject = open([postgres]);
    expect(await insert(subject, 1)).toMatchObject({ status: 200 });
    redis.resume();
    await eventually(async () => (await insert(subject, 2)).code === "db_fenced", { intervalMs: 50 });
    await timed(() => subject.database.query("delete from t"));
    expect(await rows(postgres)).toContain(1);
  });

  it("a store that hangs is waited for once, not at the end of every lease", async () => {
    const subject = open([postgres], { fencing: { leaseMs: 0 } }, await redisStoreThatAnswers());
    expect(await insert(subject, 0)).toMatchObject({ status: 200 });
    redis.pause();
    await insert(subject, 1);
    const outcomes = [];
    for (let n = 2; n < 12; n++) outcomes.push(await insert(subject, n));
    expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 200));
    // Waiting for the store would have taken half a second each time; a busy machine may hold up a few.
    expect(outcomes.filter(({ ms }) => ms < 400).length).toBeGreaterThanOrEqual(7);
  });

  it("a lease counts from when the store was asked, however long its answer takes", async () => {
    const store = await redisStoreThatAnswers();
    let raised = 0;
    let passedMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + passedMs };
    const slow: FenceStore = {
      ...store,
      read: () => store.read(),
      overrule: (era) => store.overrule(era),
      async raise(one) {
        raised++;
        const answer = await store.raise(one);
        passedMs += 300;
        return answer;
      },
    };
    const subject = open([postgres], { fencing: { leaseMs: 1_000 } }, slow, clock);
    expect(await insert(subject, 1)).toMatchObject({ status: 200 });
    expect(raised).toBe(1);
    passedMs += 700;
    expect(await insert(subject, 2)).toMatchObject({ status: 200 });
    expect(raised).toBe(2);
  });

  it("an operator's decision is made all the same, holds when the store is back, and for all who share it", async () => {
    await redisStoreReady().raise({
      ...fence,
      systemIdentifier: await systemOf(postgres),
      timeline: 7,
      era: 3,
    });
    const subject = open([postgres], {}, await redisStoreThatAnswers());
    expect(await insert(subject, 1)).toMatchObject({ code: "db_fenced" });
    await redis.stop();
    expect(await insert(subject, 1)).toMatchObject({ code: "db_fenced" });
    await subject.database.resetFence();
    expect(await insert(subject, 1)).toMatchObject({ status: 200 });
    await redis.restart();
    await eventually(async () => {
      await timed(() => subject.database.query("select 1"));
      return (await inForce()).era > 3;
    });
    expect(await insert(subject, 2)).toMatchObject({ status: 200 });
    expect((await inForce()).timeline).toBe(1);
    const other = open([postgres], {}, await redisStoreThatAnswers());
    expect(await insert(other, 3)).toMatchObject({ status: 200 });
  });
});

describe("several servers, and a fence store that is away at the start", () => {
  let pair: PostgresPair;
  beforeAll(async () => {
    pair = await startPostgresPair();
    await pair.primary.query("create table t (n int primary key)");
    await pair.primary.query(
      "create function sneak() returns int language sql as 'insert into t values (99) returning n'",
    );
    await pair.caughtUp();
  });
  afterAll(() => pair.close());
  beforeEach(() => pair.primary.query("truncate t"));

  it("FO-03 with one of them unseen what only reads is served, and nothing is written until it is seen", async () => {
    await redis.stop();
    await pair.standby.stop();
    const subject = open([pair.primary, pair.standby], { pool: { size: 1, overflow: 0 } });
    const { database } = subject;
    expect(await insert(subject, 1)).toMatchObject({ status: 503, code: "db_fenced" });
    const atPrimary = { session: createReadSession("primary") };
    for (const reading of [
      () => database.query("select 1"),
      () => database.read((session) => session.query("select 1"), atPrimary),
      () => database.read((session) => session.query("select 1")),
      () => database.transaction((tx) => tx.query("select 1"), { readOnly: true }),
    ]) {
      expect([String(reading), (await timed(reading)).code]).toEqual([String(reading), "ok"]);
    }
    for (const writing of [
      () => database.read((session) => session.query("insert into t values (2)"), atPrimary),
      () => database.transaction((tx) => tx.query("insert into t values (3)"), { readOnly: true }),
      () => database.withConnection((session) => session.query("insert into t values (4)")),
    ]) {
      expect([String(writing), (await timed(writing)).code]).toEqual([String(writing), "db_fenced"]);
    }
    // What looks like reading and writes all the same is refused by the server.
    expect(await timed(() => database.query("select sneak()"))).toMatchObject({
      code: "db_query_invalid",
      error: { sqlState: "25006", retryable: false },
    });
    expect(await rows(pair.primary)).toEqual([]);
    expect(database.readiness()).toMatchObject({ state: "unavailable", reason: "fenced" });
    await pair.standby.restart();
    // Nobody has to call for that.
    await eventually(() => database.readiness().state === "ready", { timeoutMs: 10_000 });
    expect(await insert(subject, 5)).toMatchObject({ status: 200 });
    expect(await timed(() => database.query("select sneak()"))).toMatchObject({ status: 200 });
    expect(await rows(pair.primary)).toEqual([5, 99]);
  });

  it("FO-03 with all of them seen the one that takes writes is written to", async () => {
    await redis.stop();
    const subject = open([pair.primary, pair.standby]);
    expect(await insert(subject, 1)).toMatchObject({ status: 200 });
  });
});

describe("servers that are promoted while the fence store is away", () => {
  it("FO-03 of two of one timeline none is written to before the store says which", async () => {
    const pair = await startPostgresPair();
    opened.push(pair);
    const second = await startPostgresStandby(pair.primary, { name: "second" });
    opened.push(second);
    await pair.primary.query("create table t (n int primary key)");
    await pair.caughtUp();
    await pair.primary.kill();
    await Promise.all([pair.standby.promote(), second.promote()]);
    const one = open([pair.standby, second], {}, await redisStoreThatAnswers());
    expect(await insert(one, 1)).toMatchObject({ status: 200 });
    await redis.stop();
    const fresh = open([second, pair.standby]);
    expect(await insert(fresh, 2)).toMatchObject({ code: "db_fenced" });
    expect(await timed(() => fresh.database.query("select 1"))).toMatchObject({ status: 200 });
    await redis.restart();
    await eventually(async () => (await insert(fresh, 4)).status === 200, { intervalMs: 50 });
    expect(await rows(second)).toEqual([]);
  });

  it("FO-01 writes resume on the new primary all the same", async () => {
    const pair = await startPostgresPair({ synchronous: true });
    opened.push(pair);
    await pair.primary.query("create table t (n int primary key)");
    const subject = open([pair.primary, pair.standby], {}, await redisStoreThatAnswers());
    expect(await insert(subject, 1)).toMatchObject({ status: 200 });
    await redis.stop();
    await pair.primary.kill();
    await pair.promote();
    await eventually(async () => (await insert(subject, 2)).status === 200, {
      timeoutMs: 10_000,
      intervalMs: 50,
    });
    expect(await rows(pair.standby)).toEqual([1, 2]);
  });
});

const fence = { era: 0, branch: "00000000-0000-0000-0000-000000000000" };

/** A store whose client queues what it is told before it is connected. */
function redisStoreReady(): FenceStore {
  return createRedisFenceStore(redis.client(), { prefix });
}

async function systemOf(server: PostgresServer): Promise<string> {
  const [row] = await server.query<{ id: string }>(
    "select system_identifier::text as id from pg_control_system()",
  );
  return row?.id ?? "";
}
