import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { type CallRecord, ChaosClient } from "./chaos-client.ts";
import { type ChaosFleet, type OwnerTimes, startChaosFleet } from "./chaos-fleet.ts";
import { type ChaosUpstream, startChaosUpstream } from "./chaos-upstream.ts";
import { type FaultRecord, faultKinds, inflict } from "./fault-plan.ts";
import { judge, type Verdict } from "./judge.ts";

/** A run. */
export interface ChaosOptions {
  readonly clients: number;
  readonly replicas: number;
  /** How long clients call; longer, when `calls` or `rounds` ask for it. */
  readonly seconds: number;
  /** Calls that are made at least. */
  readonly calls: number;
  /** How often each fault is done. */
  readonly rounds: number;
  readonly owners: OwnerTimes;
  /** How long a fault lasts. */
  readonly holdMs: number;
  readonly onProgress?: (label: string, ratio: number) => void;
}

/** A run, judged. */
export interface ChaosRun extends Verdict {
  readonly seconds: number;
  /** How late the timers of this process were at worst: a machine that is too busy shows here. Milliseconds. */
  readonly lagMs: number;
  /** Every call and every fault. */
  readonly records: { readonly calls: readonly CallRecord[]; readonly faults: readonly FaultRecord[] };
}

/** Calls of a session, once all is healed, of which one has to be answered. */
const lastAttempts = 3;

/** Longest time of a call with all its repeats. Milliseconds. */
const callMs = 60_000;

/** Calls through the fleet while it is broken in every way, and compares the answers with what was done. */
export async function runChaos(options: ChaosOptions): Promise<ChaosRun> {
  const upstream = await startChaosUpstream("token-0");
  try {
    const fleet = await startChaosFleet(options.replicas, upstream, options.owners);
    const stop = new AbortController();
    try {
      return await callAndBreak(options, fleet, upstream, stop.signal);
    } finally {
      // Whatever went wrong, no client goes on calling what is gone.
      stop.abort();
      await fleet.close();
    }
  } finally {
    await upstream.close();
  }
}

async function callAndBreak(
  { clients: count, seconds, calls: wanted, rounds, owners, holdMs, onProgress = () => {} }: ChaosOptions,
  fleet: ChaosFleet,
  upstream: ChaosUpstream,
  signal: AbortSignal,
): Promise<ChaosRun> {
  const answerMs = owners.silenceMs + owners.deadAfterMs + 10_000;
  const clients = Array.from({ length: count }, (_, index) => {
    const token = fleet.replicas[0]?.mintToken({ user: `user-${index >> 1}` }) ?? "";
    const url = `${fleet.balancer.url}${fleet.path}`;
    return new ChaosClient({ index, url, token, answerMs, callMs, signal });
  });
  const lag = monitorEventLoopDelay({ resolution: 20 });
  lag.enable();
  const calls: CallRecord[] = [];
  const faults: FaultRecord[] = [];
  const startedMs = performance.now();
  // A fleet that does not recover makes few calls: they are not waited for without end.
  const lastMs = startedMs + 2 * seconds * 1_000 + callMs;
  let done = false;
  const pauseMs = Math.max(10, (seconds * 1_000 * count) / (wanted * 1.2));
  const work = clients.map(async (client) => {
    while (!signal.aborted && (!done || (calls.length < wanted && performance.now() < lastMs))) {
      calls.push(await client.add(1 + Math.floor(Math.random() * 9)));
      await delay(pauseMs * (0.5 + Math.random()));
    }
  });
  const total = rounds * faultKinds.length;
  const gapMs = Math.max(holdMs, (seconds * 1_000) / (total + 1));
  for (let turn = 0; turn < total; turn++) {
    await delay(Math.max(500, startedMs + (turn + 1) * gapMs - performance.now()));
    const kind = faultKinds[turn % faultKinds.length] ?? "upstream killed";
    onProgress(kind, turn / total);
    // Rounds take turns on the replicas.
    const round = Math.floor(turn / faultKinds.length);
    faults.push(await inflict(kind, round, fleet, upstream, clients, holdMs));
  }
  await delay(Math.max(owners.deadAfterMs + 1_000, startedMs + seconds * 1_000 - performance.now()));
  done = true;
  onProgress("the last calls", 1);
  await Promise.all(work);
  const stuck: number[] = [];
  const check = async (client: ChaosClient, index: number) => {
    for (let attempt = 1; attempt <= lastAttempts; attempt++) {
      const call = await client.add(1);
      calls.push(call);
      if (call.outcome === "ok") return;
    }
    stuck.push(index);
  };
  await Promise.all(clients.map(check));
  lag.disable();
  const verdict = judge(calls, upstream.executions, faults, stuck);
  return {
    ...verdict,
    seconds: (performance.now() - startedMs) / 1_000,
    lagMs: lag.max / 1e6,
    records: { calls, faults },
  };
}
