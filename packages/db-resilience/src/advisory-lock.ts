import type { Clock } from "./clock.ts";
import type { SessionProvider } from "./session-provider.ts";
import { sleep } from "./sleep.ts";

const pollMs = 100;

/**
 * Runs `work` under an advisory lock named by a text. The lock belongs to an open transaction, so that it ends
 * with the connection whatever happens, behind a pooler too; it is polled for, so that no statement timeout
 * ends the wait.
 */
export function withAdvisoryLock<T>(
  provider: SessionProvider,
  clock: Clock,
  name: string,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  return provider.withSession(
    async (session) => {
      await session.query("begin");
      await session.query("set local idle_in_transaction_session_timeout = 0");
      const question = "select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as taken";
      while (!(await session.query<{ taken: boolean }>(question, [name])).rows[0]?.taken) {
        await sleep(clock, pollMs, signal);
      }
      try {
        return await work();
      } finally {
        await session.connection.query("rollback").catch(() => {}); // A connection that fails in this is not used again.
      }
    },
    { signal },
  );
}
