import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { LiveAnswers, LiveNews, LiveTarget } from "./live-checks.ts";

/** Servers that are asked whether they are alive, until that is stopped. */
export interface LiveWatch {
  /** The answers, in the order of the targets. */
  stop(): Promise<readonly LiveAnswers[]>;
}

/**
 * Asks these servers all the time whether they are alive, in a thread of its own: in this one, which has lines and other
 * requests to serve, an answer would lie about. Resolves when each was asked once.
 */
export async function startLiveWatch(targets: readonly LiveTarget[]): Promise<LiveWatch> {
  const thread = new Worker(new URL("./live-checks.ts", import.meta.url), { workerData: targets });
  await once(thread, "message");
  return {
    async stop() {
      const told = once(thread, "message") as Promise<[LiveNews]>;
      thread.postMessage("stop");
      const [answers] = await told;
      await thread.terminate();
      return answers as readonly LiveAnswers[];
    },
  };
}

/** The slowest of 99 in 100. */
export function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? 0;
}
