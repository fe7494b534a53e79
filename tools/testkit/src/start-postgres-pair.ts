import { execFile } from "node:child_process";
import { appendFile, chown, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { eventually } from "./eventually.ts";
import { findPostgres } from "./postgres-binaries.ts";
import { type PostgresServer, type StartPostgresOptions, startPostgres } from "./start-postgres.ts";

const run = promisify(execFile);

/** A standby that streams from another server. */
export interface PostgresStandby extends PostgresServer {
  /** Makes it a primary on a new timeline; resolves when it takes writes. */
  promote(): Promise<void>;
}

/** Options of {@link startPostgresStandby}. */
export interface StartPostgresStandbyOptions extends Omit<StartPostgresOptions, "fillData"> {
  /** Name of its replication slot and its application_name; default standby. */
  name?: string;
}

/** Options of {@link startPostgresPair}. */
export interface StartPostgresPairOptions extends Omit<StartPostgresOptions, "fillData"> {
  /** A commit waits until the standby has it (synchronous_standby_names); default false. */
  synchronous?: boolean;
}

/** A primary with one streaming standby. */
export interface PostgresPair {
  readonly primary: PostgresServer;
  readonly standby: PostgresStandby;
  /** Promotes the standby; the primary is left as it is, running or not. */
  promote(): Promise<void>;
  /** Waits until the standby has replayed everything that the primary has written so far. */
  caughtUp(): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a standby of a running server, by an online copy of its data directory and a replication slot. */
export async function startPostgresStandby(
  primary: PostgresServer,
  { name = "standby", ...options }: StartPostgresStandbyOptions = {},
): Promise<PostgresStandby> {
  const backup = await primary.client();
  const standby = await startPostgres({
    ...options,
    fillData: async (data) => {
      await backup.query("select pg_create_physical_replication_slot($1, true)", [name]);
      await backup.query("select pg_backup_start($1, true)", [name]);
      await copyData(primary.dataDirectory, data);
      const stopped = await backup.query<{ labelfile: string }>(
        "select labelfile from pg_backup_stop(false)",
      );
      await writeFile(join(data, "backup_label"), stopped.rows[0]?.labelfile ?? "");
      await writeFile(join(data, "standby.signal"), "");
      await appendFile(join(data, "postgresql.auto.conf"), streamingFrom(primary, name));
      await giveAway(data, ["backup_label", "standby.signal"]);
    },
  });
  await backup.end();
  await eventually(
    async () => {
      const rows = await primary.query("select 1 from pg_stat_replication where application_name = $1", [
        name,
      ]);
      return rows.length === 1;
    },
    { timeoutMs: 10_000 },
  );
  return Object.assign(standby, {
    async promote() {
      await standby.query("select pg_promote(true, 30)");
    },
  });
}

/** Starts a primary and its standby; about 1.5 s. */
export async function startPostgresPair({
  synchronous = false,
  ...options
}: StartPostgresPairOptions = {}): Promise<PostgresPair> {
  const primary = await startPostgres(options);
  const opened: PostgresServer[] = [primary];
  const close = async () => {
    await Promise.all(opened.map((server) => server.close()));
  };
  try {
    const standby = await startPostgresStandby(primary, options);
    opened.push(standby);
    if (synchronous) {
      await primary.query("alter system set synchronous_standby_names = 'standby'");
      await primary.query("select pg_reload_conf()");
      await eventually(async () => {
        const [row] = await primary.query("select sync_state from pg_stat_replication");
        return row?.["sync_state"] === "sync";
      });
    }
    return {
      primary,
      standby,
      promote: () => standby.promote(),
      async caughtUp() {
        const [row] = await primary.query<{ lsn: string }>("select pg_current_wal_lsn()::text as lsn");
        await eventually(async () => {
          const [replayed] = await standby.query<{ done: boolean }>(
            "select pg_last_wal_replay_lsn() >= $1::pg_lsn as done",
            [row?.lsn],
          );
          return replayed?.done === true;
        });
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function copyData(from: string, to: string): Promise<void> {
  // A running server removes files while they are copied; what vanished is in the WAL.
  await run("cp", ["-a", from, to]).catch((error: { stderr?: string }) => {
    const lines = (error.stderr ?? "").split("\n").filter(Boolean);
    if (lines.length === 0 || !lines.every((line) => line.includes("No such file"))) throw error;
  });
  await Promise.all([
    rm(join(to, "postmaster.pid"), { force: true }),
    rm(join(to, "postmaster.opts"), { force: true }),
    run("sh", ["-c", 'rm -rf "$1"/pg_replslot/* "$1"/pg_dynshmem/* "$1"/pg_notify/*', "sh", to]),
  ]);
}

function streamingFrom(primary: PostgresServer, name: string): string {
  const conninfo = `host=${primary.host} port=${primary.port} user=${primary.user} password=${primary.password} application_name=${name}`;
  // The copied file may carry the primary's own synchronous_standby_names, which would block a promoted copy.
  return `\nprimary_conninfo = '${conninfo}'\nprimary_slot_name = '${name}'\nsynchronous_standby_names = ''\n`;
}

async function giveAway(data: string, files: readonly string[]): Promise<void> {
  const { identity } = await findPostgres();
  if (identity) await Promise.all(files.map((file) => chown(join(data, file), identity.uid, identity.gid)));
}
