import { describe, expect, it } from "vitest";
import { startRawServer } from "../src/index.ts";
import { connect, type Mode, textOf } from "./connect.ts";

const post = (url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...headers,
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

describe("raw server", () => {
  for (const mode of ["legacy", "auto", "modern"] satisfies Mode[]) {
    it(`answers the official client in ${mode} mode`, async () => {
      await using server = await startRawServer();
      await using connected = await connect(server.url, mode);
      const { tools } = await connected.client.listTools();
      expect(tools.map((tool) => tool.name)).toEqual(["echo", "payload", "wait"]);
      const echoed = await connected.client.callTool({ name: "echo", arguments: { text: 'a "quote" ✓' } });
      expect(textOf(echoed as never)).toBe('a "quote" ✓');
      expect(connected.client.getProtocolEra()).toBe(mode === "legacy" ? "legacy" : "modern");
      expect(server.stats().requests["tools/call"]).toBe(1);
    });
  }

  it("opens one session per handshake and ends it on DELETE", async () => {
    await using server = await startRawServer();
    const { end } = await connect(server.url, "legacy");
    expect(server.stats()).toMatchObject({ sessionsOpened: 1, sessionsClosed: 0 });
    await end();
    expect(server.stats()).toMatchObject({ sessionsClosed: 1 });
  });

  it("refuses a missing session with 400 and an unknown one with 404", async () => {
    await using server = await startRawServer();
    const list = { jsonrpc: "2.0", id: 7, method: "tools/list" };
    expect((await post(server.url, list)).status).toBe(400);
    const unknown = await post(server.url, list, { "mcp-session-id": "nobody" });
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ jsonrpc: "2.0", id: 7 });
  });

  it("answers a payload of the asked size, as JSON or as SSE", async () => {
    for (const answer of ["json", "sse"] as const) {
      await using server = await startRawServer({ answer });
      await using connected = await connect(server.url, "modern");
      const result = await connected.client.callTool({ name: "payload", arguments: {} });
      expect(textOf(result as never)).toHaveLength(51_200);
      const small = await connected.client.callTool({ name: "payload", arguments: { bytes: 10 } });
      expect(textOf(small as never)).toHaveLength(10);
    }
  });

  it("counts concurrent and aborted calls", async () => {
    await using server = await startRawServer();
    await using connected = await connect(server.url, "modern");
    const gone = new AbortController();
    const wait = (ms: number, signal?: AbortSignal): Promise<unknown> =>
      connected.client.callTool({ name: "wait", arguments: { ms } }, signal ? { signal } : {});
    const lost = wait(10_000, gone.signal).catch(() => "lost");
    const both = Promise.all([wait(100), wait(100)]);
    await expect.poll(() => server.stats().concurrent).toBe(3);
    gone.abort();
    expect(await lost).toBe("lost");
    await both;
    await expect.poll(() => server.stats()).toMatchObject({ concurrent: 0, concurrentMax: 3, aborted: 1 });
  });

  it("speaks only its era when told so", async () => {
    await using legacy = await startRawServer({ era: "legacy" });
    await using viaLegacy = await connect(legacy.url, "auto");
    expect(viaLegacy.client.getProtocolEra()).toBe("legacy");
    await using modern = await startRawServer({ era: "modern" });
    await expect(connect(modern.url, "legacy")).rejects.toThrow(/Unsupported protocol version/);
  });

  it("answers malformed JSON with a parse error and stays alive", async () => {
    await using server = await startRawServer();
    const answer = await post(server.url, "{nope");
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ jsonrpc: "2.0", id: null, error: { code: -32700 } });
    expect(server.stats().requests["invalid"]).toBe(1);
  });

  it("frees its port and every socket on close", async () => {
    const server = await startRawServer();
    const { client } = await connect(server.url, "modern");
    const pending = client.callTool({ name: "wait", arguments: { ms: 60_000 } }).catch(() => "cut");
    await expect.poll(() => server.stats().concurrent).toBe(1);
    await server.close();
    expect(await pending).toBe("cut");
    expect(server.stats().connections).toBe(0);
    await using again = await startRawServer({ port: server.port });
    expect(again.port).toBe(server.port);
  });
});
