import { setTimeout as delay } from "node:timers/promises";
import { type CallRecord, ChaosClient } from "./chaos-client.ts";
import { type OwnerTimes, startChaosFleet } from "./chaos-fleet.ts";
import { startChaosUpstream } from "./chaos-upstream.ts";
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
  /** Every call and every fault. */
  readonly records: { readonly calls: readonly CallRecord[]; readonly faults: readonly FaultRecord[] };
}

/** Calls of a session, once all is healed, of which one has to be answered. */
const lastAttempts = 3;

/** Calls through the fleet while it is broken in every way, and compares the answers with what was done. */
export async function runChaos(options: ChaosOptions): Promise<ChaosRun> {
  const { clients: count, seconds, calls: wanted, rounds, owners, holdMs, onProgress = () => {} } = options;
  const upstream = await startChaosUpstream("token-0");
  const fleet = await startChaosFleet(options.replicas, upstream, owners).catch(async (error) => {
    await upstream.close();
    throw error;
  });
  try {
    const answerMs = owners.silenceMs + owners.deadAfterMs + 10_000;
    const clients = Array.from({ length: count }, (_, index) => {
      const token = fleet.replicas[0]?.mintToken({ user: `user-${index >> 1}` }) ?? "";
      return new ChaosClient({
        index,
        url: `${fleet.balancer.url}${fleet.path}`,
        token,
        answerMs,
        callMs: 60_000,
      });
    });
    const calls: CallRecord[] = [];
    const faults: FaultRecord[] = [];
    const startedMs = performance.now();
    let done = false;
    const pauseMs = Math.max(10, (seconds * 1_000 * count) / (wanted * 1.2));
    const work = clients.map(async (client) => {
      while (!done || calls.length < wanted) {
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
      faults.push(await inflict(kind, Math.floor(turn / faultKinds.length), fleet, upstream, holdMs));
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
    const verdict = judge(calls, upstream.executions, faults, stuck);
    return { ...verdict, seconds: (performance.now() - startedMs) / 1_000, records: { calls, faults } };
  } finally {
    await fleet.close();
    await upstream.close();
  }
}
