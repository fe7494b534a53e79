import { expect, it } from "vitest";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

it("PF-13 a shadow verdict is in the metrics of plugins and of the limiter", async () => {
  await using upstream = await startScriptedServer();
  await using gateway = await startTestGateway({
    mcpServers: { up: { url: upstream.url } },
    plugins: [{ name: "rate_limiter", mode: "permissive", config: { rules: { by_user: "1/h" } } }],
  });
  await gateway.core.refresher.ready();
  const call = async () => {
    const params = { name: "up_read", arguments: {} };
    return (await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method: "tools/call", params })).body;
  };
  const counted = async (line: string) =>
    (String((await gateway.rest("GET", "/metrics")).body).match(new RegExp(`^${line} (\\d+)$`, "m")) ??
      [])[1];
  const shadows = 'gatewright_plugin_shadow_blocks_total{plugin="rate_limiter",hook="tool_pre_invoke"}';
  const checks = (outcome: string, mode: string) =>
    `gatewright_limiter_checks_total{rule="by_user",outcome="${outcome}",mode="${mode}"}`;
  for (let count = 0; count < 3; count++) expect(await call()).toHaveProperty("result");
  expect(await counted(shadows)).toBe("2");
  expect(await counted(checks("allowed", "permissive"))).toBe("1");
  expect(await counted(checks("refused", "permissive"))).toBe("2");

  await gateway.core.pipeline.setMode("rate_limiter", "enforce");
  expect(await call()).toHaveProperty("error");
  expect(await counted(shadows)).toBe("2");
  expect(await counted(checks("refused", "enforce"))).toBe("1");
});
