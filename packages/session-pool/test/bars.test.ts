import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { startRawServer } from "@gatewright/mcp-fixtures";
import { createSessionPool } from "@gatewright/session-pool";
import { describe, expect, it } from "vitest";
import { downstreamKey, identityKey } from "./support/keys.ts";
import { McpFactory, rpc } from "./support/mcp-factory.ts";
import { MemoryFactory } from "./support/memory-factory.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

async function heap(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
}

describe("under load", () => {
  it("1 000 waiters on 10 sessions are served first in first out, none is lost, each at once", async () => {
    const pool = createSessionPool({ maxConcurrencyPerSession: 1 }, { factory: new MemoryFactory() });
    const key = identityKey();
    const holders = await Promise.all(Array.from({ length: 10 }, () => pool.acquire(key)));
    const served: number[] = [];
    const handovers: number[] = [];
    let released = 0;
    const waits = Array.from({ length: 1000 }, async (_, i) => {
      const lease = await pool.acquire(key);
      handovers.push(performance.now() - released);
      served.push(i);
      await new Promise((resolve) => setImmediate(resolve));
      released = performance.now();
      lease.release();
    });
    released = performance.now();
    for (const lease of holders) lease.release();
    await Promise.all(waits);
    expect(served).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    handovers.sort((a, b) => a - b);
    expect(handovers[990]).toBeLessThan(250);
    expect(pool.stats()).toMatchObject({ queueDepth: 0, leases: 0, sessions: 10 });
    await pool.close();
  });

  // Slow: it makes 6 000 real calls.
  it("6 000 calls on one session raise no MaxListeners warning and leave the heap flat", {
    timeout: 120_000,
  }, async () => {
    const server = await startRawServer();
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on("warning", note);
    const pool = createSessionPool({}, { factory: new McpFactory(() => server.url) });
    const { signal } = new AbortController();
    const call = () => pool.run(downstreamKey(), (session) => rpc(session, "ping", {}), { signal });
    const calls = async (count: number) => {
      for (let i = 0; i < count / 10; i++) await Promise.all(Array.from({ length: 10 }, call));
    };
    await calls(2000);
    const early = await heap();
    await calls(4000);
    const late = await heap();
    process.off("warning", note);
    expect(warnings).toEqual([]);
    expect(pool.stats()).toMatchObject({ misses: 1, hits: 5999, sessions: 1, leases: 0 });
    expect(late).toBeLessThan(early * 1.05 + 1_000_000);
    await pool.close();
    await server.close();
  });
});
