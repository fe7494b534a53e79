import { eventually, startGateway } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { startScriptedServer } from "./support/scripted-server.ts";

it("RB-13 a gateway that stops during a backoff answers the call and exits: nothing keeps the process alive", async () => {
  await using server = await startScriptedServer();
  await using gateway = await startGateway({
    config: {
      server: { shutdownDeadlineMs: 300, drainNoticeMs: 0 },
      mcpServers: { up: { url: server.url, trusted: true } },
      plugins: [{ name: "retry", config: { baseMs: 3_600_000, maxMs: 3_600_000, jitter: "none" } }],
      limits: { callTimeoutMs: 7_200_000 },
    },
  });
  server.script("tools/call", { status: 503 });
  const pending = fetch(`${gateway.url}/mcp/http`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "up_read" } }),
  }).then((response) => response.json());
  await eventually(async () => {
    const limits = (await (await fetch(`${gateway.url}/admin/limits`)).json()) as {
      retry: { waiting: number };
    };
    return limits.retry.waiting === 1;
  });
  const startedMs = performance.now();
  const exit = await gateway.stop();
  expect(exit).toMatchObject({ code: 0 });
  expect(performance.now() - startedMs).toBeLessThan(10_000);
  expect(await pending).toMatchObject({ error: { data: { reason: "shutdown" } } });
});
