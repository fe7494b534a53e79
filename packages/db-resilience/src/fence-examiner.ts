import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import type { DatabaseError } from "./errors.ts";
import { readBranch, writeBranch } from "./fence-branch.ts";
import type { FenceKnowledge } from "./fence-knowledge.ts";
import { type Fence, isSame } from "./fence-store.ts";
import { replaced, unavailable } from "./refusals.ts";
import { historyOf } from "./writable-host.ts";

/** What the examiner needs. */
export interface FenceExaminerDeps {
  readonly clock: Clock;
  readonly known: FenceKnowledge;
  /** The host may not be written to: makes the error, and tells those who wait for it. */
  refuse(host: DatabaseHost, reason: string): DatabaseError;
}

/** The branch of a server, good for as long as it stays up and on its timeline. */
interface KnownBranch {
  readonly sinceMs: number;
  readonly timeline: number;
  readonly branch: string;
}

/** Finds out the fence of a server, and whether it is the one in force; the server is asked where its branch is not known yet. */
export class FenceExaminer {
  readonly #clock: Clock;
  readonly #known: FenceKnowledge;
  readonly #refuse: FenceExaminerDeps["refuse"];
  readonly #branches = new Map<string, KnownBranch>();

  constructor({ clock, known, refuse }: FenceExaminerDeps) {
    this.#clock = clock;
    this.#known = known;
    this.#refuse = refuse;
  }

  /** The host's fence if it may be written to, and since when that is known. */
  async examine(
    host: DatabaseHost,
    deadlineMs: number,
  ): Promise<{ readonly fence: Fence; readonly askedMs: number }> {
    const { info, state } = host;
    if (!info || state.kind !== "up") throw unavailable("connection");
    const { systemIdentifier, timeline } = historyOf(info);
    const { highest } = this.#known;
    const seen = highest?.timeline ? highest : undefined;
    if (seen && seen.systemIdentifier !== systemIdentifier) throw this.#refuse(host, "it is another cluster");
    if ((seen && timeline < seen.timeline) || this.#known.isOvertaken({ systemIdentifier, timeline }))
      throw this.#refuse(host, replaced);

    const known = this.#branches.get(host.name);
    const branch =
      known && known.sinceMs === state.sinceMs && known.timeline === timeline
        ? known.branch
        : await this.#branchOf(host, timeline, deadlineMs);
    const fence = { era: this.#known.highest?.era ?? 0, systemIdentifier, timeline, branch };
    const askedMs = this.#clock.monotonic();
    await this.#known.raise(fence);
    if (!this.#known.highest || !isSame(this.#known.highest, fence))
      throw this.#refuse(host, "another server of this timeline is in use");
    this.#branches.set(host.name, { sinceMs: state.sinceMs, timeline, branch });
    return { fence, askedMs };
  }

  async #branchOf(host: DatabaseHost, timeline: number, deadlineMs: number): Promise<string> {
    const timeoutMs = Math.max(0, deadlineMs - this.#clock.monotonic());
    const connection = await host.pool.acquire({ timeoutMs });
    try {
      const found = await readBranch(connection, timeline);
      if (found !== undefined) return found;
      // Somebody has begun to write on this timeline elsewhere: this server does not belong to that history.
      const { highest } = this.#known;
      if (highest?.timeline === timeline && highest.branch !== "")
        throw this.#refuse(host, "another server of this timeline is in use");
      if (!connection.takesWrites) await connection.allowWrites(true);
      return await writeBranch(connection, timeline);
    } finally {
      host.pool.release(connection);
    }
  }
}
