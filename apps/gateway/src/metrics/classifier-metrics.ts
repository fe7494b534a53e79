import type { Classifier, ClassifierObserver, PollType } from "@gatewright/server-classifier";
import { Counter, type MetricSource, type Sample } from "./counter.ts";

/** What classifying and polling upstreams does. No labels of single upstreams: there may be many. */
export class ClassifierMetrics {
  readonly moves = new Counter(
    "gatewright_classifier_moves_total",
    "Upstreams that changed their tier, published by this process; by new tier.",
  );
  readonly cycles = new Counter("gatewright_classifier_cycles_total", "Classification cycles, by role.");
  readonly elections = new Counter(
    "gatewright_classifier_leader_changes_total",
    "Changes of leadership of this process, by what it became.",
  );
  readonly errors = new Counter(
    "gatewright_classifier_errors_total",
    "Cycles, heartbeats and bookings of polls that failed.",
  );
  readonly polls = new Counter("gatewright_polls_total", "Polls made by this process, by type and outcome.");

  /** What the classifier tells. */
  readonly observer: Required<ClassifierObserver> = {
    onCycle: ({ leader }) => void this.cycles.series({ role: leader ? "leader" : "follower" }).value++,
    onMove: ({ from, to }) => {
      if (from !== undefined) this.moves.series({ to }).value++;
    },
    onLeader: ({ leader }) => void this.elections.series({ became: leader ? "leader" : "follower" }).value++,
    onError: () => void this.errors.series({}).value++,
  };

  /** Counts a poll. */
  polled(pollType: PollType, failure: string | undefined): void {
    this.polls.series({ type: pollType, outcome: failure === undefined ? "ok" : "failed" }).value++;
  }

  /** Everything there is, gauges read from the classifier when they are asked for. */
  sources(
    classifier: Classifier,
    states: () => Iterable<{ readonly state: string }>,
  ): readonly MetricSource[] {
    const gauge = (name: string, help: string, samples: () => Sample[]): MetricSource => {
      return { name, help, type: "gauge", samples };
    };
    const one = (value: number): Sample[] => [{ value, labels: {} }];
    return [
      this.moves,
      this.cycles,
      this.elections,
      this.errors,
      this.polls,
      gauge("gatewright_servers", "Upstreams, by tier.", () =>
        Object.entries(classifier.stats().tiers).map(([tier, value]) => ({ value, labels: { tier } })),
      ),
      gauge("gatewright_upstreams", "Upstreams, by state.", () => {
        const counts: Record<string, number> = { unknown: 0, reachable: 0, unreachable: 0 };
        for (const { state } of states()) counts[state] = (counts[state] ?? 0) + 1;
        return Object.entries(counts).map(([state, value]) => ({ value, labels: { state } }));
      }),
      gauge("gatewright_classifier_leader", "1 when this process leads.", () =>
        one(classifier.stats().leader ? 1 : 0),
      ),
      gauge("gatewright_classifier_epoch", "Term of the leader, as far as this process knows.", () =>
        one(classifier.stats().epoch),
      ),
      gauge("gatewright_classifier_lag_seconds", "Age of the classification in use.", () => {
        const { lagMs } = classifier.stats();
        return lagMs === undefined ? [] : one(lagMs / 1_000);
      }),
      gauge("gatewright_polls_saved", "Polls that this process saved against polling all alike.", () =>
        one(classifier.stats().polls.saved),
      ),
      gauge("gatewright_polls_degraded", "Polls decided without the shared store.", () =>
        one(classifier.stats().polls.degraded),
      ),
    ];
  }
}
