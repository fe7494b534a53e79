import { keepingAgent, send } from "./one-request.ts";
import type { Stage } from "./stage.ts";

/** What was seen of the replicas while something was wrong with their database. */
export interface WatchReport {
  /** Slowest of 99 in 100 liveness checks, in milliseconds. */
  readonly liveP99Ms: number;
  /** The same of a bare server in the same time. */
  readonly floorP99Ms: number;
  readonly liveChecks: number;
  readonly mcpCalls: number;
  /** Everything that must not be. */
  readonly problems: readonly string[];
}

/** Looks at replicas until it is stopped. */
export interface Watch {
  stop(): Promise<WatchReport>;
}

/** How often a replica is asked whether it lives, and called. */
const liveEveryMs = 25;
const callEveryMs = 200;

/** Asks each replica all the time whether it is alive, and calls a tool through it: both have to go on whatever the database does. */
export function watchReplicas({ replicas, bare }: Pick<Stage, "replicas" | "bare">): Watch {
  const pids = replicas.map(({ gateway }) => gateway.pid);
  const latencies: number[] = [];
  const floor: number[] = [];
  const problems: string[] = [];
  let calls = 0;
  let stopped = false;

  const every = async (ms: number, look: () => Promise<void>) => {
    while (!stopped) {
      const startedMs = performance.now();
      await look();
      const left = ms - (performance.now() - startedMs);
      if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
    }
  };
  const probes = replicas.flatMap(({ name, gateway, callTool }) => {
    const agent = keepingAgent();
    const live = every(liveEveryMs, async () => {
      try {
        const { status, ms } = await send(`${gateway.url}/health/live`, { agent, timeoutMs: 5_000 });
        latencies.push(ms);
        if (status !== 200) problems.push(`${name}: liveness ${status}`);
      } catch (error) {
        problems.push(`${name}: no liveness: ${error}`);
      }
    });
    const mcp = every(callEveryMs, async () => {
      calls++;
      const served = await callTool(calls).catch((error: unknown) => {
        problems.push(`${name}: an MCP call failed: ${error}`);
        return true;
      });
      if (!served) problems.push(`${name}: an MCP call was not served`);
    });
    return [live, mcp];
  });
  const bareAgent = keepingAgent();
  probes.push(
    every(liveEveryMs, async () => {
      const { ms } = await send(bare.url, { agent: bareAgent, timeoutMs: 5_000 });
      floor.push(ms);
    }),
  );

  return {
    async stop() {
      stopped = true;
      await Promise.all(probes);
      replicas.forEach(({ name, gateway }, index) => {
        if (!gateway.running || gateway.pid !== pids[index])
          problems.push(`${name}: another process than before`);
        const thrown = /uncaughtException|unhandledRejection|Unhandled|triggerUncaught/.exec(gateway.logs());
        if (thrown !== null) problems.push(`${name}: ${thrown[0]} in its log`);
      });
      const liveP99Ms = p99(latencies);
      return {
        liveP99Ms,
        floorP99Ms: p99(floor),
        liveChecks: latencies.length,
        mcpCalls: calls,
        problems,
      };
    },
  };
}

function p99(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.floor(values.length * 0.99)] ?? 0;
}
