import { appendFileSync } from "node:fs";
import {
  type Answer,
  commonProblems,
  openStage,
  type Replica,
  type RequestOptions,
  type Stage,
  type StageOptions,
  watchReplicas,
} from "@gatewright/resilience";
import { eventually, type PostgresServer } from "@gatewright/testkit";
import { expect } from "vitest";

/** `npm run resilience` runs the cases with the times of production; in the test run they are shorter. */
export const long = process.env["GATEWRIGHT_RESILIENCE"] === "long";

/** Deadlines of the replicas, and how much later than in time an answer may be seen by a busy machine. */
export const times = long
  ? {
      acquireMs: 3_000,
      statementMs: 5_000,
      slackMs: 100,
      openMs: 50,
      restMs: 2_000,
      liveMs: 50,
      liveFactor: 1.5,
    }
  : {
      ...{ acquireMs: 1_500, statementMs: 2_500, slackMs: 1_000 },
      ...{ openMs: 250, restMs: 10_000, liveMs: 250, liveFactor: 5 },
    };

const short = {
  pool: {
    acquireTimeoutMs: times.acquireMs,
    connectTimeoutMs: times.acquireMs,
    validationTimeoutMs: times.acquireMs / 2,
  },
  statementTimeoutMs: times.statementMs,
  checkIntervalMs: 300,
};

/** Deadlines for stages whose servers are never silent: a busy machine alone does not reach them. */
export const patient = long
  ? {}
  : {
      pool: { acquireTimeoutMs: 5_000, connectTimeoutMs: 10_000, validationTimeoutMs: 10_000 },
      statementTimeoutMs: 20_000,
    };

/** Two replicas over PostgreSQL with the deadlines of {@link times}. */
export function openCaseStage({ database, ...options }: StageOptions = {}): Promise<Stage> {
  const { pool, ...more } = (database ?? {}) as { readonly pool?: object };
  const given = long ? { pool: {} } : short;
  const sizes = { ...given.pool, ...pool };
  return openStage({ ...options, database: { ...given, ...more, pool: sizes } });
}

/** Keeps what a case has measured for the table of `npm run resilience`. */
export function noteFigure(what: string, value: number): void {
  const file = process.env["GATEWRIGHT_RESILIENCE_FIGURES"];
  const test = expect.getState().currentTestName;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ test, what, value })}\n`);
}

/**
 * Runs a case while every replica is watched, then checks what all cases have in common.
 *
 * @param server where connections are counted at the end; the primary by default
 */
export async function underWatch(
  stage: Stage,
  work: () => Promise<void>,
  server: () => PostgresServer = () => stage.primary,
): Promise<void> {
  const watch = await watchReplicas(stage);
  let report: Awaited<ReturnType<typeof watch.stop>>;
  try {
    await work();
  } finally {
    stage.heal();
    report = await watch.stop();
  }
  noteFigure("liveness p99 ms", report.liveP99Ms);
  noteFigure("of a bare server", report.floorP99Ms);
  noteFigure("without waits for a CPU", report.ownLiveP99Ms);
  noteFigure("MCP calls", report.mcpCalls);
  // What a busy machine holds up in other ways than by its processors, it holds up for a bare server too.
  const liveMs = Math.max(times.liveMs, times.liveFactor * report.ownFloorP99Ms);
  const { restMs } = times;
  expect(await commonProblems(stage, report, { server: server(), liveMs, restMs })).toEqual([]);
}

/** The nth replica, from 0, around. */
export function at(stage: Stage, index: number): Replica {
  return stage.replicas[index % stage.replicas.length] as Replica;
}

/**
 * Waits until so many statements of the replicas' pools wait for a lock. It asks on one connection: to open another each
 * time takes a busy machine so long that the statements' own time is over.
 */
export async function waitingForLock(stage: Stage, count = 1, timeoutMs = 10_000): Promise<void> {
  const client = await stage.primary.client();
  const question =
    "select count(*)::int as waiting from pg_stat_activity where application_name ~ '^replica[0-9]$' and wait_event_type = 'Lock'";
  await eventually(async () => (await client.query(question)).rows[0].waiting >= count, {
    timeoutMs,
  }).finally(() => client.end());
}

let count = 0;

/** Makes a virtual server of a new name. */
export function write(
  stage: Stage,
  replica: Replica,
  options: RequestOptions & { name?: string } = {},
): Promise<Answer> {
  const { name = `made-${++count}`, ...more } = options;
  const body = { name, gatewayIds: [stage.upstreamId], names: "prefixed" };
  return replica.rest("/servers", { body, ...more });
}

/** An `Idempotency-Key` that was not used before. */
export function newKey(): Record<string, string> {
  return { "idempotency-key": `key-${process.pid}-${++count}` };
}

/** Status and code of an answer, for comparison. */
export function outcomeOf({ status, body }: Answer): [number, string | undefined] {
  return [status, body?.error?.code];
}

/** Names of the virtual servers in a database that begin so. */
export async function namesIn(server: PostgresServer, prefix: string): Promise<string[]> {
  const rows = await server.query<{ name: string }>(
    "select name from servers where name like $1 order by name",
    [`${prefix}%`],
  );
  return rows.map(({ name }) => name);
}
