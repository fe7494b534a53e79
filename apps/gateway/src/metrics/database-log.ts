import type { DatabaseEvent, DatabaseObserver } from "@gatewright/db-resilience";
import type { Logger } from "pino";

const levels: Readonly<Record<DatabaseEvent["type"], "debug" | "info" | "warn">> = {
  db_state: "warn",
  db_pool_exhausted: "warn",
  db_deadlock: "warn",
  db_failover: "warn",
  db_tail_may_be_lost: "warn",
  db_standby_unproven: "warn",
  db_fenced: "warn",
  db_outcome_unknown: "warn",
  db_leak: "warn",
  db_transaction_retry: "info",
  db_generation: "info",
  db_connection_closed: "debug",
};

/** Events of these kinds come with every request while something is wrong; one a second is logged. */
const frequent: ReadonlySet<DatabaseEvent["type"]> = new Set(["db_pool_exhausted", "db_fenced"]);
const quietMs = 1_000;

/** Logs what the database reports, as `event`; a line that stands for others says how many were not logged. */
export function createDatabaseLog(
  logger: Logger,
  now: () => number = () => performance.now(),
): DatabaseObserver {
  const quiet = new Map<DatabaseEvent["type"], { readonly untilMs: number; unsaid: number }>();
  return {
    event({ type, ...facts }) {
      const before = quiet.get(type);
      if (before !== undefined && now() < before.untilMs) {
        before.unsaid++;
        return;
      }
      if (frequent.has(type)) quiet.set(type, { untilMs: now() + quietMs, unsaid: 0 });
      const unsaid = before === undefined || before.unsaid === 0 ? {} : { unsaid: before.unsaid };
      const level = "state" in facts && facts.state === "up" ? "info" : levels[type];
      logger[level]({ event: type, ...facts, ...unsaid }, "database");
    },
  };
}
