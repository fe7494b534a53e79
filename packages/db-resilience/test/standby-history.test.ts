import { appendFile, chown, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  eventually,
  type PostgresPair,
  type PostgresServer,
  startPostgres,
  startPostgresPair,
} from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { createReadSession } from "../src/index.ts";
import { strangeness } from "../src/lineage.ts";
import { type Keep, keepDatabase, type openDatabase, proxyOf, type Subject, test } from "./support.ts";

const ways = [
  { how: "with fencing", fencing: { enabled: true } },
  { how: "without fencing", fencing: { enabled: false } },
] as const;

async function startPair(keep: Keep): Promise<PostgresPair> {
  const pair = keep(await startPostgresPair());
  await pair.primary.query("create table t (n int)");
  await pair.caughtUp();
  return pair;
}

async function open(
  keep: Keep,
  hosts: Parameters<typeof openDatabase>[0],
  options: Parameters<typeof openDatabase>[1] = {},
): Promise<Subject> {
  const subject = keepDatabase(keep, hosts, {
    monitor: { intervalMs: 100 },
    ...options,
    replicas: { answerMs: 5_000, ...options.replicas },
  });
  await subject.database.untilReady();
  await eventually(() => subject.database.stats().hosts.every(({ state }) => state === "up"));
  return subject;
}

/** The number of rows and the server that counted them. */
async function count({ database }: Subject, options: Parameters<Subject["database"]["read"]>[1] = {}) {
  const counting = "select (select count(*)::int from t) as rows, current_setting('port')::int as port";
  const { rows } = await database.read(
    (session) => session.query<{ rows: number; port: number }>(counting),
    options,
  );
  return rows[0];
}
const readsFrom = (subject: Subject, server: PostgresServer) =>
  eventually(async () => (await count(subject, { maxLagMs: 60_000 }))?.port === server.port);

/** The server's stream ends; it goes on as the standby that it is. */
async function cutStream(standby: PostgresServer): Promise<void> {
  await standby.query("alter system set primary_conninfo = ''");
  await standby.query("select pg_reload_conf()");
  await eventually(async () => (await standby.query("select 1 from pg_stat_wal_receiver")).length === 0);
}

/** A server that has ended comes back as a standby, not rewound, with these settings. */
async function returnAsStandby(server: PostgresServer, settings: string): Promise<void> {
  const { uid, gid } = await stat(server.dataDirectory);
  const signal = join(server.dataDirectory, "standby.signal");
  await writeFile(signal, "");
  await chown(signal, uid, gid);
  await appendFile(join(server.dataDirectory, "postgresql.auto.conf"), `\n${settings}\n`);
  await server.restart();
}
const streamFrom = ({ host, port, user, password }: PostgresServer) =>
  `primary_conninfo = 'host=${host} port=${port} user=${user} password=${password}'`;

/** The old primary is further on its timeline than where the new one has left it, and follows it in vain. */
async function fork({ primary, standby }: PostgresPair): Promise<void> {
  await cutStream(standby);
  await primary.query(
    "create table filler as select g, repeat('x', 200) as text from generate_series(1, 20000) g",
  );
  await primary.kill();
  await standby.promote();
  await returnAsStandby(primary, streamFrom(standby));
}

const unproven = ({ events }: Subject) => events.filter(({ type }) => type === "db_standby_unproven");

describe.concurrent.each(ways)("FO-02 reading from standbys after a promotion, $how", ({ fencing }) => {
  test("reads nothing from one that was forked off, however far it is, and tells so once", async ({
    keep,
  }) => {
    const pair = await startPair(keep);
    await fork(pair);
    const subject = await open(keep, [pair.primary, pair.standby], { fencing });
    const session = createReadSession();
    await subject.database.query("insert into t values (42)", [], { session });
    for (let n = 0; n < 5; n++) {
      const fresh = { rows: 1, port: pair.standby.port };
      expect(await count(subject, { session })).toEqual(fresh);
      expect(await count(subject, { session: createReadSession(session.token) })).toEqual(fresh);
      expect(await count(subject, { maxLagMs: 60_000 })).toEqual(fresh);
    }
    await eventually(async () => {
      expect(await count(subject)).toEqual({ rows: 1, port: pair.standby.port });
      return unproven(subject).length > 0;
    });
    expect(unproven(subject)).toEqual([
      { type: "db_standby_unproven", host: `127.0.0.1:${pair.primary.port}`, reason: expect.any(String) },
    ]);
    // How far it is on another history says nothing.
    await eventually(() => subject.database.readiness().lagBytes === undefined);
    for (let n = 0; n < 20; n++) expect((await count(subject))?.port).toBe(pair.standby.port);
    expect(unproven(subject)).toHaveLength(1);
  });

  test("reads nothing from it where the process has seen the whole of it", async ({ keep }) => {
    const pair = await startPair(keep);
    const subject = await open(keep, [pair.primary, pair.standby], { fencing });
    const session = createReadSession();
    await subject.database.query("insert into t values (1)", [], { session });
    await pair.caughtUp();
    await readsFrom(subject, pair.standby);
    await fork(pair);
    await eventually(() => subject.database.readiness().timeline === 2);
    await eventually(() =>
      subject.database.query("insert into t values (2)", [], { session }).then(
        () => true,
        () => false,
      ),
    );
    expect(session.token).toMatch(/@2$/);
    await eventually(() => subject.database.stats().hosts.every(({ state }) => state === "up"));
    for (let n = 0; n < 10; n++)
      expect(await count(subject, { session })).toEqual({ rows: 2, port: pair.standby.port });
  });

  test("reads from the old primary where it came back as a standby that follows", async ({ keep }) => {
    const pair = await startPair(keep);
    await pair.caughtUp();
    await pair.primary.stop();
    await pair.promote();
    await returnAsStandby(pair.primary, streamFrom(pair.standby));
    const subject = await open(keep, [pair.primary, pair.standby], { fencing });
    const session = createReadSession();
    await subject.database.query("insert into t values (42)", [], { session });
    await eventually(async () => {
      const seen = await count(subject, { session });
      expect(seen?.rows).toBe(1);
      return seen?.port === pair.primary.port;
    });
    // While its replay is paused it lags behind, and follows all the same.
    await pair.primary.query("select pg_wal_replay_pause()");
    await subject.database.query("insert into t values (43)", [], { session });
    expect(await count(subject, { session })).toEqual({ rows: 2, port: pair.standby.port });
    expect(await count(subject, { maxLagMs: 60_000 })).toEqual({ rows: 1, port: pair.primary.port });
  });
});

