import { p99, startLiveWatch } from "./live-watch.ts";
import type { Stage } from "./stage.ts";

/** What was seen of the replicas while something was wrong with their database. */
export interface WatchReport {
  /** Slowest of 99 in 100 liveness checks, in milliseconds. */
  readonly liveP99Ms: number;
  /** The same of a bare server in the same time. */
  readonly floorP99Ms: number;
  /** Both without the time in which the server, or the one who asked, was ready to run and had no processor. */
  readonly ownLiveP99Ms: number;
  readonly ownFloorP99Ms: number;
  readonly mcpCalls: number;
  /** Everything that must not be. */
  readonly problems: readonly string[];
}

/** Looks at replicas until it is stopped. */
export interface Watch {
  stop(): Promise<WatchReport>;
}

/** How often a tool is called through each replica. */
const callEveryMs = 200;

/**
 * Asks each replica all the time whether it is alive, and calls a tool through it: both have to go on whatever the
 * database does. Resolves when it has begun.
 */
export async function watchReplicas({ replicas, bare }: Pick<Stage, "replicas" | "bare">): Promise<Watch> {
  const pids = replicas.map(({ gateway }) => gateway.pid);
  const live = await startLiveWatch([
    ...replicas.map(({ name, gateway }) => ({ name, url: `${gateway.url}/health/live`, pid: gateway.pid })),
    { name: "the bare server", url: bare.url, pid: bare.pid },
  ]);
  const problems: string[] = [];
  let calls = 0;
  let stopped = false;
  const calling = replicas.map(async ({ name, callTool }) => {
    while (!stopped) {
      const startedMs = performance.now();
      calls++;
      const served = await callTool(calls).catch((error: unknown) => {
        problems.push(`${name}: an MCP call failed: ${error}`);
        return true;
      });
      if (!served) problems.push(`${name}: an MCP call was not served`);
      const left = callEveryMs - (performance.now() - startedMs);
      if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
    }
  });

  return {
    async stop() {
      stopped = true;
      const answers = await live.stop();
      await Promise.all(calling);
      replicas.forEach(({ name, gateway }, index) => {
        if (!gateway.running || gateway.pid !== pids[index])
          problems.push(`${name}: another process than before`);
        const thrown = /uncaughtException|unhandledRejection|Unhandled|triggerUncaught/.exec(gateway.logs());
        if (thrown !== null) problems.push(`${name}: ${thrown[0]} in its log`);
      });
      const [floor, ofReplicas] = [answers.slice(-1), answers.slice(0, -1)];
      return {
        liveP99Ms: p99(ofReplicas.flatMap(({ ms }) => ms)),
        floorP99Ms: p99(floor.flatMap(({ ms }) => ms)),
        ownLiveP99Ms: p99(ofReplicas.flatMap(({ ownMs }) => ownMs)),
        ownFloorP99Ms: p99(floor.flatMap(({ ownMs }) => ownMs)),
        mcpCalls: calls,
        problems: [...problems, ...answers.flatMap((one) => one.problems)],
      };
    },
  };
}
