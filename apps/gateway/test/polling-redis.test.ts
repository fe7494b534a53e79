import { eventually, startRedis } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { startCountedUpstream } from "./support/counted-upstream.ts";
import { startTestGateway } from "./support/test-gateway.ts";

it("says once that Redis is away from the classification and once that it is back, and goes on polling", async () => {
  await using redis = await startRedis();
  await using upstream = await startCountedUpstream();
  await using gateway = await startTestGateway({
    redis: { url: redis.url },
    mcpServers: { one: { url: upstream.url } },
    classifier: {
      ...{ refreshIntervalSeconds: 1, multipliers: { cold: 1 }, jitter: 0, spread: false },
      // Patient, so that a busy machine is not taken for an outage.
      ...{ cycleMs: 100, leaseMs: 6_000, heartbeatMs: 2_000, errorBackoffMs: 100 },
    },
  });
  await gateway.core.refresher.ready();
  const shown = async () => (await gateway.rest("GET", "/admin/classification")).body;
  await eventually(async () => (await shown()).items[0]?.tier === "cold", { timeoutMs: 10_000 });
  expect(await shown()).toMatchObject({ shared: true, leader: true });
  const said = (words: string) =>
    gateway.logs.filter((line) => JSON.parse(line).level >= 30 && line.includes(words)).length;
  await redis.stop();
  const stopped = upstream.times("tools/list").length;
  await eventually(() => upstream.times("tools/list").length >= stopped + 2, { timeoutMs: 15_000 });
  expect((await shown()).items[0].tier).toBe("cold");
  expect(said("the shared classification cannot be reached")).toBe(1);
  await redis.restart();
  await eventually(() => said("the shared classification works again") === 1, { timeoutMs: 15_000 });
  await eventually(async () => (await shown()).leader, { timeoutMs: 10_000 });
});
