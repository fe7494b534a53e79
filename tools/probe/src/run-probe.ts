import type { Call } from "./call.ts";
import { startFleet } from "./fleet.ts";
import { type Judgement, judge } from "./judge.ts";
import { type Look, startPoller } from "./poller.ts";
import type { ProbeOptions } from "./probe-options.ts";
import { runSwitches, type Switch } from "./run-switches.ts";
import { busSwitcher, httpSwitcher } from "./switcher.ts";
import { startTraffic } from "./traffic.ts";

/** Everything that a run found. */
export interface ProbeResult {
  readonly options: ProbeOptions;
  readonly switches: readonly (Switch & { readonly judgement: Judgement })[];
  readonly looks: readonly Look[];
  readonly calls: readonly Call[];
  readonly failures: ReadonlyMap<string, number>;
}

/** Told how far a run is. */
export type Progress = (label: string, ratio: number) => void;

/** Starts the fleet, drives traffic, switches, judges, and ends everything. */
export async function runProbe(options: ProbeOptions, onProgress: Progress): Promise<ProbeResult> {
  const count = options.replicas * options.workers;
  const fleet = await startFleet(count, options.startAtOnce, (started) =>
    onProgress(`${started} of ${count} gateways run`, started / count),
  );
  try {
    if (options.suppressPublish) {
      await withClient(fleet.redis.client(), (client) =>
        client.call("ACL", "SETUSER", "default", "-publish"),
      );
    }
    const switcher = options.via === "http" ? httpSwitcher(fleet) : await busSwitcher(fleet);
    const urls = fleet.gateways.map(({ url }) => url);
    const traffic = startTraffic(urls, fleet.tool, options.concurrency);
    const poller = startPoller(fleet.gateways, traffic.calls, options.pollMs);
    try {
      const switches = await runSwitches(options, {
        fleet,
        switcher,
        callCount: () => traffic.calls.length,
        onSwitch: (done, { from, to }) =>
          onProgress(
            `switch ${done}: ${from} → ${to}, ${traffic.calls.length} calls`,
            Math.min(1, traffic.calls.length / options.calls),
          ),
      });
      await poller.stop();
      await traffic.stop();
      const { calls, failures } = traffic;
      const judged = switches.map((change) => ({ ...change, judgement: judge(change, calls) }));
      return { options, switches: judged, looks: poller.looks, calls, failures };
    } finally {
      await poller.stop();
      await traffic.stop();
      await switcher.close();
    }
  } finally {
    await fleet.close();
  }
}

async function withClient<T extends { disconnect(): void }>(client: T, use: (client: T) => Promise<unknown>) {
  try {
    await use(client);
  } finally {
    client.disconnect();
  }
}
