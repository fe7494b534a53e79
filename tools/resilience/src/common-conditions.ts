import { eventually, type PostgresServer } from "@gatewright/testkit";
import type { Replica } from "./replica.ts";
import type { Stage } from "./stage.ts";
import type { WatchReport } from "./watch.ts";

/** Size and overflow of each replica's pool, and its connections beside the pool: one that watches, one that listens. */
const maxPooled = 15;
const maxOthers = 2;

/** Connections of one replica to a server, by purpose. */
export async function connectionsOf(
  server: PostgresServer,
  { name }: Pick<Replica, "name">,
): Promise<{ readonly pooled: number; readonly others: number }> {
  const [row] = await server.query<{ pooled: number; others: number }>(
    `select count(*) filter (where application_name = $1)::int as pooled,
       count(*) filter (where application_name like $1 || '-%')::int as others from pg_stat_activity`,
    [name],
  );
  return { pooled: row?.pooled ?? 0, others: row?.others ?? 0 };
}

/**
 * What all cases have in common, checked when a fault is over: nothing was said that may not be, liveness and MCP calls
 * went on, nothing is left checked out soon after the load, and no replica holds more connections than it may.
 *
 * @returns what is wrong; nothing when all is well
 */
export async function commonProblems(
  stage: Stage,
  report: WatchReport,
  options: {
    readonly server?: PostgresServer;
    readonly liveMs: number;
    /** How long after the load a connection may still be checked out. */
    readonly restMs: number;
  },
): Promise<string[]> {
  const { server = stage.primary, liveMs, restMs } = options;
  const problems = [...stage.problems.splice(0), ...report.problems];
  if (report.ownLiveP99Ms >= liveMs) {
    const { liveP99Ms, ownLiveP99Ms } = report;
    problems.push(`liveness p99 ${liveP99Ms.toFixed(0)} ms, ${ownLiveP99Ms.toFixed(0)} ms with a processor`);
  }
  if (report.mcpCalls === 0) problems.push("no MCP call was made");
  for (const { name, rest } of stage.replicas) {
    const rested = eventually(
      async () => {
        const { body } = await rest("/admin/database");
        return body.checkedOut === 0 && body.waiting === 0;
      },
      { timeoutMs: restMs },
    );
    await rested.catch(() => problems.push(`${name}: connections are checked out after the load`));
    const { pooled, others } = await connectionsOf(server, { name });
    if (pooled > maxPooled) problems.push(`${name}: ${pooled} pooled connections`);
    if (others > maxOthers) problems.push(`${name}: ${others} connections beside the pool`);
  }
  return [...new Set(problems)];
}
