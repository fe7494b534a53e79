import { createServer, type Socket } from "node:net";
import { Pool } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import {
  createHttpUpstream,
  type HttpUpstreamOptions,
  type Upstream,
  UpstreamError,
} from "../src/upstream/index.ts";
import { eventually } from "./support/children.ts";
import {
  CLIENT,
  failure,
  type Handler,
  json,
  legacyHandler,
  result,
  startRawServer,
} from "./support/raw-server.ts";

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

async function serve(handler: Handler, options: Partial<HttpUpstreamOptions> = {}) {
  const server = await startRawServer(handler);
  const upstream = createHttpUpstream({ url: server.url, serverStream: false, ...options });
  cleanup.push(server.close, () => upstream.close());
  return { server, upstream };
}

async function failureOf(run: Promise<unknown>): Promise<UpstreamError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!UpstreamError.is(error)) throw new Error("Expected an upstream error.", { cause: error });
  return error;
}

/** A TCP server that does something to each connection. */
async function serveTcp(onSocket: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("No address.");
  cleanup.push(() => new Promise((resolve) => server.close(resolve)));
  return `http://127.0.0.1:${address.port}/mcp`;
}

function upstreamTo(url: string, options: Partial<HttpUpstreamOptions> = {}): Upstream {
  const upstream = createHttpUpstream({ url, ...options });
  cleanup.push(() => upstream.close());
  return upstream;
}

