import type { OwnershipStats } from "@gatewright/session-pool/redis";
import { Counter, type MetricSource, type Sample } from "./counter.ts";

/** What happens between replicas. No label names a session or a caller. */
export class ReplicaMetrics {
  readonly #forwards = new Counter(
    "gatewright_forwards_total",
    "Requests handed to the replica that holds their session, by outcome.",
  );
  #stats: (() => OwnershipStats) | undefined;

  /** Counts a forwarded request. */
  forwarded(outcome: string): void {
    this.#forwards.series({ outcome }).value++;
  }

  /** Sets where the figures of ownership come from. */
  watch(stats: () => OwnershipStats): void {
    this.#stats = stats;
  }

  /** All of them; empty without other replicas. */
  sources(): MetricSource[] {
    const of = (
      name: string,
      help: string,
      type: "counter" | "gauge",
      read: (stats: OwnershipStats) => Sample[],
    ) => ({
      name,
      help,
      type,
      samples: () => (this.#stats === undefined ? [] : read(this.#stats())),
    });
    const byLabel = (label: string, counts: Readonly<Record<string, number>>) =>
      Object.entries(counts).map(([key, value]) => ({ value, labels: { [label]: key } }));
    return [
      this.#forwards,
      of("gatewright_sessions_owned", "Sessions of clients that this replica owns.", "gauge", ({ owned }) => [
        { value: owned, labels: {} },
      ]),
      of(
        "gatewright_session_reclaims_total",
        "Attempts to take over a session, by outcome.",
        "counter",
        (stats) => byLabel("outcome", stats.reclaims),
      ),
      of("gatewright_sessions_lost_total", "Sessions that another replica took over.", "counter", (stats) => [
        { value: stats.ownershipsLost, labels: {} },
      ]),
      of(
        "gatewright_envelopes_refused_total",
        "Forwarded requests that were refused, by reason.",
        "counter",
        (stats) => byLabel("reason", stats.envelopesRefused),
      ),
    ];
  }
}
