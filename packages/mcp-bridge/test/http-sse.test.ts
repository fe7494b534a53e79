import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { createHttpUpstream, type HttpUpstreamOptions, type UpstreamMessage } from "../src/upstream/index.ts";
import { eventually } from "./support/children.ts";
import {
  CLIENT,
  failure,
  type Handler,
  json,
  result,
  type Seen,
  startRawServer,
} from "./support/raw-server.ts";

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

interface Behaviour {
  readonly endpoint?: string;
  readonly post?: Handler;
}

/** A server of 2024-11-05: GET opens the stream, messages are posted to /messages. */
async function serve(behaviour: Behaviour = {}, options: Partial<HttpUpstreamOptions> = {}) {
  const streams: ServerResponse[] = [];
  const say = (value: unknown, index = streams.length - 1) =>
    streams[index]?.write(`event: message\ndata: ${JSON.stringify(value)}\n\n`);
  const server = await startRawServer((seen, response, request) => {
    if (seen.method === "GET") {
      streams.push(response);
      response.writeHead(200, { "content-type": "text/event-stream" });
      const path = behaviour.endpoint ?? `/messages?session=${streams.length}`;
      response.write(path === "" ? ": nothing\n\n" : `event: endpoint\ndata: ${path}\n\n`);
      return;
    }
    if (!request.url?.startsWith("/messages")) return response.writeHead(404).end();
    if (
      behaviour.post &&
      seen.body.method !== "initialize" &&
      seen.body.method !== "notifications/initialized"
    ) {
      return behaviour.post(seen, response, request);
    }
    response.writeHead(202).end("Accepted");
    const { id, method, params } = seen.body;
    if (method === "initialize") {
      return say(
        result(id, {
          protocolVersion: "2024-11-05",
          capabilities: {},
          serverInfo: { name: "old", version: "0" },
        }),
      );
    }
    if (id !== undefined) return say(result(id, { method, params }));
    return undefined;
  });
  const upstream = createHttpUpstream({ url: server.url, ...options });
  cleanup.push(server.close, () => upstream.close());
  return { server, upstream, streams, say };
}

