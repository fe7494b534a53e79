import { eventually, type PostgresPair, startPostgresPair } from "@gatewright/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createReadSession, type ReadSession } from "../src/index.ts";
import { openDatabase, proxyOf, type Subject } from "./support.ts";

let pair: PostgresPair;
const opened: { close(): Promise<unknown> }[] = [];
beforeEach(async () => {
  pair = await startPostgresPair();
  opened.push(pair);
  await pair.primary.query("create table t (n int)");
  await pair.caughtUp();
});
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function open(...[hosts, options]: Parameters<typeof openDatabase>): Promise<Subject> {
  const subject = openDatabase(hosts, {
    monitor: { intervalMs: 100 },
    // A busy machine may be slow to answer, which is not what is tested.
    replicas: { answerMs: 5_000, maxLagMs: 60_000 },
    ...options,
  });
  opened.push({ close: () => subject.database.close({ deadlineMs: 100 }) });
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
async function writeUnseen(): Promise<string> {
  await pair.standby.query("select pg_wal_replay_pause()");
  await pair.primary.query("insert into t values (1)");
  const [row] = await pair.primary.query<{ lsn: string }>("select pg_current_wal_insert_lsn()::text as lsn");
  return `${row?.lsn}@1`;
}

const refused = { code: "db_unavailable", httpStatus: 503, retryable: true };

describe("reading where there is no primary to go to", () => {
  it.each(["standby", "prefer-standby", "read-only", "any"] as const)(
    "FO-02 with %s and none but standbys, by turns, no session reads older than its own write",
    async (targetSessionAttrs) => {
      const proxy = await proxyOf(pair.standby);
      opened.push(proxy);
      const subject = await open([pair.standby, proxy], { targetSessionAttrs });
      const alone = await open([pair.standby], { targetSessionAttrs });
      const used = new Set<string>();
      for (let n = 0; n < 4; n++) await subject.database.read(async (session) => void used.add(session.host));
      expect(used.size).toBe(2);
      const token = await writeUnseen();
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

  it.each(["standby", "read-only"] as const)(
    "FO-02 with %s a session that the standby is behind for is refused, though the primary is up",
    async (targetSessionAttrs) => {
      const subject = await open([pair.primary, pair.standby], { targetSessionAttrs });
      const token = await writeUnseen();
      for (let n = 0; n < 3; n++)
        await expect(count(subject, createReadSession(token))).rejects.toMatchObject(refused);
      expect(await count(subject)).toBe(0);
    },
  );

  it.each(["any", "prefer-standby"] as const)(
    "FO-02 with %s a session that the standby is behind for is refused while the primary is down",
    async (targetSessionAttrs) => {
      const subject = await open([pair.primary, pair.standby], { targetSessionAttrs });
      const token = await writeUnseen();
      expect(await count(subject, createReadSession(token))).toBe(1);
      await pair.primary.kill();
      await eventually(() => subject.database.stats().hosts[0]?.state === "down");
      for (let n = 0; n < 3; n++)
        await expect(count(subject, createReadSession(token))).rejects.toMatchObject(refused);
      expect(await count(subject)).toBe(0);
      expect(await count(subject, createReadSession("0/1"))).toBe(0);
    },
  );

  it("waits for hosts that were not asked yet, and for none after close()", async () => {
    const subject = openDatabase([pair.standby], { targetSessionAttrs: "any" });
    opened.push({ close: () => subject.database.close({ deadlineMs: 100 }) });
    expect(await count(subject, createReadSession("0/1"))).toBe(0);
    const closed = openDatabase([pair.primary, pair.standby], { targetSessionAttrs: "any" });
    await closed.database.close();
    for (const session of [undefined, createReadSession("0/1")])
      await expect(count(closed, session)).rejects.toMatchObject({ code: "db_closed" });
  });
});
