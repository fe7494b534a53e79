import { Histogram, type HistogramValue } from "./histogram.ts";
import type { DatabaseEvent, DatabaseObserver } from "./observer.ts";
import type { DatabaseStats } from "./resilient-database.ts";

/** One measured value, ready for Prometheus or OpenTelemetry. */
export type MetricSample = {
  /** `db.client.connection.*` as in OpenTelemetry's semantic conventions, or `db_*`. Times are in seconds. */
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
} & (
  | { readonly kind: "gauge" | "counter"; readonly value: number }
  | ({ readonly kind: "histogram" } & HistogramValue)
);

/** Collects what a database reports. */
export interface DatabaseMetrics {
  /** Pass it as `observer` when the database is created. */
  readonly observer: DatabaseObserver;
  /** All samples as of now. */
  collect(stats: DatabaseStats): MetricSample[];
}

const counted: Partial<Record<DatabaseEvent["type"], string>> = {
  db_failover: "db_failovers_total",
  db_deadlock: "db_deadlocks_total",
  db_transaction_retry: "db_transaction_retries_total",
  db_outcome_unknown: "db_outcomes_unknown_total",
  db_leak: "db_connection_leaks_total",
  db_fenced: "db_fenced_total",
};

const semantic = "db.client.connection";

/**
 * Creates the metrics of one database.
 *
 * @param next another observer that receives everything too.
 */
export function createDatabaseMetrics(next: DatabaseObserver = {}): DatabaseMetrics {
  const counters = new Map<string, number>(Object.values(counted).map((name) => [name, 0]));
  const created = new Histogram();
  const waited = new Histogram();
  const used = new Histogram();
  const queries = new Histogram();

  return {
    observer: {
      event(event) {
        const name = counted[event.type];
        if (name) counters.set(name, (counters.get(name) ?? 0) + 1);
        next.event?.(event);
      },
      query(measured) {
        queries.observe(measured.durationMs / 1000);
        next.query?.(measured);
      },
      acquired(measured) {
        waited.observe(measured.waitMs / 1000);
        next.acquired?.(measured);
      },
      released(measured) {
        used.observe(measured.useMs / 1000);
        next.released?.(measured);
      },
      connected(measured) {
        created.observe(measured.durationMs / 1000);
        next.connected?.(measured);
      },
    },
    collect(stats) {
      const samples = stats.hosts.flatMap((host): MetricSample[] => {
        const pool = { [`${semantic}.pool.name`]: host.host };
        const gauge = (name: string, value: number, attributes = {}): MetricSample => ({
          name,
          kind: "gauge",
          value,
          attributes: { ...pool, ...attributes },
        });
        return [
          gauge(`${semantic}.count`, host.checkedOut, { [`${semantic}.state`]: "used" }),
          gauge(`${semantic}.count`, host.idle, { [`${semantic}.state`]: "idle" }),
          gauge(`${semantic}.max`, host.max),
          gauge(`${semantic}.idle.min`, host.min),
          gauge(`${semantic}.idle.max`, host.size),
          gauge(`${semantic}.pending_requests`, host.waiting),
          { name: `${semantic}.timeouts`, kind: "counter", value: host.exhausted, attributes: pool },
          gauge("db_pool_size", host.checkedOut + host.idle),
          gauge("db_pool_connections_active", host.checkedOut),
        ];
      });
      const histogram = (name: string, value: Histogram): MetricSample => ({
        name,
        kind: "histogram",
        attributes: {},
        ...value.read(),
      });
      return [
        ...samples,
        ...[...counters].map(
          ([name, value]): MetricSample => ({ name, kind: "counter", value, attributes: {} }),
        ),
        histogram(`${semantic}.create_time`, created),
        histogram(`${semantic}.wait_time`, waited),
        histogram(`${semantic}.use_time`, used),
        histogram("db_query_duration_seconds", queries),
      ];
    },
  };
}
