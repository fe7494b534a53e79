import { readdir } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fixtureCommand, startFixtureProcess } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { descendants } from "./support/processes.ts";
import { openSession } from "./support/replica-set.ts";
import { startTestGateway } from "./support/test-gateway.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Most growth of the heap over 3 000 calls and 50 refresh cycles: 700 bytes a call would be seen. */
const heapBytes = 2_000_000;

/** What must not grow. */
async function held() {
  collect();
  collect();
  const resources = process.getActiveResourcesInfo();
  return {
    heap: process.memoryUsage().heapUsed,
    timers: resources.filter((kind) => kind === "Timeout" || kind === "Immediate").length,
    files: (await readdir("/proc/self/fd")).length,
    children: (await descendants(process.pid, "counter-stdio")).length,
  };
}

// Slow: it makes 6 000 calls and lists two upstreams 100 times, one of them a program.
it("6 000 calls on a reused session and 100 refresh cycles leave files, children, timers and heap as they were", {
  timeout: 180_000,
}, async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error) => warnings.push(`${warning.name}: ${warning.message}`);
  process.on("warning", onWarning);
  // In a process of its own, with a ledger that grows.
  await using counter = await startFixtureProcess("counter");
  await using gateway = await startTestGateway({
    classifier: { enabled: false, refreshIntervalSeconds: 86_400 },
    observability: { logLevel: "warn", processMetrics: false },
    mcpServers: {
      counter: { url: counter.url },
      program: { ...fixtureCommand("counter-stdio"), child: "shared" },
    },
  });
  await gateway.core.refresher.ready();
  const [http, program] = [await gateway.idOf("counter"), await gateway.idOf("program")];
  const session = await openSession(gateway, `/servers/${http}/mcp`);
  let calls = 0;
  const call = async (count: number) => {
    for (let round = 0; round < count; round += 10) {
      await Promise.all(Array.from({ length: 10 }, () => session.tool(gateway, "add", { amount: 1 })));
      calls += 10;
    }
  };
  const refresh = async (count: number) => {
    for (let round = 0; round < count; round++) {
      const refreshed = [http, program].map((id) => gateway.rest("POST", `/gateways/${id}/refresh`));
      expect((await Promise.all(refreshed)).map(({ status }) => status)).toEqual([200, 200]);
      gateway.logs.length = 0;
    }
  };
  await call(1_000);
  await refresh(10);
  const before = await held();
  await call(3_000);
  await refresh(50);
  const halfway = await held();
  await call(3_000);
  await refresh(50);
  expect(await session.tool(gateway, "read")).toMatchObject({ value: calls });
  // Connections that nobody uses any more need a moment to be closed.
  const after = await eventually(
    async () => {
      const now = await held();
      expect(now.children).toBe(before.children);
      expect(now.files).toBeLessThanOrEqual(before.files + 5);
      expect(now.timers).toBeLessThanOrEqual(before.timers + 5);
      return now;
    },
    { timeoutMs: 20_000, intervalMs: 500 },
  );
  // What a call left behind would be there three thousand times; code that is still being compiled is not.
  const grown = after.heap - halfway.heap;
  expect(grown, `heap grew by ${grown} bytes`).toBeLessThan(heapBytes);
  expect(gateway.core.pool.stats()).toMatchObject({ leases: 0, queueDepth: 0 });
  const { perServer } = gateway.core.pool.stats();
  expect(perServer.find(({ serverId }) => serverId === http)?.sessions).toBe(1);
  expect(warnings.filter((text) => text.includes("MaxListeners"))).toEqual([]);
  process.off("warning", onWarning);
});