describe("the phase of a failure", () => {
  it("connection refused → not_sent", async () => {
    const url = await serveTcp(() => undefined);
    await cleanup.pop()?.();
    const error = await failureOf(upstreamTo(url).open(CLIENT));
    expect(error).toMatchObject({
      code: "upstream_unreachable",
      phase: "not_sent",
      networkCode: "ECONNREFUSED",
      retryable: true,
    });
  });

  it("name that does not resolve → not_sent, and own resolution is used", async () => {
    const asked: string[] = [];
    const upstream = upstreamTo("http://upstream.invalid/mcp", {
      lookup: (host, _options, callback) => {
        asked.push(host);
        callback(Object.assign(new Error("no"), { code: "ENOTFOUND" }), "", 4);
      },
    });
    expect(await failureOf(upstream.open(CLIENT))).toMatchObject({
      phase: "not_sent",
      networkCode: "ENOTFOUND",
    });
    expect(asked).toContain("upstream.invalid");
  });

  it("reset after the request was read → sent_no_response", async () => {
    const { upstream } = await serve(
      legacyHandler((_seen, _response, request) => request.socket.resetAndDestroy()),
    );
    const session = await upstream.open(CLIENT);
    expect(await failureOf(session.request({ method: "tools/call" }))).toMatchObject({
      code: "upstream_unreachable",
      phase: "sent_no_response",
    });
  });

  it("connection cut in the middle of the answer → response_received", async () => {
    const { upstream } = await serve(
      legacyHandler((_seen, response, request) => {
        response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
        response.write('{"jsonrpc":"2.0"');
        setTimeout(() => request.socket.destroy(), 20);
      }),
    );
    const session = await upstream.open(CLIENT);
    expect(await failureOf(session.request({ method: "x" }))).toMatchObject({ phase: "response_received" });
  });

  it("a stream cut before its answer → sent_no_response", async () => {
    const { upstream } = await serve(
      legacyHandler((_seen, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end(": nothing\n\n");
      }),
    );
    const session = await upstream.open(CLIENT);
    expect(await failureOf(session.request({ method: "x" }))).toMatchObject({
      code: "upstream_unreachable",
      phase: "sent_no_response",
    });
  });

  it.each([
    [429, "upstream_overloaded", "refused"],
    [503, "upstream_overloaded", "refused"],
    [401, "upstream_unauthorized", "refused"],
    [403, "upstream_forbidden", "response_received"],
  ])("HTTP %i → %s, %s, whatever the body says", async (status, code, phase) => {
    const { upstream } = await serve(
      legacyHandler((seen, response) =>
        json(response, failure(seen.body.id, -32000), status, {
          "retry-after": "2",
          "www-authenticate": "Bearer x",
        }),
      ),
    );
    const session = await upstream.open(CLIENT);
    expect(await failureOf(session.request({ method: "x" }))).toMatchObject({
      code,
      phase,
      httpStatus: status,
      retryAfterMs: 2_000,
      challenge: "Bearer x",
    });
  });

  it.each([
    [{ "retry-after": "1.5" }, 1_500],
    [{ "retry-after-ms": "70", "retry-after": "9" }, 70],
    [{ "retry-after": new Date(Date.now() + 60_000).toUTCString() }, 59_000],
    [{ "ratelimit-reset": "3" }, 3_000],
    [{ "ratelimit-reset": "3", "ratelimit-remaining": "0" }, 3_000],
    [{ "ratelimit-reset": "3", "ratelimit-remaining": "99" }, undefined],
    [{ "retry-after": "2", "ratelimit-reset": "3", "ratelimit-remaining": "99" }, 2_000],
    [{ "ratelimit-reset": String(Math.ceil(Date.now() / 1_000) + 60) }, 59_000],
    [{ "retry-after": "soon", "ratelimit-reset": "" }, undefined],
  ])("how long it is asked to wait is read from %j", async (headers, least) => {
    const { upstream } = await serve(
      legacyHandler((seen, response) =>
        seen.body.method === "y"
          ? json(response, failure(seen.body.id, -32603), 500, headers)
          : response.writeHead(429, headers as Record<string, string>).end(),
      ),
    );
    const session = await upstream.open(CLIENT);
    const { retryAfterMs } = await failureOf(session.request({ method: "x" }));
    const answer = await session.request({ method: "y" });
    for (const asked of [retryAfterMs, answer.edited([]).retryAfterMs]) {
      if (least === undefined) expect(asked).toBeUndefined();
      else {
        expect(asked).toBeGreaterThanOrEqual(least - 5_000 * Number(least > 50_000));
        expect(asked).toBeLessThanOrEqual(least + 2_000 * Number(least > 50_000));
      }
    }
  });

  it.each([500, 502, 504, 404, 302])(
    "HTTP %i without a JSON-RPC body → response_received",
    async (status) => {
      const { upstream } = await serve(
        legacyHandler((_seen, response) => response.writeHead(status).end("no"), { sessions: false }),
      );
      const session = await upstream.open(CLIENT);
      expect(await failureOf(session.request({ method: "x" }))).toMatchObject({
        code: "upstream_status",
        phase: "response_received",
        httpStatus: status,
      });
    },
  );

  it("an HTTP error with a JSON-RPC error for body is an answer", async () => {
    const { upstream } = await serve(
      legacyHandler((seen, response) => {
        const id = seen.body.method === "without" ? null : seen.body.id;
        json(response, failure(id, -32603, "boom"), 500);
      }),
    );
    const session = await upstream.open(CLIENT);
    for (const method of ["with", "without"]) {
      const answer = await session.request({ method });
      expect(answer).toMatchObject({ kind: "error", httpStatus: 500 });
      expect(JSON.parse(answer.withId('"c"').toString())).toEqual(failure("c", -32603, "boom"));
      expect(answer.value()).toEqual({ code: -32603, message: "boom" });
    }
  });

  it("no answer in time → upstream_timeout, and the server is told to cancel", async () => {
    const { server, upstream } = await serve(legacyHandler(() => undefined));
    const session = await upstream.open(CLIENT);
    const error = await failureOf(session.request({ method: "x" }, { timeoutMs: 500 }));
    expect(error).toMatchObject({ code: "upstream_timeout", phase: "sent_no_response" });
    await eventually(() => server.seen.some((seen) => seen.body.method === "notifications/cancelled"));
    const sent = server.seen.find((seen) => seen.body.method === "x")?.body.id;
    expect(server.seen.at(-1)?.body.params).toMatchObject({ requestId: sent });
  });

  it("no connection in time → not_sent", async () => {
    const pool = new Pool("http://127.0.0.1:9", { connect: () => undefined });
    cleanup.push(() => pool.destroy());
    const upstream = upstreamTo("http://127.0.0.1:9/mcp", { dispatcher: pool, handshakeTimeoutMs: 30 });
    expect(await failureOf(upstream.open(CLIENT))).toMatchObject({
      code: "upstream_timeout",
      phase: "not_sent",
    });
  });
});

