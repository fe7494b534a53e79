import type { Clock } from "./clock.ts";
import type { LeasedSession } from "./database-session.ts";
import { DatabaseError } from "./errors.ts";
import type { ParsedOptions } from "./options.ts";
import { lockLost } from "./refusals.ts";
import type { SessionProvider } from "./session-provider.ts";
import { sleep } from "./sleep.ts";

const pollMs = 100;
/** How long the server may be silent while the lock is held. */
const silenceMs = 5_000;

/** What holding locks needs. */
export interface AdvisoryLockDeps {
  readonly provider: SessionProvider;
  readonly options: ParsedOptions;
  readonly clock: Clock;
}

/**
 * Runs `work` under an advisory lock named by a text. The lock belongs to an open transaction, so that it ends
 * with the connection whatever happens, behind a pooler too; it is polled for, so that no statement timeout
 * ends the wait. `work` is handed a signal that aborts when the lock is lost, or `signal` aborts.
 *
 * @throws DatabaseError `db_unavailable`, not retryable, when the lock was lost before `work` had ended.
 */
export function withAdvisoryLock<T>(
  deps: AdvisoryLockDeps,
  name: string,
  work: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  return deps.provider.withSession(
    async (session) => {
      await session.query("begin");
      await session.query("set local idle_in_transaction_session_timeout = 0");
      const question = "select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as taken";
      while (!(await session.query<{ taken: boolean }>(question, [name])).rows[0]?.taken) {
        await sleep(deps.clock, pollMs, signal);
      }
      return whileHeld(deps, session, work, signal);
    },
    { signal },
  );
}

async function whileHeld<T>(
  deps: AdvisoryLockDeps,
  session: LeasedSession,
  work: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const held = new AbortController();
  const ended = new AbortController();
  const lose = (error: unknown) => held.abort(lockLost(error));
  const stopListening = session.connection.onEnd(lose);
  void keepAsking(deps, session, held.signal, ended.signal, lose);
  const end = async () => {
    ended.abort();
    // Only a session that answers to the last has held the lock to the last. One that fails in this is not used again.
    await session.connection.query("rollback").catch(lose);
    stopListening();
  };
  let value: T;
  try {
    value = await work(signal ? AbortSignal.any([signal, held.signal]) : held.signal);
  } catch (error) {
    const reason: unknown = held.signal.aborted ? held.signal.reason : error;
    await end();
    throw reason;
  }
  await end();
  held.signal.throwIfAborted();
  return value;
}

/**
 * A line that swallows everything, and the sight of a server that has taken this one's place, are found by asking. The
 * line is asked whatever is known of the server, also when its monitor has given it up.
 */
async function keepAsking(
  { clock, options }: AdvisoryLockDeps,
  session: LeasedSession,
  held: AbortSignal,
  ended: AbortSignal,
  lose: (error: unknown) => void,
): Promise<void> {
  try {
    while (!held.aborted) {
      await sleep(clock, options.monitor.intervalMs, ended, true);
      session.checkAdmission()?.catch((error: unknown) => {
        if (DatabaseError.is(error) && error.code === "db_fenced") lose(error);
      });
      await session.connection.query("select 1", [], { signal: held, timeoutMs: silenceMs });
    }
  } catch (error) {
    if (!ended.aborted) lose(error);
  }
}
