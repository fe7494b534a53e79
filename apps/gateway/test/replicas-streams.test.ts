import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { type SlowFixture, startSlowServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { localPrincipal } from "../src/auth/principal.ts";
import { openRaw } from "./support/raw-client.ts";
import { openSession, quickOwners, type ReplicaSet, startReplicaSet } from "./support/replica-set.ts";
import type { TestGateway } from "./support/test-gateway.ts";

let redis: RedisServer;
let slow: SlowFixture;
let set: ReplicaSet;
let a: TestGateway;
let b: TestGateway;
let path: string;

const bufferBytes = 16_384;

beforeAll(async () => {
  [redis, slow] = await Promise.all([startRedis(), startSlowServer()]);
  set = await startReplicaSet(redis, 2, {
    sessions: { owners: { ...quickOwners, deadAfterMs: 60_000, silenceMs: 10_000 } },
    limits: { streamBufferBytes: bufferBytes, eventLogBytes: 1_048_576 },
  });
  [a, b] = set.replicas as [TestGateway, TestGateway];
  path = `/servers/${await set.register({ name: "slow", url: slow.url })}/mcp`;
});

afterAll(async () => {
  await set?.[Symbol.asyncDispose]();
  await Promise.all([redis.close(), slow.close()]);
});

const note = (text: string) =>
  Buffer.from(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"${text}"}}`);

/** The stream of a session of A, read at B. */
async function relayedStream() {
  const session = await openSession(a, path);
  const stream = await openRaw(b, path, { method: "GET", headers: { "mcp-session-id": session.id } });
  const own = await eventually(() => a.core.sessions.peek(session.id) ?? false);
  await eventually(() => own.streaming);
  return { stream, own };
}

describe("a stream of A that is relayed by B", () => {
  it("brings an event whole that is longer than a stream may leave unsent, and goes on", async () => {
    const { stream, own } = await relayedStream();
    own.deliver(note("x".repeat(20 * bufferBytes)));
    await eventually(() => stream.events.length === 1);
    expect(stream.events[0]?.data.params.data).toHaveLength(20 * bufferBytes);
    own.deliver(note("next"));
    await eventually(() => stream.events.length === 2);
    expect(own.streaming).toBe(true);
    stream.cut();
    await eventually(() => !own.streaming);
  });

  it("holds A up while its client does not read, until A gives the reader up as it would its own", async () => {
    const { stream, own } = await relayedStream();
    stream.pause();
    let sent = 0;
    // Sockets on the way hold a few megabytes.
    for (; own.streaming && sent < 2_000; sent++) {
      own.deliver(note("x".repeat(65_536)));
      await turn();
    }
    await eventually(() => !own.streaming);
    expect(sent).toBeGreaterThan(1);
    stream.cut();
  });
});

describe("a call", () => {
  it("that came by B is cancelled by a notification that comes by either replica", async () => {
    const session = await openSession(a, path);
    const head = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
    for (const [index, at] of [b, a].entries()) {
      const { started, aborted } = slow.calls();
      const id = `call-${index}`;
      const params = { name: "hang", arguments: {} };
      const call = b.rpc(path, { jsonrpc: "2.0", id, method: "tools/call", params }, head);
      await eventually(() => slow.calls().started === started + 1);
      const method = "notifications/cancelled";
      const told = await at.rpc(path, { jsonrpc: "2.0", method, params: { requestId: id } }, head);
      expect(told.status).toBe(202);
      await eventually(() => slow.calls().aborted === aborted + 1);
      // A cancelled call gets no answer; its connection ends.
      expect(String((await call).body)).not.toContain('"jsonrpc"');
    }
    expect(a.core.sessions.peek(session.id)?.calls.size).toBe(0);
  });
});

describe("a request for a certain replica", () => {
  it("is executed and answered by that replica, whoever was asked", async () => {
    const edge = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const sent = { request, response, body: Buffer.concat(chunks), principal: localPrincipal };
      await b.core.replicas
        .forward(a.core.replicas.selfId, { ...sent, clientIp: "::1", requestId: "r-1", idText: "1" })
        .catch((error) => response.writeHead(599).end(String(error)));
    });
    await new Promise<void>((resolve) => edge.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(edge.address() as AddressInfo).port}${path}`;
    const clientInfo = { name: "edge", version: "1" };
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo };
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params }),
    });
    expect(answer.status, await answer.text()).toBe(200);
    const id = answer.headers.get("mcp-session-id") ?? "";
    expect(a.core.sessions.peek(id)?.hello.clientInfo).toEqual(clientInfo);
    expect(b.core.sessions.peek(id)).toBeUndefined();
    await new Promise((resolve) => edge.close(resolve));
  });
});
