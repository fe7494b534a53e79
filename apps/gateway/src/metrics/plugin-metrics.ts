import type { HookRecord, PipelineObserver } from "@gatewright/plugin-framework";
import { Counter } from "./counter.ts";
import { Histogram, type HistogramSeries } from "./histogram.ts";

const bounds = [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.1, 1, 10];

/** Time and verdicts of plugins, by plugin and hook. */
export class PluginMetrics {
  readonly duration = new Histogram(
    "gatewright_plugin_duration_seconds",
    "Time of a plugin at a hook.",
    bounds,
  );
  readonly verdicts = new Counter(
    "gatewright_plugin_outcomes_total",
    "How plugins ended at a hook, when not plainly.",
  );
  readonly shadowBlocks = new Counter(
    "gatewright_plugin_shadow_blocks_total",
    "Refusals in mode permissive.",
  );
  readonly #series = new Map<string, Map<string, HistogramSeries>>();

  /** What the pipeline tells. */
  readonly observer: PipelineObserver = {
    record: (record) => this.#record(record),
    shadowBlock: ({ plugin, hook }) => void this.shadowBlocks.series({ plugin, hook }).value++,
  };

  #record(record: HookRecord): void {
    const { plugin, hook, status } = record;
    let hooks = this.#series.get(plugin);
    if (hooks === undefined) {
      hooks = new Map();
      this.#series.set(plugin, hooks);
    }
    let series = hooks.get(hook);
    if (series === undefined) {
      series = this.duration.series({ plugin, hook });
      hooks.set(hook, series);
    }
    series.observe(record.durationNs / 1e9);
    if (status !== "completed") this.verdicts.series({ plugin, hook, status }).value++;
  }
}
