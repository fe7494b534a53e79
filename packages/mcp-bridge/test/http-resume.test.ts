import { fixtureCommand } from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { createHttpUpstream, createStdioUpstream } from "../src/upstream/index.ts";
import { CLIENT, json, legacyHandler, modernHandler, result, startRawServer } from "./support/raw-server.ts";

const echo = legacyHandler((seen, response) => json(response, result(seen.body.id, {})));

describe("a session that another process goes on with", () => {
  it("is handed over without a DELETE and resumed without a handshake, on the same session", async () => {
    await using server = await startRawServer(echo);
    const before = createHttpUpstream({ url: server.url });
    const first = await before.open(CLIENT);
    const { continuation } = first;
    if (continuation.kind !== "resumable") throw new Error(continuation.kind);
    expect(continuation).toMatchObject({ sessionId: "s-1", protocolVersion: "2025-11-25" });
    await first.close({ handOver: true });
    expect(await first.closed).toEqual({ kind: "closed" });
    await before.close();

    const after = createHttpUpstream({ url: server.url });
    const second = await after.open({ ...CLIENT, resume: continuation });
    expect(second).toMatchObject({
      era: "legacy",
      sessionId: "s-1",
      protocolVersion: "2025-11-25",
      capabilities: { tools: { listChanged: true } },
    });
    const seen = server.seen.length;
    await second.request({ method: "tools/call", params: "{}" });
    expect(server.seen.filter(({ method }) => method === "DELETE")).toEqual([]);
    const posted = server.seen.slice(seen - 1).filter(({ method }) => method === "POST");
    expect(posted.at(-1)?.headers).toMatchObject({
      "mcp-session-id": "s-1",
      "mcp-protocol-version": "2025-11-25",
    });
    expect(server.seen.filter(({ body }) => body.method === "initialize")).toHaveLength(1);
    await after.close();
    expect(server.seen.filter(({ method }) => method === "DELETE")).toHaveLength(1);
  });

  it("says when there is no state to go on with, and when it ends with the connection", async () => {
    await using modern = await startRawServer(
      modernHandler((seen, response) => json(response, result(seen.body.id, { resultType: "complete" }))),
    );
    const http = createHttpUpstream({ url: modern.url });
    expect((await http.open(CLIENT)).continuation).toEqual({ kind: "stateless" });
    await http.close();
    const stdio = createStdioUpstream({ ...fixtureCommand("counter-stdio"), era: "legacy" });
    const session = await stdio.open(CLIENT);
    expect(session.continuation).toEqual({ kind: "bound" });
    const resume = { sessionId: "s", protocolVersion: "2025-11-25", handshake: {} };
    await expect(stdio.open({ ...CLIENT, resume })).rejects.toMatchObject({
      code: "session_lost",
      phase: "not_sent",
    });
    await stdio.close();
    const fresh = createStdioUpstream({ ...fixtureCommand("counter-stdio"), era: "modern" });
    expect((await fresh.open(CLIENT)).continuation).toEqual({ kind: "bound" });
    await fresh.close();
    const sse = createHttpUpstream({ url: modern.url, transport: "sse" });
    await expect(sse.open({ ...CLIENT, resume })).rejects.toMatchObject({ code: "session_lost" });
    await sse.close();
  });
});
