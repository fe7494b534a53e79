import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import type { Lineage } from "./lineage.ts";
import { lsnValue } from "./lsn.ts";

/** Positions that are remembered, one per check. */
const historyLength = 256;

/**
 * How far the server for writes had written at known times: a standby whose stream is cut or paused cannot tell by
 * itself how far it is behind.
 */
export class PrimaryPositions {
  readonly #clock: Clock;
  readonly #history: { readonly atMs: number; readonly position: bigint }[] = [];
  #lineage: Lineage | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be called after each check of a host. */
  note(host: DatabaseHost, lineage: Lineage): void {
    const { info } = host;
    if (!info || info.standby || host.name !== lineage.host || info.timeline !== lineage.timeline) return;
    if (!isOneHistory(this.#lineage, lineage)) this.#history.length = 0;
    this.#lineage = lineage;
    this.#history.push({ atMs: this.#clock.monotonic(), position: lsnValue(info.lsn) });
    if (this.#history.length > historyLength) this.#history.shift();
  }

  /** Whether a position of this history is known. */
  has(lineage: Lineage): boolean {
    return isOneHistory(this.#lineage, lineage);
  }

  /** What a standby has to have replayed to be at most `maxLagMs` behind. */
  needed(maxLagMs: number): bigint {
    const since = this.#clock.monotonic() - maxLagMs;
    const old = this.#history.findLast(({ atMs }) => atMs <= since) ?? this.#history[0];
    return old?.position ?? 0n;
  }
}

function isOneHistory(a: Lineage | undefined, b: Lineage): boolean {
  return a?.timeline === b.timeline && a.branch === b.branch && a.systemIdentifier === b.systemIdentifier;
}
