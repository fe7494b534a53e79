import type { LeasedSession, SessionStatementOptions } from "./database-session.ts";
import { timelineWrittenTo } from "./host-info.ts";
import { isLater, walPosition } from "./lsn.ts";

/**
 * What one user has written, as a position in the write-ahead log: reads with it see at least that. Give it to
 * writes and reads alike; carry `token` to the next request.
 */
export interface ReadSession {
  /** Position of the last write and its timeline, `""` before the first; `"primary"` when it could not be learnt. */
  readonly token: string;
  /** Notes a write; earlier positions are ignored. */
  noteWrite(token: string): void;
}

/** The token of a session whose last write's position is not known: it reads from the primary. */
export const primaryOnly = "primary";

/** Begins a session, or goes on with the token of an earlier one; an unreadable token reads from the primary. */
export function createReadSession(token = ""): ReadSession {
  let current = token === "" || walPosition(token).value > 0n ? token : primaryOnly;
  return {
    get token() {
      return current;
    },
    noteWrite(written) {
      if (written === primaryOnly || current === primaryOnly) current = primaryOnly;
      else if (current === "" || isLater(walPosition(written), walPosition(current))) current = written;
    },
  };
}

/** Runs `work` and notes in `reader`, if there is one, how far the server has written by then. */
export async function notingWrites<T>(
  session: LeasedSession,
  reader: ReadSession | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (!reader) return work();
  try {
    return await work();
  } finally {
    // After a failure too: what failed in the end may have written before.
    await notePosition(session, reader);
  }
}

/** Asks for the position written to; when that fails, the session reads from the primary from now on. */
export async function notePosition(
  session: LeasedSession,
  reader: ReadSession,
  options: SessionStatementOptions = {},
): Promise<void> {
  const question = `select pg_current_wal_insert_lsn()::text as lsn, ${timelineWrittenTo} as timeline`;
  try {
    const { rows } = await session.query<{ lsn: string; timeline: number }>(question, [], options);
    reader.noteWrite(rows[0] ? `${rows[0].lsn}@${rows[0].timeline}` : primaryOnly);
  } catch {
    reader.noteWrite(primaryOnly);
  }
}
