import { once } from "node:events";
import { createServer, get, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { startCounterServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { Peers } from "../src/replicas/peers.ts";
import { openSession, startReplicaSet } from "./support/replica-set.ts";

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.close());

/** An HTTP server that is closed, with its connections, after the test. */
async function listen(handler: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The response to a client that has left. */
async function leftResponse(): Promise<ServerResponse> {
  const taken = Promise.withResolvers<ServerResponse>();
  const client = get(await listen((_, response) => taken.resolve(response)));
  client.on("error", () => undefined);
  const response = await taken.promise;
  client.destroy();
  await once(response, "close");
  return response;
}

it("of a client that has left, a stream is not asked for at another replica; a call is sent all the same", async () => {
  let asked = 0;
  const url = await listen((request, response) => {
    request.resume();
    asked++;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end();
  });
  const peers = new Peers({ connectTimeoutMs: 1_000 });
  onTestFinished(() => peers.close());
  const options = {
    response: await leftResponse(),
    silenceMs: 2_000,
    streamSilenceMs: 2_000,
    brokenStream: undefined,
  };
  const request = { url, body: Buffer.from("{}"), sessionId: "s" };
  expect(await peers.send({ ...request, timeoutMs: undefined }, options)).toEqual({ kind: "answered" });
  expect(asked).toBe(0);
  expect(await peers.send({ ...request, timeoutMs: 5_000 }, options)).toEqual({ kind: "answered" });
  expect(asked).toBe(1);
});

it("a session whose client left while its stream was looked for is not held open by it", async () => {
  const counter = await startCounterServer();
  onTestFinished(() => counter.close());
  await using set = await startReplicaSet(redis, 2);
  const [a, b] = set.replicas;
  const path = `/servers/${await set.register({ name: "counter", url: counter.url })}/mcp`;
  const session = await openSession(a!, path);
  // B has to ask where the session is, and is not told before the client has left.
  await redis.client().client("PAUSE", 500, "ALL");
  const leaving = new AbortController();
  const headers = {
    authorization: `Bearer ${b!.token}`,
    accept: "text/event-stream",
    "mcp-session-id": session.id,
  };
  const stream = fetch(`${b!.url}${path}`, { headers, signal: leaving.signal });
  setTimeout(() => leaving.abort(), 150);
  await expect(stream).rejects.toThrow();
  const begin = performance.now();
  expect((await session.request(b!, "ping")).body.result).toEqual({});
  await eventually(() => performance.now() - begin > 800);
  expect(a!.core.sessions.peek(session.id)?.streaming).toBe(false);
});

it("a replica that was forgotten while a request was lost at it is not remembered as suspect", async () => {
  const asked: (string | undefined)[] = [];
  const lost = Promise.withResolvers<ServerResponse>();
  const url = await listen((request, response) => {
    asked.push(request.url);
    if (asked.length === 1) lost.resolve(response);
    else response.end();
  });
  const other = await listen((_, response) => response.end());
  const peers = new Peers({ connectTimeoutMs: 1_000, maxPeers: 1 });
  onTestFinished(() => peers.close());
  const send = async (to: string) => {
    const response = await leftResponse();
    const options = { response, silenceMs: 5_000, streamSilenceMs: 5_000, brokenStream: undefined };
    return peers.send({ url: to, body: Buffer.from("{}"), sessionId: "s", timeoutMs: 5_000 }, options);
  };
  const sent = send(url);
  const response = await lost.promise;
  await send(other);
  response.destroy();
  expect(await sent).toMatchObject({ kind: "unknown" });
  await send(url);
  expect(asked).toEqual(["/internal/forward", "/internal/forward"]);
});
