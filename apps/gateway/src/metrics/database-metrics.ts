import type { MetricSample } from "@gatewright/db-resilience";
import type { MetricSource, Sample } from "./counter.ts";

const helps: Readonly<Record<string, readonly [MetricSource["type"], string]>> = {
  db_pool_size: ["gauge", "Connections to the database."],
  db_pool_connections_active: ["gauge", "Connections to the database that are in use."],
  db_query_duration_seconds: ["histogram", "Duration of statements."],
  db_failovers_total: ["counter", "Changes of the server that is written to."],
  db_deadlocks_total: ["counter", "Transactions that the database ended because of a deadlock."],
  db_transaction_retries_total: ["counter", "Transactions that were begun anew."],
  db_outcomes_unknown_total: ["counter", "Transactions of which it was not heard whether they took effect."],
  db_connection_leaks_total: ["counter", "Connections that were held for long."],
  db_fenced_total: ["counter", "Refusals of a server that has been replaced."],
  "db.client.connection.count": ["gauge", "Connections by state."],
  "db.client.connection.max": ["gauge", "Most connections."],
  "db.client.connection.idle.min": ["gauge", "Connections kept when idle."],
  "db.client.connection.idle.max": ["gauge", "Connections kept open."],
  "db.client.connection.pending_requests": ["gauge", "Requests that wait for a connection."],
  "db.client.connection.timeouts": ["counter", "Requests that were refused a connection."],
  "db.client.connection.create_time": ["histogram", "Time to open a connection."],
  "db.client.connection.wait_time": ["histogram", "Time to be given a connection."],
  "db.client.connection.use_time": ["histogram", "Time that connections were held."],
};

const poolName = "db.client.connection.pool.name";

/**
 * The database's metrics: the names of OpenTelemetry's semantic conventions as Prometheus writes them, and `db_*`.
 * Servers are numbered, not named.
 */
export function databaseSources(collect: () => readonly MetricSample[]): MetricSource[] {
  return Object.entries(helps).map(([otel, [type, help]]) => {
    const name = otel.startsWith("db.") ? prometheusName(otel, type) : otel;
    const samples = () => {
      const all = collect();
      const servers = [...new Set(all.flatMap(({ attributes }) => attributes[poolName] ?? []))];
      return all.filter((sample) => sample.name === otel).flatMap((sample) => render(name, sample, servers));
    };
    return { name, help, type, samples };
  });
}

function prometheusName(otel: string, type: MetricSource["type"]): string {
  const unit = type === "histogram" ? "_seconds" : type === "counter" ? "_total" : "";
  return `${otel.replaceAll(".", "_")}${unit}`;
}

function render(name: string, sample: MetricSample, servers: readonly string[]): Sample[] {
  const server = sample.attributes[poolName];
  const state = sample.attributes["db.client.connection.state"];
  const labels = {
    ...(server === undefined ? {} : { server: String(servers.indexOf(server) + 1) }),
    ...(state === undefined ? {} : { state }),
  };
  if (sample.kind !== "histogram") return [{ value: sample.value, labels }];
  const { buckets, count, sum } = sample;
  return [
    ...buckets.map((bucket) => ({
      value: bucket.count,
      labels: { ...labels, le: String(bucket.le) },
      metricName: `${name}_bucket`,
    })),
    { value: count, labels: { ...labels, le: "+Inf" }, metricName: `${name}_bucket` },
    { value: sum, labels, metricName: `${name}_sum` },
    { value: count, labels, metricName: `${name}_count` },
  ];
}