describe("an upstream of 2024-11-05 (HTTP+SSE)", () => {
  it("is found behind a POST that fails, and remembered", async () => {
    const { server, upstream } = await serve({}, { headers: { authorization: "Bearer x" } });
    const session = await upstream.open(CLIENT);
    expect(session).toMatchObject({
      era: "legacy",
      protocolVersion: "2024-11-05",
      serverInfo: { name: "old" },
    });
    const answer = await session.request({ method: "tools/call", params: '{"a":1}' });
    expect(answer.value()).toEqual({ method: "tools/call", params: { a: 1 } });
    const before = server.seen.length;
    await upstream.open(CLIENT);
    expect(server.seen.slice(before).map((seen) => seen.body.method ?? seen.method)).toEqual([
      "GET",
      "initialize",
      "notifications/initialized",
    ]);
    expect(server.seen.every((seen) => seen.headers.authorization === "Bearer x")).toBe(true);
  });

  it("ends a call that is answered under its id as a text, or as another number", async () => {
    const { upstream, say } = await serve({
      post: (seen, response) => {
        response.writeHead(202).end();
        const { id, method } = seen.body;
        if (id !== undefined) say(result(method === "text" ? String(id) : Number(id) + 1_000, {}));
        if (method === "later") say(result(id, {}));
      },
    });
    const session = await upstream.open(CLIENT);
    await expect(session.request({ method: "text" }, { timeoutMs: 30_000 })).rejects.toMatchObject({
      code: "upstream_protocol",
      message: expect.stringContaining('under the id "'),
    });
    // One that is no call's is left alone.
    expect((await session.request({ method: "later" })).value()).toEqual({});
  });

  it("refuses a question that is broken, and ends the call of one whose id cannot be told", async () => {
    const refusals: unknown[] = [];
    let asking: unknown;
    const { upstream, say } = await serve({
      post: (seen, response) => {
        response.writeHead(202).end();
        const { id, method, params, error } = seen.body as Seen["body"] & { error?: { code: number } };
        if (method === undefined) {
          refusals.push([id, error?.code]);
          if (refusals.length === 2) say(result(asking, {}));
          return;
        }
        asking = id;
        for (const own of (params?.["ids"] ?? []) as unknown[])
          say({ jsonrpc: "2.0", id: own, method: "roots/list" });
        if (method === "tells") say(result(id, {}));
      },
    });
    const session = await upstream.open(CLIENT);
    const ask = (method: string, ids: unknown[]) =>
      session.request({ method, params: JSON.stringify({ ids }) }, { timeoutMs: 30_000 });
    const answered = ask("asks", [1.5, -2.5]);
    expect((await answered).value()).toEqual({});
    expect(refusals).toEqual([
      [1.5, -32600],
      [-2.5, -32600],
    ]);
    expect((await ask("tells", [null])).value()).toEqual({});
    await expect(ask("asks", [{}])).rejects.toMatchObject({ code: "upstream_protocol" });
  });

  it("ends the call that is answered with no answer, or with an error that names none; a log line is nobody's", async () => {
    const sent: Record<string, (id: unknown) => unknown[]> = {
      empty: (id) => [{ jsonrpc: "2.0", id }],
      unnamed: () => [{ jsonrpc: "2.0", id: null, error: { code: -32700, message: "cannot be read" } }],
      logs: (id) => [
        { level: "info", method: "GET", id: { trace: "a" } },
        { level: "info", method: "GET", id: "req-1" },
        result(id, { fine: true }),
      ],
    };
    const { server, upstream, say } = await serve({
      post: (seen, response) => {
        response.writeHead(202).end();
        const { id, method = "" } = seen.body;
        for (const message of sent[method]?.(id) ?? []) say(message);
      },
    });
    const session = await upstream.open(CLIENT);
    const ask = (method: string) => session.request({ method }, { timeoutMs: 30_000 });
    await expect(ask("empty")).rejects.toMatchObject({ code: "upstream_protocol" });
    expect((await ask("unnamed")).value()).toEqual({ code: -32700, message: "cannot be read" });
    const before = server.seen.length;
    expect((await ask("logs")).value()).toEqual({ fine: true });
    expect(server.seen.length).toBe(before + 1);
  });

  it("delivers messages, takes answers, and closes its stream with the session", async () => {
    const { server, upstream, streams, say } = await serve({}, { transport: "sse" });
    const seen: UpstreamMessage[] = [];
    const session = await upstream.open({ ...CLIENT, onMessage: (message) => seen.push(message) });
    say({ jsonrpc: "2.0", method: "notifications/tools/list_changed" });
    say("nonsense");
    say({ jsonrpc: "2.0", id: "q", method: "roots/list" });
    await eventually(() => seen.length === 2);
    await session.respond({ idText: '"q"', result: '{"roots":[]}' });
    expect(server.seen.at(-1)?.body).toEqual({ jsonrpc: "2.0", id: "q", result: { roots: [] } });
    let closed = false;
    streams[0]?.on("close", () => {
      closed = true;
    });
    await session.close();
    await eventually(() => closed);
    await expect(session.request({ method: "x" })).rejects.toMatchObject({ code: "closed" });
  });

  it("of several callers refuses questions, hands no log message on, and tells all of changes", async () => {
    const calls: unknown[] = [];
    const { server, upstream, say } = await serve(
      {
        post: (seen, response) => {
          if (seen.body.method === "work") calls.push(seen.body.id);
          return response.writeHead(202).end();
        },
      },
      { transport: "sse" },
    );
    const heard: string[] = [];
    const onMessage = ({ method }: UpstreamMessage) => void heard.push(method);
    const session = await upstream.open({ ...CLIENT, onMessage, shared: true });
    const answer = session.request({ method: "work" }, { onMessage });
    await eventually(() => calls.length === 1);
    say({ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "x" } });
    say({ jsonrpc: "2.0", id: 5, method: "roots/list" });
    say({ jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri: "x:1" } });
    await eventually(() => "error" in (server.seen.at(-1)?.body ?? {}));
    expect(server.seen.at(-1)?.body).toMatchObject({ id: 5, error: { code: -32_601 } });
    expect(heard).toEqual(["notifications/resources/updated"]);
    say(result(calls[0], {}));
    await answer;
  });

  it("ends with its stream: calls in flight fail, later ones are not sent", async () => {
    const { upstream, streams } = await serve(
      { post: (_seen, response) => response.writeHead(202).end() },
      { transport: "sse" },
    );
    const session = await upstream.open(CLIENT);
    const hanging = expect(session.request({ method: "x" })).rejects.toMatchObject({
      phase: "sent_no_response",
    });
    streams[0]?.end();
    await hanging;
    expect(await session.closed).toMatchObject({ kind: "failed" });
    await expect(session.request({ method: "x" })).rejects.toMatchObject({ phase: "not_sent" });
  });

  it.each([
    [404, "session_lost", "refused"],
    [503, "upstream_overloaded", "refused"],
    [500, "upstream_status", "response_received"],
  ])("a POST answered with HTTP %i fails the call as %s", async (status, code, phase) => {
    const { upstream } = await serve(
      { post: (seen, response) => json(response, failure(seen.body.id, 1), status) },
      { transport: "sse" },
    );
    const session = await upstream.open(CLIENT);
    await expect(session.request({ method: "x" })).rejects.toMatchObject({ code, phase });
    if (code === "session_lost") expect(await session.closed).toMatchObject({ kind: "lost" });
  });

  it("a session that one message is told is gone: that one was refused, those under way have an unknown outcome", async () => {
    const { upstream } = await serve(
      { post: (seen, response) => response.writeHead(seen.body.method === "gone" ? 404 : 202).end() },
      { transport: "sse" },
    );
    const session = await upstream.open(CLIENT);
    const running = session.request({ method: "running" });
    const failed = expect(running).rejects.toMatchObject({ code: "session_lost", phase: "sent_no_response" });
    await expect(session.request({ method: "gone" })).rejects.toMatchObject({ phase: "refused" });
    await failed;
  });

  it("cancels a call that ran out of time", async () => {
    const { server, upstream } = await serve(
      { post: (_seen, response) => response.writeHead(202).end() },
      { transport: "sse" },
    );
    const session = await upstream.open(CLIENT);
    await expect(session.request({ method: "x" }, { timeoutMs: 500 })).rejects.toMatchObject({
      code: "upstream_timeout",
    });
    await eventually(() => server.seen.at(-1)?.body.method === "notifications/cancelled");
  });

  it("an endpoint on another origin, none at all, and none in time are refused", async () => {
    for (const endpoint of ["http://evil.example/messages", "http://["]) {
      const { upstream } = await serve({ endpoint }, { transport: "sse" });
      await expect(upstream.open(CLIENT)).rejects.toMatchObject({ code: "upstream_protocol" });
    }
    const silent = await serve({ endpoint: "" }, { transport: "sse", handshakeTimeoutMs: 50 });
    await expect(silent.upstream.open(CLIENT)).rejects.toMatchObject({ code: "upstream_protocol" });
    const controller = new AbortController();
    const opening = silent.upstream.open({ ...CLIENT, signal: controller.signal });
    controller.abort();
    await expect(opening).rejects.toMatchObject({ code: "aborted" });
  });

  it("a server with neither transport fails with the status of the last try", async () => {
    const server = await startRawServer((_seen, response) => response.writeHead(404).end());
    const upstream = createHttpUpstream({ url: server.url });
    cleanup.push(server.close, () => upstream.close());
    await expect(upstream.open(CLIENT)).rejects.toMatchObject({ code: "upstream_status", httpStatus: 404 });
    const dead = createHttpUpstream({ url: server.url, transport: "streamable" });
    await expect(dead.open(CLIENT)).rejects.toMatchObject({ httpStatus: 404 });
  });
});
