import { randomUUID } from "node:crypto";
import type { Clock } from "./clock.ts";
import type { LeasedSession, SessionStatementOptions } from "./database-session.ts";
import { DatabaseError } from "./errors.ts";
import { type ParsedOptions, statementDeadlineMs } from "./options.ts";
import type { SessionProvider } from "./session-provider.ts";
import { sleep } from "./sleep.ts";
import { ensureTable } from "./tables.ts";

/** How a transaction ended, if that could be found out. */
export type SettledOutcome = "committed" | "aborted" | "unknown";

/** Leaves markers in transactions and reads them when a COMMIT went unanswered. */
export interface OutcomeSettler {
  /** Makes sure that the table for markers exists; to be called before the transaction's connection is taken. */
  prepare(): Promise<void>;
  /** Inserts a marker into the open transaction and returns its id. */
  leaveMarker(session: LeasedSession, options?: SessionStatementOptions): Promise<string>;
  /**
   * Looks for the marker once the old backend is gone: present is committed, absent is not. `unknown` when no
   * writable server could be asked in time. The old backend is ended if it is still at work.
   */
  settle(marker: string, limits: SettleLimits): Promise<SettledOutcome>;
}

/** How long an outcome is looked for. */
export interface SettleLimits {
  /** What is left of the transaction's own deadline. */
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Pause between two looks. */
const pauseMs = 100;
/** Markers are needed for seconds; after this long they are removed. */
const keepMarkers = "1 hour";
/** How often, in markers, old ones are looked for. */
const pruneEvery = 500;

/** Creates the settler; its table `gatewright_tx` is made when first needed. */
export function createOutcomeSettler(
  provider: SessionProvider,
  options: ParsedOptions,
  clock: Clock,
): OutcomeSettler {
  const { settleMs } = options.transactions;
  const usualMs = statementDeadlineMs(options) || settleMs;
  let tableExists: Promise<void> | undefined;
  let left = 0;
  const backends = new Map<string, Backend>();

  const prepare = () => {
    tableExists ??= provider
      .withSession((session) => ensureTable(session, "gatewright_tx"), { idempotent: true })
      .catch((error: unknown) => {
        tableExists = undefined;
        throw error;
      });
    return tableExists;
  };

  return {
    prepare,

    async leaveMarker(session, options) {
      const id = randomUUID();
      if (++left % pruneEvery === 0) {
        const old = `delete from gatewright_tx where created_at < now() - interval '${keepMarkers}'`;
        await session.query(old, [], options);
      }
      const { rows } = await session.query<{ pid: number; start: string }>(
        `insert into gatewright_tx (id, pid, backend_start)
         select $1, pid, backend_start from pg_stat_activity where pid = pg_backend_pid()
         returning pid, backend_start::text as start`,
        [id],
        options,
      );
      const row = rows[0];
      if (row) backends.set(id, row);
      // Transactions that ended well leave their entry behind; the newest thousand are plenty.
      const oldest = backends.keys().next().value;
      if (backends.size > 1_000 && oldest !== undefined) backends.delete(oldest);
      return id;
    },

    async settle(marker, { withinMs, signal }) {
      const backend = backends.get(marker);
      backends.delete(marker);
      const deadline = clock.monotonic() + Math.min(settleMs, withinMs);
      while (backend && clock.monotonic() < deadline) {
        try {
          const left = () => Math.max(1, deadline - clock.monotonic());
          const limit = () => ({ timeoutMs: Math.min(usualMs, left()) });
          const found = await provider.withSession((session) => look(session, marker, backend, limit), {
            signal,
            acquireTimeoutMs: left(),
          });
          if (found) return found;
          await sleep(clock, pauseMs, signal);
        } catch (error) {
          if (!DatabaseError.is(error) || signal?.aborted) return "unknown";
          if (!error.retryable && error.class !== "unknown_outcome") return "unknown";
          await sleep(clock, pauseMs, signal).catch(() => {});
        }
      }
      return "unknown";
    },
  };
}

interface Backend {
  readonly pid: number;
  readonly start: string;
}

/** undefined while the old backend may still commit. */
async function look(
  session: LeasedSession,
  marker: string,
  backend: Backend,
  limit: () => SessionStatementOptions,
): Promise<SettledOutcome | undefined> {
  const { rows: alive } = await session.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and backend_start = $2::timestamptz`,
    [backend.pid, backend.start],
    limit(),
  );
  if (alive.length > 0) return undefined;
  // A commit that was cut off while it waited for its standby is there and may yet be lost with this server: a change
  // of the row is confirmed only when what came before it is.
  const confirm = "update gatewright_tx set created_at = now() where id = $1";
  const { rowCount } = await session.query(confirm, [marker], limit());
  return rowCount === 1 ? "committed" : "aborted";
}
