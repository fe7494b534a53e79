import { type HostInfo, timelineFollowed } from "./host-info.ts";
import type { HostRouter } from "./host-router.ts";
import type { Statement } from "./query-result.ts";
import { historyOf } from "./writable-host.ts";

/** The history of the server for writes. Positions in the log are comparable within one history only. */
export interface Lineage {
  /** Name of the server for writes. */
  readonly host: string;
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** What the first writer on this timeline has left in `gatewright_fence`; undefined without fencing. */
  readonly branch?: string;
}

/** Without fencing: the history of the server for writes that was seen last. */
export function lineageSeen(router: HostRouter): () => Lineage | undefined {
  let last: Lineage | undefined;
  return () => {
    const primary = router.primary();
    if (primary?.info) last = { host: primary.name, ...historyOf(primary.info) };
    return last;
  };
}

/** Why a standby is of another history, as far as its monitor has heard; undefined where it may be of this one. */
export function strangeness(info: HostInfo, lineage: Lineage): string | undefined {
  const { systemIdentifier, timeline } = historyOf(info);
  if (systemIdentifier !== lineage.systemIdentifier) return "it is of another cluster";
  if (timeline > lineage.timeline) return "it follows a later timeline than the server for writes";
  // With a branch the row tells, and sooner than the control file.
  return lineage.branch === undefined && timeline < lineage.timeline ? notFollowing : undefined;
}

/** Why a standby is not read from that does not show the lineage. */
export const notFollowing = "it is not known to follow the timeline of the server for writes";

/**
 * Asks a standby how far it has replayed (`lsn`), and whether that is in this history (`follows`). A standby that shows
 * the branch has replayed what was written after the promotion, whatever it is fed by; one that was forked off before
 * never will. Without fencing the timelines tell, by what a standby says of itself.
 */
export function positionQuestion({ systemIdentifier, timeline, branch }: Lineage): Statement {
  if (branch !== undefined) {
    return {
      name: "gatewright-position-by-branch",
      text: `select pg_last_wal_replay_lsn()::text as lsn,
        exists (select from gatewright_fence where timeline = $1 and branch = $2) as follows`,
      values: [timeline, branch],
    };
  }
  return {
    name: "gatewright-position-by-timeline",
    text: `select pg_last_wal_replay_lsn()::text as lsn, ${timelineFollowed} = $1 and
      coalesce((select system_identifier::text from pg_control_system()), 'unknown') = $2 as follows`,
    values: [timeline, systemIdentifier],
  };
}

/** The same where no history is known: the standby has to follow this timeline or a later one. */
export function positionFromTimeline(timeline: number): Statement {
  return {
    name: "gatewright-position-from-timeline",
    text: `select pg_last_wal_replay_lsn()::text as lsn, ${timelineFollowed} >= $1 as follows`,
    values: [timeline],
  };
}
