import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

async function dial(gateway: TestGateway): Promise<Socket> {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  return socket;
}

async function get(socket: Socket, path: string): Promise<string> {
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk;
  });
  socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`);
  return eventually(() => text.includes("\r\n\r\n") && /}\s*$/.test(text) && text);
}

describe("connections beyond the cap", () => {
  it("are answered by 503 with Retry-After in the form of their surface, probes as ever; an end makes room", async () => {
    await using gateway = await startTestGateway({ limits: { connections: 2 } });
    const kept = [await dial(gateway), await dial(gateway)];
    const refused = await get(await dial(gateway), "/mcp");
    expect(refused).toMatch(/^HTTP\/1\.1 503 /);
    expect(refused.toLowerCase()).toContain("retry-after: 1\r\n");
    const rpc = JSON.parse(refused.slice(refused.indexOf("\r\n\r\n")));
    expect(rpc).toMatchObject({
      jsonrpc: "2.0",
      id: null,
      error: { code: -31002, data: { code: "overloaded" } },
    });
    const rest = await get(await dial(gateway), "/tools");
    expect(JSON.parse(rest.slice(rest.indexOf("\r\n\r\n")))).toMatchObject({
      error: { code: "overloaded", retryable: true },
    });
    expect(await get(await dial(gateway), "/health/live")).toMatch(/^HTTP\/1\.1 200 /);
    for (const socket of kept) socket.destroy();
    await eventually(async () => (await get(await dial(gateway), "/tools")).startsWith("HTTP/1.1 401 "));
  });
});

describe("a connection on which nothing was sent", () => {
  it("does not keep a gateway that stops", async () => {
    const gateway = await startTestGateway({ server: { shutdownDeadlineMs: 20_000 } });
    const socket = await dial(gateway);
    await eventually(
      () =>
        new Promise((resolve) => gateway.app.server.getConnections((_error, open) => resolve(open === 1))),
    );
    const startedMs = performance.now();
    await gateway[Symbol.asyncDispose]();
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    socket.destroy();
  });
});
