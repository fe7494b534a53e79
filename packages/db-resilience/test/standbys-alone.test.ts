import { eventually, type PostgresPair, startPostgresPair } from "@gatewright/testkit";
import { describe, expect } from "vitest";
import { createReadSession, type ReadSession } from "../src/index.ts";
import { type Keep, keepDatabase, openDatabase, proxyOf, type Subject, test } from "./support.ts";

async function startPair(keep: Keep): Promise<PostgresPair> {
  const pair = keep(await startPostgresPair());
  await pair.primary.query("create table t (n int)");
  await pair.caughtUp();
  return pair;
}

async function open(keep: Keep, ...[hosts, options]: Parameters<typeof openDatabase>): Promise<Subject> {
  const subject = keepDatabase(keep, hosts, {
    monitor: { intervalMs: 100 },
    // A busy machine may be slow to answer, which is not what is tested.
    replicas: { answerMs: 5_000, maxLagMs: 60_000 },
    ...options,
  });
  await subject.database.untilReady();
  await eventually(() => subject.database.stats().hosts.every(({ state }) => state === "up"));
  return subject;
}

/** The number of rows that the session reads. */
async function count({ database }: Subject, session?: ReadSession): Promise<number | undefined> {
  const { rows } = await database.read(
    (one) => one.query<{ rows: number }>("select count(*)::int as rows from t"),
    { session },
  );
  return rows[0]?.rows;
}

/** Writes where the standby does not follow, and returns the token of that. */
async function writeUnseen(pair: PostgresPair): Promise<string> {
  await pair.standby.query("select pg_wal_replay_pause()");
  await pair.primary.query("insert into t values (1)");
  const [row] = await pair.primary.query<{ lsn: string }>("select pg_current_wal_insert_lsn()::text as lsn");
  return `${row?.lsn}@1`;
}

const refused = { code: "db_unavailable", httpStatus: 503, retryable: true };

describe.concurrent("reading where there is no primary to go to", () => {
  test.for(["standby", "prefer-standby", "read-only", "any"] as const)(
    "FO-02 with %s and none but standbys, by turns, no session reads older than its own write",
    async (targetSessionAttrs, { keep }) => {
      const pair = await startPair(keep);
      const proxy = keep(await proxyOf(pair.standby));
      const subject = await open(keep, [pair.standby, proxy], { targetSessionAttrs });
      const alone = await open(keep, [pair.standby], { targetSessionAttrs });
      const used = new Set<string>();
      for (let n = 0; n < 4; n++) await subject.database.read(async (session) => void used.add(session.host));
      expect(used.size).toBe(2);
      const token = await writeUnseen(pair);
      for (const one of [subject, alone]) {
        for (let n = 0; n < 3; n++) {
          await expect(count(one, createReadSession(token))).rejects.toMatchObject(refused);
          await expect(count(one, createReadSession("primary"))).rejects.toMatchObject(refused);
          expect(await count(one, createReadSession("0/1"))).toBe(0);
          expect(await count(one)).toBe(0);
        }
      }
      await pair.standby.query("select pg_wal_replay_resume()");
      await pair.caughtUp();
      for (const one of [subject, alone]) {
        expect(await count(one, createReadSession(token))).toBe(1);
        const later = createReadSession(token.replace("@1", "@2"));
        await expect(count(one, later)).rejects.toMatchObject(refused);
      }
    },
  );

  test.for(["standby", "read-only"] as const)(
    "FO-02 with %s a session that the standby is behind for is refused, though the primary is up",
    async (targetSessionAttrs, { keep }) => {
      const pair = await startPair(keep);
      const subject = await open(keep, [pair.primary, pair.standby], { targetSessionAttrs });
      const token = await writeUnseen(pair);
      for (let n = 0; n < 3; n++)
        await expect(count(subject, createReadSession(token))).rejects.toMatchObject(refused);
      expect(await count(subject)).toBe(0);
    },
  );

  test.for(["any", "prefer-standby"] as const)(
    "FO-02 with %s a session that the standby is behind for is refused while the primary is down",
    async (targetSessionAttrs, { keep }) => {
      const pair = await startPair(keep);
      const subject = await open(keep, [pair.primary, pair.standby], { targetSessionAttrs });
      const token = await writeUnseen(pair);
      expect(await count(subject, createReadSession(token))).toBe(1);
      await pair.primary.kill();
      await eventually(() => subject.database.stats().hosts[0]?.state === "down");
      for (let n = 0; n < 3; n++)
        await expect(count(subject, createReadSession(token))).rejects.toMatchObject(refused);
      expect(await count(subject)).toBe(0);
      expect(await count(subject, createReadSession("0/1"))).toBe(0);
    },
  );

  test("waits for hosts that were not asked yet, and for none after close()", async ({ keep }) => {
    const pair = await startPair(keep);
    const subject = keepDatabase(keep, [pair.standby], { targetSessionAttrs: "any" });
    expect(await count(subject, createReadSession("0/1"))).toBe(0);
    const closed = openDatabase([pair.primary, pair.standby], { targetSessionAttrs: "any" });
    await closed.database.close();
    for (const session of [undefined, createReadSession("0/1")])
      await expect(count(closed, session)).rejects.toMatchObject({ code: "db_closed" });
  });
});