describe("bad answers", () => {
  it.each([
    ["text/html", "<html>", "content type"],
    ["application/json", "{}", "something else"],
    ["application/json", "nonsense", "something else"],
    ["text/event-stream", "data: nonsense\n\n", "no JSON-RPC"],
  ])("%s %s is a protocol error", async (type, body) => {
    const { upstream } = await serve(
      legacyHandler((_seen, response) => response.writeHead(200, { "content-type": type }).end(body)),
    );
    const session = await upstream.open(CLIENT);
    expect(await failureOf(session.request({ method: "x" }))).toMatchObject({
      code: "upstream_protocol",
      phase: "response_received",
    });
  });

  it("an answer over the limit is refused, as JSON and as an event", async () => {
    const { upstream } = await serve(
      legacyHandler((seen, response) => {
        const text = JSON.stringify(result(seen.body.id, { text: "x".repeat(5_000) }));
        if (seen.body.method === "json") json(response, text);
        else response.writeHead(200, { "content-type": "text/event-stream" }).end(`data: ${text}\n\n`);
      }),
      { maxAnswerBytes: 2_000 },
    );
    const session = await upstream.open(CLIENT);
    for (const method of ["json", "stream"]) {
      expect(await failureOf(session.request({ method }))).toMatchObject({ code: "answer_too_large" });
    }
  });

  it("an answer that looks right at its edges but is no JSON fails when it is read", async () => {
    const { upstream } = await serve(
      legacyHandler((seen, response) =>
        json(response, `{"jsonrpc":"2.0","id":${seen.body.id},"result":{,}}`),
      ),
    );
    const answer = await (await upstream.open(CLIENT)).request({ method: "x" });
    expect(() => answer.value()).toThrow(UpstreamError);
  });

  it("a result that is no object fails when it is read, an answer nested too deep too", async () => {
    const deep = "[".repeat(3_000) + "]".repeat(3_000);
    const { upstream } = await serve(
      legacyHandler((seen, response) =>
        json(
          response,
          `{"jsonrpc":"2.0","id":${seen.body.id},"result":${seen.body.method === "x" ? 5 : `{"a":${deep}}`}}`,
        ),
      ),
    );
    const session = await upstream.open(CLIENT);
    for (const method of ["x", "deep"]) {
      const answer = await session.request({ method });
      expect(() => answer.value()).toThrow(UpstreamError);
    }
  });
});

