import { loadavg } from "node:os";
import type { PostgresServer } from "@gatewright/testkit";
import type { Stage } from "./stage.ts";

/** Why writes do not go on, as far as it can be seen from outside: what replicas say, what their sessions do, the load. */
export async function whatHoldsWrites(stage: Stage, primary: PostgresServer): Promise<string[]> {
  const replicas = stage.replicas.map(async ({ name, rest }) => {
    const { text } = await rest("/admin/database", { timeoutMs: 5_000 }).catch((error) => ({
      text: String(error),
    }));
    return `  ${name}: ${text}`;
  });
  const sessions = primary
    .query<{ line: string }>(
      `select format('%s %s %s %s, %s ms: %s', application_name, pid, state, wait_event,
         (extract(epoch from clock_timestamp() - state_change) * 1000)::int, left(query, 70)) as line
       from pg_stat_activity where application_name like 'replica%' order by application_name, state, pid`,
    )
    .then((rows) => rows.map(({ line }) => `  session ${line}`))
    .catch((error) => [`  the primary: ${error}`]);
  const load = loadavg().map((value) => value.toFixed(1));
  return [...(await Promise.all(replicas)), ...(await sessions), `  load ${load.join(" ")}`];
}
