import { describe, expect, it } from "vitest";
import { createHttpUpstream } from "../src/upstream/index.ts";
import { CLIENT, json, legacyHandler, result, startRawServer } from "./support/raw-server.ts";

describe("a legacy HTTP upstream", () => {
  it("is asked for its era once, then initialised, called with its session id, and deleted", async () => {
    await using server = await startRawServer(
      legacyHandler((seen, response) => json(response, result(seen.body.id, { echo: seen.body.params }))),
    );
    const upstream = createHttpUpstream({ url: server.url, headers: { authorization: "Bearer up" } });
    const session = await upstream.open(CLIENT);
    expect(session).toMatchObject({
      era: "legacy",
      protocolVersion: "2025-11-25",
      sessionId: "s-1",
      instructions: "be kind",
      serverInfo: { name: "raw", version: "7" },
      capabilities: { tools: { listChanged: true } },
    });
    const answer = await session.request({
      method: "tools/call",
      params: '{"name":"x","n":12345678901234567890}',
    });
    expect(answer.kind).toBe("result");
    expect(server.seen.at(-1)?.text).toContain('"params":{"name":"x","n":12345678901234567890}');
    expect(answer.withId('"mine"').toString()).toContain('"id":"mine"');
    await session.close();
    await session.close();
    const second = await upstream.open(CLIENT);
    expect(second.sessionId).toBe("s-2");
    const methods = server.seen
      .filter((seen) => seen.method !== "GET")
      .map((seen) => seen.body.method ?? seen.method);
    expect(methods).toEqual([
      "server/discover",
      "initialize",
      "notifications/initialized",
      "tools/call",
      "DELETE",
      "initialize",
      "notifications/initialized",
    ]);
    const call = server.seen.find((seen) => seen.body.method === "tools/call");
    expect(call?.headers).toMatchObject({
      authorization: "Bearer up",
      "mcp-session-id": "s-1",
      "mcp-protocol-version": "2025-11-25",
      accept: "application/json, text/event-stream",
    });
    await upstream.close();
    expect(upstream.stats()).toMatchObject({
      era: "legacy",
      sessionsOpen: 0,
      sessionsOpened: 2,
      requestsTotal: 1,
    });
  });
});