describe("abort", () => {
  it("before sending → not_sent, and nothing is sent", async () => {
    const { server, upstream } = await serve(legacyHandler(() => undefined));
    const session = await upstream.open(CLIENT);
    const before = server.seen.length;
    const error = await failureOf(session.request({ method: "x" }, { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ code: "aborted", phase: "not_sent" });
    expect(server.seen).toHaveLength(before);
  });

  it("while queued behind the connection limit → not_sent", async () => {
    const { server, upstream } = await serve(
      legacyHandler(() => undefined),
      { connections: 1 },
    );
    const session = await upstream.open(CLIENT);
    const blocker = failureOf(session.request({ method: "first" }, { timeoutMs: 5_000 }));
    await eventually(() => server.seen.some((seen) => seen.body.method === "first"));
    const controller = new AbortController();
    const queued = session.request({ method: "second" }, { signal: controller.signal });
    controller.abort();
    expect(await failureOf(queued)).toMatchObject({ code: "aborted", phase: "not_sent" });
    expect(server.seen.some((seen) => seen.body.method === "second")).toBe(false);
    await upstream.close();
    expect(await blocker).toMatchObject({ code: "closed", phase: "sent_no_response" });
  });

  it("while waiting, and in the middle of a stream → sent_no_response", async () => {
    const { server, upstream } = await serve(
      legacyHandler((seen, response) => {
        if (seen.body.method === "stream")
          response.writeHead(200, { "content-type": "text/event-stream" }).write(": x\n\n");
      }),
    );
    const session = await upstream.open(CLIENT);
    for (const method of ["wait", "stream"]) {
      const controller = new AbortController();
      const call = session.request({ method }, { signal: controller.signal });
      await eventually(() => server.seen.some((seen) => seen.body.method === method));
      controller.abort();
      expect(await failureOf(call)).toMatchObject({ code: "aborted", phase: "sent_no_response" });
    }
    expect(upstream.stats()).toMatchObject({ requestsActive: 0, requestsFailed: 2 });
  });

  it("during open, while others wait for the same probe", async () => {
    let answer: (() => void) | undefined;
    const inner = legacyHandler((seen, response) => json(response, result(seen.body.id, {})));
    const { upstream } = await serve((seen, response, request) => {
      if (seen.body.method === "server/discover") answer = () => void inner(seen, response, request);
      else void inner(seen, response, request);
    });
    const controller = new AbortController();
    const first = upstream.open({ ...CLIENT, signal: controller.signal });
    const second = upstream.open(CLIENT);
    await eventually(() => answer !== undefined);
    controller.abort();
    expect(await failureOf(first)).toMatchObject({ code: "aborted" });
    answer?.();
    expect((await second).era).toBe("legacy");
  });
});

describe("a lost session", () => {
  it("404 under a session id → session_lost, the session ends, the next one works", async () => {
    let lost = false;
    const { upstream } = await serve(
      legacyHandler((seen, response) => {
        if (lost && seen.headers["mcp-session-id"] === "s-1")
          json(response, failure(seen.body.id, -32001), 404);
        else json(response, result(seen.body.id, {}));
      }),
    );
    const session = await upstream.open(CLIENT);
    await session.request({ method: "x" });
    lost = true;
    expect(await failureOf(session.request({ method: "x" }))).toMatchObject({
      code: "session_lost",
      phase: "refused",
    });
    expect(await session.closed).toMatchObject({ kind: "lost" });
    expect(await failureOf(session.request({ method: "x" }))).toMatchObject({
      code: "session_lost",
      phase: "not_sent",
    });
    const next = await upstream.open(CLIENT);
    expect((await next.request({ method: "x" })).kind).toBe("result");
  });

  it("404 to a notification ends it too", async () => {
    const inner = legacyHandler(() => undefined);
    const { upstream } = await serve((seen, response, request) => {
      if (seen.body.method === "notifications/x") response.writeHead(404).end();
      else void inner(seen, response, request);
    });
    const session = await upstream.open(CLIENT);
    expect(await failureOf(session.notify({ method: "notifications/x" }))).toMatchObject({
      code: "session_lost",
    });
    expect(await session.closed).toMatchObject({ kind: "lost" });
  });

  it("a closed session and a closed upstream refuse", async () => {
    const { upstream } = await serve(
      legacyHandler((seen, response) => json(response, result(seen.body.id, {}))),
    );
    const session = await upstream.open(CLIENT);
    await session.close();
    expect(await failureOf(session.request({ method: "x" }))).toMatchObject({
      code: "closed",
      phase: "not_sent",
    });
    await upstream.close();
    expect(await failureOf(upstream.open(CLIENT))).toMatchObject({ code: "closed" });
  });

  it("a DELETE that is never answered does not hold close up for long", async () => {
    const inner = legacyHandler(() => undefined);
    const { upstream } = await serve(
      (seen, response, request) => (seen.method === "DELETE" ? undefined : inner(seen, response, request)),
      { closeTimeoutMs: 50 },
    );
    const session = await upstream.open(CLIENT);
    const before = performance.now();
    await session.close();
    expect(performance.now() - before).toBeLessThan(1_500);
  });
});

describe("credentials", () => {
  it("a function is asked for the headers of each request; its failure is not_sent", async () => {
    let token = 0;
    const { server, upstream } = await serve(
      legacyHandler((seen, response) => json(response, result(seen.body.id, {}))),
      {
        headers: async () => {
          if (token >= 5) throw new Error("no token");
          return { authorization: `Bearer ${++token}` };
        },
      },
    );
    const session = await upstream.open(CLIENT);
    await session.request({ method: "x" });
    expect(server.seen.map((seen) => seen.headers.authorization)).toEqual(
      [1, 2, 3, 4].map((n) => `Bearer ${n}`),
    );
    await session.request({ method: "x" });
    expect(await failureOf(session.request({ method: "x" }))).toMatchObject({ phase: "not_sent" });
  });

  it("an impossible header is not_sent", async () => {
    const { upstream } = await serve(legacyHandler(() => undefined));
    const session = await upstream.open(CLIENT);
    const call = session.request({ method: "x", headers: { "bad\nname": "x" } });
    expect(await failureOf(call)).toMatchObject({ phase: "not_sent" });
  });
});