test.concurrent("FO-02 reads nothing from a standby of a copy that is written to apart, though timeline and cluster are the same", async ({
  keep,
}) => {
  const pair = await startPair(keep);
  const copy = keep(await startPostgres());
  await copy.query("create table t (n int)");
  const subject = await open(keep, [copy, pair.standby]);
  const other = await open(keep, [pair.primary, pair.standby]);
  await readsFrom(other, pair.standby);
  await eventually(async () => {
    expect((await count(subject, { maxLagMs: 60_000 }))?.port).toBe(copy.port);
    return unproven(subject).length > 0;
  });
});

it("knows a standby of another cluster, or of a later timeline, by what its monitor hears", () => {
  const lineage = { host: "a:1", systemIdentifier: "7", timeline: 2, branch: "b" };
  const info = { standby: true, readOnly: true, lsn: "0/1", synchronous: false };
  const { branch, ...unfenced } = lineage;
  for (const one of [lineage, unfenced]) {
    expect(strangeness({ ...info, systemIdentifier: "8", timeline: 2 }, one)).toMatch(/another cluster/);
    expect(strangeness({ ...info, systemIdentifier: "7", timeline: 3 }, one)).toMatch(/later timeline/);
    expect(strangeness({ ...info, systemIdentifier: "7", timeline: 2 }, one)).toBeUndefined();
  }
  // The control file lags behind, and the branch tells more.
  expect(strangeness({ ...info, systemIdentifier: "7", timeline: 1 }, lineage)).toBeUndefined();
  expect(strangeness({ ...info, systemIdentifier: "7", timeline: 1 }, unfenced)).toMatch(/not known/);
});

test.concurrent("FO-02 a standby fed by an archive alone is read from once it has what was written on the new timeline", async ({
  keep,
}) => {
  const pair = await startPair(keep);
  await pair.primary.stop();
  await pair.promote();
  const archive = join(pair.standby.dataDirectory, "pg_wal");
  await returnAsStandby(
    pair.primary,
    `primary_conninfo = ''\nprimary_slot_name = ''\nrestore_command = 'cp ${archive}/%f %p'`,
  );
  const subject = await open(keep, [pair.primary, pair.standby]);
  const session = createReadSession();
  await subject.database.query("insert into t values (42)", [], { session });
  await eventually(async () => {
    // A segment is restored as it is at that time; what comes later comes with the next.
    await pair.standby.query("select pg_switch_wal()");
    const seen = await count(subject, { session });
    expect(seen?.rows).toBe(1);
    return seen?.port === pair.primary.port;
  });
  expect(await pair.primary.query("select 1 from pg_stat_wal_receiver")).toEqual([]);
});

test.concurrent("FO-02 a session that has written on a later timeline than that of the server for writes is refused", async ({
  keep,
}) => {
  const pair = await startPair(keep);
  const proxy = keep(await proxyOf(pair.standby));
  const subject = await open(keep, [pair.primary, proxy]);
  await eventually(async () => (await count(subject, { maxLagMs: 60_000 }))?.port === pair.standby.port);
  expect((await count(subject, { session: createReadSession("0/1@1"), maxLagMs: 60_000 }))?.port).toBe(
    pair.standby.port,
  );
  // The process does not see the promotion, while others write on the new timeline.
  proxy.set({ up: { blackhole: true }, down: { blackhole: true } });
  await pair.promote();
  const session = createReadSession();
  const other = await open(keep, [pair.primary, pair.standby]);
  await other.database.query("insert into t values (1)", [], { session });
  expect(session.token).toMatch(/@2$/);
  const late = () => count(subject, { session: createReadSession(session.token) });
  // Asked for its role, the other one is silent at first, and known to be down then.
  const refused = { code: expect.stringMatching(/^db_(fenced|unavailable)$/), retryable: true };
  await expect(late()).rejects.toMatchObject(refused);
  await eventually(() => subject.database.stats().hosts[1]?.state === "down");
  await expect(late()).rejects.toMatchObject({ code: "db_fenced", retryable: true });
  proxy.heal();
  await eventually(() => subject.database.stats().hosts.every(({ state }) => state === "up"));
  expect(await late()).toEqual({ rows: 1, port: pair.standby.port });
});

test.concurrent("FO-02 reads nothing from a standby that was forked off where the options allow none but standbys", async ({
  keep,
}) => {
  const pair = await startPair(keep);
  await fork(pair);
  const subject = await open(keep, [pair.primary, pair.standby], { targetSessionAttrs: "standby" });
  for (const session of [undefined, createReadSession("0/1"), createReadSession("0/1@2")])
    await expect(count(subject, { session })).rejects.toMatchObject({ code: "db_unavailable" });
});
