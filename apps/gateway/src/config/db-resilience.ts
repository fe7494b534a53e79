import { z } from "zod";

const ms = (fallback: number, min = 0) => z.int().min(min).max(86_400_000).default(fallback);

/** Where the registry lives, and how its database is spoken to. */
export const databaseConfig = z
  .strictObject({
    url: z
      .string()
      .regex(/^(sqlite:|postgres(ql)?:\/\/)/, "has to begin with sqlite: or postgres://")
      .optional()
      .describe(
        "`sqlite:PATH` or `postgres://user:password@host,host/database`; by default registry.db in the data folder.",
      ),
    busyTimeoutMs: z.int().min(0).default(2_000).describe("Wait for another writer of the SQLite file."),
    pollMs: z
      .int()
      .min(50)
      .optional()
      .describe(
        "How often changes of other processes are looked for, in milliseconds; 500 with SQLite, 2 000 with PostgreSQL.",
      ),
    pool: z
      .strictObject({
        size: z.int().min(1).max(1_000).default(5).describe("Connections kept open."),
        overflow: z.int().min(0).max(1_000).default(10).describe("More under load, closed soon after."),
        min: z.int().min(0).max(1_000).default(1).describe("Connections kept when idle."),
        maxWaiting: z.int().min(0).default(200).describe("Requests that may wait for one; more are refused."),
        acquireTimeoutMs: ms(3_000, 1).describe("How long a request waits for a connection."),
        connectTimeoutMs: ms(2_000, 1).describe("Longest attempt to connect."),
        validationTimeoutMs: ms(1_000, 1).describe("Longest wait for a sign of life of a connection."),
        validateIdleAfterMs: ms(500).describe("Connections used more recently are taken as alive."),
        idleTimeoutMs: ms(60_000, 1).describe("Idle connections beyond `min` are closed after this."),
        maxLifetimeMs: ms(1_800_000, 1).describe("Age at which a connection is replaced."),
        leakDetectionMs: ms(0).describe("Connections held for longer are reported; 0 is off."),
      })
      .prefault({})
      .describe("Connections to each PostgreSQL server."),
    statementTimeoutMs: ms(5_000, 1).describe("Longest statement."),
    lockTimeoutMs: ms(0).describe("Longest wait for a lock; 0 leaves it to the statement's."),
    transactionTimeoutMs: ms(30_000, 1).describe("Longest transaction."),
    checkIntervalMs: ms(1_000, 10).describe("How often each server is asked for its state and role."),
    maxReplicaLagMs: ms(5_000).describe("A standby further behind is not read from."),
    pooler: z
      .enum(["none", "transaction"])
      .default("none")
      .describe("`transaction` behind PgBouncer in that mode; changes are then found by the poll alone."),
    onUnknownFence: z
      .enum(["refuse", "allow"])
      .optional()
      .describe(
        "Writes after a start while some servers were not seen: refused by default with Redis, else allowed.",
      ),
  })
  .prefault({});

/** Whether the registry is in PostgreSQL, which replicas on several hosts may share. */
export function usesPostgres({ url }: { readonly url?: string | undefined }): boolean {
  return url !== undefined && !url.startsWith("sqlite:");
}
