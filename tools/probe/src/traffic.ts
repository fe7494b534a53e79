import { Pool } from "undici";
import { type Call, rulingOf, wallNow } from "./call.ts";

/** Closed-loop callers behind a round robin over all gateways. */
export interface Traffic {
  /** Every call that has ended. */
  readonly calls: readonly Call[];
  /** What went wrong in calls that ended as `failed`, with how often. */
  readonly failures: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

/** Most calls under way at one gateway: a frozen one cannot hold every caller. */
const PER_GATEWAY = 4;

/** Starts calling. */
export function startTraffic(urls: readonly string[], tool: string, concurrency: number): Traffic {
  const pools = urls.map((url) => new Pool(url, { connections: PER_GATEWAY, pipelining: 1 }));
  const inFlight = urls.map(() => 0);
  const calls: Call[] = [];
  const failures = new Map<string, number>();
  let next = 0;
  let id = 0;
  let running = true;

  const pick = (): number | undefined => {
    for (let tried = 0; tried < urls.length; tried++) {
      const worker = next++ % urls.length;
      if ((inFlight[worker] ?? 0) < PER_GATEWAY) return worker;
    }
    return undefined;
  };
  const callOnce = async (worker: number): Promise<void> => {
    inFlight[worker] = (inFlight[worker] ?? 0) + 1;
    const startedAt = wallNow();
    let ruling: Call["ruling"] = "failed";
    let said: string;
    try {
      const answer = await (pools[worker] as Pool).request({
        method: "POST",
        path: "/mcp/http",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          jsonrpc: "2.0",
          id: ++id,
          method: "tools/call",
          params: { name: tool, arguments: { text: "x" } },
        }),
      });
      const text = await answer.body.text();
      ruling = rulingOf(answer.statusCode, answer.headers["x-ratelimit-limit"], text);
      said = `${answer.statusCode} ${text.slice(0, 160)}`;
    } catch (error) {
      said = error instanceof Error ? error.message : String(error);
    }
    if (!running && ruling === "failed") return;
    if (ruling === "failed") {
      const kind = said.replaceAll(/\d+/g, "#");
      failures.set(kind, (failures.get(kind) ?? 0) + 1);
    }
    inFlight[worker] = (inFlight[worker] ?? 1) - 1;
    calls.push({ worker, startedAt, endedAt: wallNow(), ruling });
  };
  const caller = async () => {
    while (running) {
      const worker = pick();
      if (worker === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
      else await callOnce(worker);
    }
  };
  const callers = Array.from({ length: concurrency }, caller);
  return {
    calls,
    failures,
    async stop() {
      running = false;
      await Promise.all(callers);
      await Promise.all(pools.map((pool) => pool.destroy()));
    },
  };
}
