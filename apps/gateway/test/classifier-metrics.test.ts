import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { startCountedUpstream } from "./support/counted-upstream.ts";
import { startTestGateway } from "./support/test-gateway.ts";

it("shows tiers, moves, saved polls, leader, epoch and lag as metrics", async () => {
  await using upstream = await startCountedUpstream();
  const names = ["a", "b", "c", "d", "e"];
  await using gateway = await startTestGateway({
    mcpServers: Object.fromEntries(names.map((name) => [name, { url: upstream.url }])),
    classifier: {
      ...{ preset: "contextforge", cycleMs: 100, refreshIntervalSeconds: 1, multipliers: { cold: 2 } },
      ...{ jitter: 0, spread: false, inUseMs: 0 },
    },
  });
  await gateway.core.refresher.ready();
  const metric = async (name: string) => {
    const { body } = await gateway.rest("GET", "/metrics");
    const line = String(body)
      .split("\n")
      .find((text) => text.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  };
  const isHot = async (name: string) =>
    (await gateway.rest("GET", `/admin/classification?server=${name}`)).body.tier === "hot";
  const call = (name: string) =>
    gateway.rpc("/mcp/http", {
      ...{ jsonrpc: "2.0", id: 1, method: "tools/call" },
      params: { name: `${name}_echo`, arguments: { text: "x" } },
    });
  await eventually(async () => (await metric('gatewright_servers{tier="cold"}')) === 5, {
    timeoutMs: 10_000,
  });
  const moves = (to: string) => metric(`gatewright_classifier_moves_total{to="${to}"}`);
  expect(await moves("hot")).toBeUndefined();
  await call("b");
  await eventually(() => isHot("b"), { timeoutMs: 10_000 });
  expect(await moves("hot")).toBe(1);
  expect(await moves("cold")).toBeUndefined();
  await call("c");
  await eventually(() => isHot("c"), { timeoutMs: 10_000 });
  expect([await moves("hot"), await moves("cold")]).toEqual([2, 1]);
  expect(await metric('gatewright_servers{tier="hot"}')).toBe(1);
  expect(await metric("gatewright_classifier_leader")).toBe(1);
  expect(await metric("gatewright_classifier_epoch")).toBe(1);
  const lag = await metric("gatewright_classifier_lag_seconds");
  expect(lag).toBeGreaterThanOrEqual(0);
  expect(lag).toBeLessThan(10);
  // Five cold upstreams that were polled a second time after two intervals saved a poll each.
  await eventually(async () => ((await metric("gatewright_polls_saved")) ?? 0) >= 4, { timeoutMs: 15_000 });
  expect(await metric("gatewright_polls_degraded")).toBe(0);
});
