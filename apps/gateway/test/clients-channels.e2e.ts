import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { Client, SSEClientTransport, type Transport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SocketTransport } from "./support/socket-transport.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

type Everything = Awaited<ReturnType<typeof startEverythingServer>>;

let legacy: Everything;
let modern: Everything;
let gateway: TestGateway;

beforeAll(async () => {
  [legacy, modern] = await Promise.all([
    startEverythingServer({ era: "legacy" }),
    startEverythingServer({ era: "modern" }),
  ]);
  gateway = await startTestGateway({
    mcpServers: { legacy: { url: legacy.url }, modern: { url: modern.url } },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await Promise.all([legacy.close(), modern.close()]);
});

const overEvents = (path: string): Transport => {
  const headers = { authorization: `Bearer ${gateway.token}` };
  return new SSEClientTransport(new URL(`${gateway.url}${path}sse`), { requestInit: { headers } });
};
const overSocket = (path: string): Transport => new SocketTransport(`${gateway.url}${path}ws`, gateway.token);

const clients = [
  { name: "HTTP+SSE, with a session", transport: overEvents, mode: "legacy", version: "2025-11-25" },
  { name: "WebSocket, with a session", transport: overSocket, mode: "legacy", version: "2025-11-25" },
  { name: "WebSocket, of any revision", transport: overSocket, mode: "auto", version: "2026-07-28" },
] as const;

describe.each(clients)("the official client over $name", ({ transport, mode, version }) => {
  it("has the tools of all servers under one endpoint", async () => {
    const client = new Client({ name: "e2e", version: "1" }, { versionNegotiation: { mode } });
    await client.connect(transport("/"));
    expect(client.getNegotiatedProtocolVersion()).toBe(version);
    const { tools } = await client.listTools();
    for (const server of ["legacy", "modern"]) {
      const name = `${server}_test_simple_text`;
      expect(tools.map((tool) => tool.name)).toContain(name);
      expect((await client.callTool({ name, arguments: {} })).content).toHaveLength(1);
    }
    await client.close();
  });

  it.each(["legacy", "modern"])("has lists, calls, progress and questions of a %s server", async (server) => {
    const client = new Client(
      { name: "e2e", version: "1" },
      { capabilities: { elicitation: {}, sampling: {} }, versionNegotiation: { mode } },
    );
    client.setRequestHandler("elicitation/create", async () => ({
      action: "accept",
      content: { username: "ada", email: "ada@example.org" },
    }));
    await client.connect(transport(`/servers/${await gateway.idOf(server)}/`));
    expect(client.getNegotiatedProtocolVersion()).toBe(version);

    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain("test_simple_text");
    const { resources } = await client.listResources();
    const read = await client.readResource({ uri: resources[0]?.uri ?? "" });
    expect(read.contents).toHaveLength(1);
    const { prompts } = await client.listPrompts();
    expect(prompts.length).toBeGreaterThan(0);

    const progress: number[] = [];
    await client.callTool(
      { name: "test_tool_with_progress", arguments: {} },
      { onprogress: (event) => progress.push(event.progress) },
    );
    // The third comes with the answer, and this client hears no progress of a call that has been answered.
    expect(progress.slice(0, 2)).toEqual([0, 50]);
    const asked = await client.callTool({ name: "test_elicitation", arguments: { message: "Who?" } });
    expect(JSON.stringify(asked.content)).toContain("ada");
    const failed = await client.callTool({ name: "test_error_handling", arguments: {} });
    expect(failed.isError).toBe(true);
    await client.close();
    await eventually(() => gateway.core.channels.counts().size === 0);
  });
});
