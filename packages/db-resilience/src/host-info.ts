import type { PooledConnection } from "./pooled-connection.ts";

/** What a server says of itself. */
export interface HostInfo {
  /** In recovery: a standby. */
  readonly standby: boolean;
  /** New transactions are read-only, as on every standby. */
  readonly readOnly: boolean;
  /** Identifies the cluster that all copies descend from; null where it may not be asked. */
  readonly systemIdentifier: string | null;
  /** The timeline written to, or, on a standby, the last one that it is known to follow; it may be further. */
  readonly timeline: number;
  /** Position written to, or, on a standby, replayed. */
  readonly lsn: string;
  /** Commits wait for a standby (synchronous_standby_names is set). */
  readonly synchronous: boolean;
}

/**
 * The timeline of a primary: it is in the name of its WAL file, first eight hexadecimal digits; `pg_control_checkpoint`
 * lags behind a promotion.
 */
export const timelineWrittenTo = "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";

/**
 * The last timeline that a standby is known to follow. The control file lags behind what is replayed until pages are
 * flushed (`pg_control_recovery`) or a checkpoint is replayed (`pg_control_checkpoint`); the WAL receiver is exact, but
 * there is none with an archive alone, and only members of `pg_read_all_stats` are shown more than its existence.
 */
export const timelineFollowed = `greatest((select timeline_id from pg_control_checkpoint()),
  (select min_recovery_end_timeline from pg_control_recovery()),
  (select received_tli from pg_stat_wal_receiver))`;

const question = `
select pg_is_in_recovery() as standby,
  current_setting('transaction_read_only') = 'on' as read_only,
  case when pg_is_in_recovery() then ${timelineFollowed}
    else ${timelineWrittenTo} end as timeline,
  (case when pg_is_in_recovery() then coalesce(pg_last_wal_replay_lsn(), '0/0') else pg_current_wal_lsn() end)::text as lsn,
  current_setting('synchronous_standby_names') <> '' as synchronous,
  (select system_identifier::text from pg_control_system()) as system_identifier`;

/**
 * Asks a server for its role, timeline and position.
 *
 * @throws DatabaseError as `query` does.
 */
export async function askHost(connection: PooledConnection, timeoutMs: number): Promise<HostInfo> {
  const { rows } = await connection.query<Record<string, unknown>>(question, undefined, { timeoutMs });
  const row = rows[0] ?? {};
  return {
    standby: row["standby"] === true,
    readOnly: row["read_only"] === true,
    systemIdentifier: typeof row["system_identifier"] === "string" ? row["system_identifier"] : null,
    timeline: Number(row["timeline"] ?? 0),
    lsn: String(row["lsn"] ?? "0/0"),
    synchronous: row["synchronous"] === true,
  };
}
