import type { SessionPoolObserver, SessionPoolStats } from "@gatewright/session-pool";
import { Counter, type Labels, type MetricSource, type Sample } from "./counter.ts";

/** What happens to upstream sessions. Labels name servers, never callers. */
export class PoolMetrics {
  /** Whether a server is still there: series of those that are gone are dropped. All are, until this is set. */
  isKnown: (serverId: string) => boolean = () => true;
  readonly #keep = (labels: Labels) => this.isKnown(labels["server"] ?? "");
  readonly opened = new Counter("gatewright_sessions_opened_total", "Upstream sessions opened.", this.#keep);
  readonly closed = new Counter(
    "gatewright_sessions_closed_total",
    "Upstream sessions closed, by reason.",
    this.#keep,
  );
  readonly connectFailures = new Counter(
    "gatewright_session_connect_failures_total",
    "Failed connects.",
    this.#keep,
  );
  readonly breakerChanges = new Counter(
    "gatewright_breaker_changes_total",
    "Changes of breakers, by new state.",
    this.#keep,
  );

  readonly #open = new Set<string>();

  /** What the pool tells. */
  readonly observer: SessionPoolObserver = {
    sessionOpened: ({ serverId }) => void this.opened.series({ server: serverId }).value++,
    sessionClosed: ({ serverId, reason }) => void this.closed.series({ server: serverId, reason }).value++,
    connectFailed: ({ serverId, kind }) =>
      void this.connectFailures.series({ server: serverId, kind }).value++,
    breakerChanged: ({ serverId, state }) => {
      this.breakerChanges.series({ server: serverId, state }).value++;
      if (state === "open") this.#open.add(serverId);
      else this.#open.delete(serverId);
    },
  };

  /** Whether the breaker of a server is open. */
  isOpen(serverId: string): boolean {
    return this.#open.has(serverId);
  }

  /** Gauges read from the pool when they are asked for. */
  gauges(stats: () => SessionPoolStats): MetricSource[] {
    const gauge = (name: string, help: string, samples: () => Sample[]): MetricSource => ({
      name,
      help,
      type: "gauge",
      samples,
    });
    return [
      gauge("gatewright_sessions_active", "Upstream sessions open, by server.", () =>
        stats()
          .perServer.filter(({ serverId, sessions }) => sessions > 0 || this.isKnown(serverId))
          .map(({ serverId, sessions }) => ({ value: sessions, labels: { server: serverId } })),
      ),
      gauge("gatewright_session_leases", "Calls that hold an upstream session.", () => [
        { value: stats().leases, labels: {} },
      ]),
      gauge("gatewright_session_queue_depth", "Callers that wait for an upstream session.", () => [
        { value: stats().queueDepth, labels: {} },
      ]),
      gauge("gatewright_session_hit_ratio", "Share of calls that found an open session.", () => [
        { value: stats().hitRate, labels: {} },
      ]),
    ];
  }
}
