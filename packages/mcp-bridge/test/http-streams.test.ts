import type { ServerResponse } from "node:http";
import { afterAll, describe, expect, it } from "vitest";
import { textOf } from "../src/index.ts";
import { createHttpUpstream, type HttpUpstreamOptions, type UpstreamMessage } from "../src/upstream/index.ts";
import { eventually } from "./support/children.ts";
import {
  CLIENT,
  type Handler,
  json,
  legacyHandler,
  modernHandler,
  result,
  startRawServer,
} from "./support/raw-server.ts";

// Each test has servers of its own and some mostly wait: they run several at a time.
const cleanup: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

async function serve(handler: Handler, options: Partial<HttpUpstreamOptions> = {}) {
  const server = await startRawServer(handler);
  const upstream = createHttpUpstream({ url: server.url, ...options });
  cleanup.push(server.close, () => upstream.close());
  return { server, upstream };
}

function stream(response: ServerResponse): (value: unknown, head?: string) => void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  return (value, head = "") => response.write(`${head}event: message\ndata: ${JSON.stringify(value)}\n\n`);
}

const note = (method: string, params: object) => ({ jsonrpc: "2.0", method, params });

describe.concurrent("answers on an event stream", () => {
  it("delivers what comes before the answer in order, with the caller's progress token", async () => {
    const { upstream } = await serve(
      legacyHandler((seen, response) => {
        const send = stream(response);
        const meta = seen.body.params?.["_meta"] as { progressToken: number };
        response.write("id: e0\ndata:\n\n");
        send(note("notifications/progress", { progressToken: meta.progressToken, progress: 1 }), "id: e1\n");
        send(note("notifications/progress", { progressToken: "other", progress: 1 }));
        send([note("notifications/message", { level: "info", data: 1 })]);
        send(result(seen.body.id, { done: meta.progressToken }));
        response.end();
      }),
      { serverStream: false },
    );
    const session = await upstream.open(CLIENT);
    const seen: UpstreamMessage[] = [];
    const params = '{"x":1,"_meta":{"progressToken":"tök","k":2}}';
    const answer = await session.request(
      { method: "x", params },
      { onMessage: (message) => seen.push(message) },
    );
    expect(answer).toMatchObject({ kind: "result", via: "stream" });
    expect(seen.map((message) => message.params)).toEqual([
      { progressToken: "tök", progress: 1 },
      { progressToken: "other", progress: 1 },
      { level: "info", data: 1 },
    ]);
  });

  it("hands on a question of a legacy server and sends the answer back", async () => {
    let finish: ((value: unknown) => void) | undefined;
    const inner = legacyHandler((seen, response) => {
      const send = stream(response);
      send({ jsonrpc: "2.0", id: 99, method: "elicitation/create", params: {} });
      finish = (value) => {
        send(result(seen.body.id, value));
        response.end();
      };
    });
    const { server, upstream } = await serve((seen, response, request) => {
      if (seen.body.method !== undefined || seen.body.id === undefined) return inner(seen, response, request);
      response.writeHead(202).end();
      return finish?.(JSON.parse(seen.text));
    });
    const session = await upstream.open(CLIENT);
    const answer = await session.request(
      { method: "x" },
      {
        onMessage: (message) => {
          if (message.kind !== "request") throw new Error("Expected a request.");
          const idText = textOf(message.bytes, message.idSpan);
          void session.respond({ idText, result: '{"action":"accept"}' });
        },
      },
    );
    expect(answer.value()).toEqual(result(99, { action: "accept" }));
    await session.respond({ idText: "7", error: '{"code":-1,"message":"no"}' });
    expect(server.seen.at(-1)?.text).toBe('{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}');
  });

  it("is resumed behind the last event id when a legacy server closes it early, after the time it asked for", async () => {
    const times: number[] = [];
    const { server, upstream } = await serve(
      legacyHandler(
        (seen, response) => {
          id = seen.body.id;
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.end("id: a-1\nretry: 60\ndata:\n\n");
          times.push(performance.now());
        },
        {
          stream: (seen, response) => {
            if (seen.headers["last-event-id"] === undefined) return response.writeHead(405).end();
            times.push(performance.now());
            const send = stream(response);
            if (seen.headers["last-event-id"] === "a-1") return response.end("id: a-2\ndata:\n\n");
            send(result(id, { late: true }));
            return response.end();
          },
        },
      ),
    );
    let id: unknown;
    const session = await upstream.open(CLIENT);
    const answer = await session.request({ method: "x" });
    expect(answer.value()).toEqual({ late: true });
    const resumptions = server.seen.filter((seen) => seen.headers["last-event-id"] !== undefined);
    expect(resumptions.map((seen) => seen.headers["last-event-id"])).toEqual(["a-1", "a-2"]);
    expect(resumptions[0]?.headers["mcp-session-id"]).toBe("s-1");
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(50);
  });

  it.each(["open", "closed"])(
    "is taken from the session's own stream too, while that of the request is %s",
    async (own) => {
      let id: unknown;
      let onStream: ((value: unknown) => void) | undefined;
      const { server, upstream } = await serve(
        legacyHandler(
          (seen, response) => {
            id = seen.body.id;
            response.writeHead(200, { "content-type": "text/event-stream" });
            response.write("id: a-1\nretry: 60000\ndata:\n\n");
            onStream?.(result("of nobody", {}));
            if (own === "open") onStream?.(result(id, { elsewhere: true }));
            else response.end(() => setTimeout(() => onStream?.(result(id, { elsewhere: true })), 50));
          },
          {
            stream: (_seen, response) => {
              onStream = stream(response);
            },
          },
        ),
      );
      const session = await upstream.open({ ...CLIENT, onMessage: () => undefined });
      await eventually(() => onStream !== undefined);
      expect((await session.request({ method: "x" }, { timeoutMs: 10_000 })).value()).toEqual({
        elsewhere: true,
      });
      expect(server.seen.some((seen) => seen.headers["last-event-id"] !== undefined)).toBe(false);
      expect(upstream.stats().requestsActive).toBe(0);
    },
  );

  it("is waited for no longer when the session is closed in the pause before a resumption", async () => {
    const { upstream } = await serve(
      legacyHandler((_seen, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end("id: a-1\nretry: 60000\ndata:\n\n");
      }),
      { serverStream: false },
    );
    const session = await upstream.open(CLIENT);
    let settled = false;
    const call = session.request({ method: "x" }, { timeoutMs: 30_000 }).finally(() => {
      settled = true;
    });
    const failed = expect(call).rejects.toMatchObject({ code: "closed", phase: "sent_no_response" });
    // The stream has ended long before; without an end of the pause this would be a failure after 10 s.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(settled).toBe(false);
    void session.close();
    await failed;
  }, 10_000);

  it("is resumed by GET alone, again and again: after a reset in the middle, a reset resumption, one refused for a time", async () => {
    let id: unknown;
    let resumptions = 0;
    const { server, upstream } = await serve(
      legacyHandler(
        (seen, response) => {
          id = seen.body.id;
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.write("id: a-1\nretry: 1\ndata:\n\n", () => setTimeout(() => response.destroy(), 20));
        },
        {
          stream: (seen, response) => {
            if (seen.headers["last-event-id"] === undefined) return response.writeHead(405).end();
            resumptions++;
            if (resumptions === 1) return response.destroy();
            if (resumptions < 4) return response.writeHead(resumptions === 2 ? 503 : 409).end();
            stream(response)(result(id, { late: true }));
            return response.end();
          },
        },
      ),
    );
    const session = await upstream.open(CLIENT);
    const answer = await session.request({ method: "x" }, { timeoutMs: 20_000 });
    expect(answer.value()).toEqual({ late: true });
    expect(resumptions).toBe(4);
    expect(server.seen.filter(({ body }) => body.method === "x")).toHaveLength(1);
  });

  it("that cannot be resumed within its time, or is refused for good, has an unknown outcome", async () => {
    let status = 503;
    let calls = 0;
    // By call: one that was given up may still be resumed when the next has begun.
    const resumed: string[] = [];
    const resumptions = (call: number) => resumed.filter((id) => id === `${call}-1`).length;
    const { server, upstream } = await serve(
      legacyHandler(
        (_seen, response) => {
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.end(`id: ${++calls}-1\nretry: 20\ndata:\n\n`);
        },
        {
          stream: (seen, response) => {
            const id = seen.headers["last-event-id"];
            if (id === undefined) return response.writeHead(405).end();
            resumed.push(String(id));
            return status === 0 ? response.destroy() : response.writeHead(status).end();
          },
        },
      ),
    );
    const session = await upstream.open(CLIENT);
    const outcome = (timeoutMs: number) =>
      session.request({ method: "x" }, { timeoutMs }).catch((error: unknown) => error);
    expect(await outcome(0)).toMatchObject({ code: "upstream_unreachable", phase: "sent_no_response" });
    expect(resumptions(1)).toBe(5);
    status = 0;
    expect(await outcome(0)).toMatchObject({ code: "upstream_unreachable", phase: "sent_no_response" });
    expect(resumptions(2)).toBe(5);
    expect(await outcome(250)).toMatchObject({ code: "upstream_timeout", phase: "sent_no_response" });
    status = 404;
    expect(await outcome(0)).toMatchObject({ code: "upstream_unreachable", phase: "sent_no_response" });
    expect(resumptions(4)).toBe(1);
    expect(server.seen.filter(({ body }) => body.method === "x")).toHaveLength(4);
  });

  it.each(["on a stream", "as JSON"])(
    "is found among the parts of a batch of 2025-03-26, %s",
    async (how) => {
      const { upstream } = await serve(
        legacyHandler((seen, response) => {
          const meta = seen.body.params?.["_meta"] as { progressToken: number };
          const batch = [
            note("notifications/progress", { progressToken: meta.progressToken, progress: 1 }),
            result(seen.body.id, { own: true }),
            result("another", { own: false }),
            note("notifications/message", { level: "info", data: 1 }),
          ];
          if (how === "as JSON") return json(response, batch);
          stream(response)(batch);
          return response.end();
        }),
        { serverStream: false },
      );
      const session = await upstream.open({ ...CLIENT, protocolVersion: "2025-03-26" });
      const seen: UpstreamMessage[] = [];
      const answer = await session.request(
        { method: "x", params: '{"_meta":{"progressToken":"mine"}}' },
        { onMessage: (message) => seen.push(message) },
      );
      expect(answer.value()).toEqual({ own: true });
      expect(JSON.parse(answer.withId('"c"').toString())).toEqual(result("c", { own: true }));
      // Each as if it had come alone.
      expect(seen.map(({ bytes }) => JSON.parse(bytes.toString()) as unknown)).toEqual([
        note("notifications/progress", { progressToken: "mine", progress: 1 }),
        note("notifications/message", { level: "info", data: 1 }),
      ]);
    },
  );

  it("gives up when resuming is refused or brings nothing", async () => {
    const { upstream } = await serve(
      legacyHandler(
        (_seen, response) => {
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.end("id: a-1\nretry: 1\ndata:\n\n");
        },
        {
          stream: (seen, response) => {
            if (seen.headers["last-event-id"] === undefined) return response.writeHead(405).end();
            response.writeHead(200, { "content-type": "text/event-stream" });
            return response.end();
          },
        },
      ),
    );
    const session = await upstream.open(CLIENT);
    await expect(session.request({ method: "x" })).rejects.toMatchObject({ phase: "sent_no_response" });
  });

  it("reuses the connections of streams that end with their answer", async () => {
    const { server, upstream } = await serve(
      legacyHandler((seen, response) => {
        stream(response)(result(seen.body.id, {}));
        response.end();
      }),
      { serverStream: false },
    );
    const session = await upstream.open(CLIENT);
    for (let call = 0; call < 20; call++) await session.request({ method: "x" });
    // The end of a stream may arrive just after its answer, when the next call is already on its way.
    expect(server.sockets.size).toBeLessThan(4);
  });

  it("a subscription ends with its signal, and the server sees the stream close", async () => {
    let closed = false;
    const { upstream } = await serve(
      modernHandler((seen, response) => {
        const send = stream(response);
        send(note("notifications/subscriptions/acknowledged", { _meta: {}, notifications: {} }));
        send(
          note("notifications/tools/list_changed", {
            _meta: { "io.modelcontextprotocol/subscriptionId": seen.body.id },
          }),
        );
        response.on("close", () => {
          closed = true;
        });
      }),
    );
    const session = await upstream.open(CLIENT);
    const controller = new AbortController();
    const seen: string[] = [];
    const listening = session.request(
      { method: "subscriptions/listen", params: '{"notifications":{"toolsListChanged":true}}' },
      { signal: controller.signal, timeoutMs: 0, onMessage: (message) => seen.push(message.method) },
    );
    await eventually(() => seen.length === 2);
    controller.abort();
    await expect(listening).rejects.toMatchObject({ code: "aborted" });
    await eventually(() => closed);
  });
});

describe.concurrent("the stream for the server's own messages", () => {
  it("delivers, is reopened behind the last event id, and closes with the session", async () => {
    const opened: (string | undefined)[] = [];
    let current: ServerResponse | undefined;
    const { upstream } = await serve(
      legacyHandler(() => undefined, {
        stream: (seen, response) => {
          opened.push(seen.headers["last-event-id"] as string | undefined);
          current = response;
          stream(response)(
            note("notifications/tools/list_changed", {}),
            `retry: 10\nid: g-${opened.length}\n`,
          );
          if (opened.length === 1) response.end();
          return undefined;
        },
      }),
    );
    const seen: UpstreamMessage[] = [];
    const session = await upstream.open({ ...CLIENT, onMessage: (message) => seen.push(message) });
    await eventually(() => seen.length === 2);
    expect(opened).toEqual([undefined, "g-1"]);
    let closed = false;
    current?.on("close", () => {
      closed = true;
    });
    await session.close();
    await eventually(() => closed);
  });

  it("is opened again after a refusal that passes: 401 while credentials change, 409 while it is taken for open", async () => {
    const refusals = [401, 409];
    let opened = 0;
    const { upstream } = await serve(
      legacyHandler(() => undefined, {
        stream: (_seen, response) => {
          opened++;
          const refusal = opened === 1 ? undefined : refusals.shift();
          if (refusal !== undefined) return response.writeHead(refusal).end();
          stream(response)(note("notifications/tools/list_changed", {}), "retry: 5\n");
          if (opened === 1) response.end();
          return undefined;
        },
      }),
    );
    const seen: UpstreamMessage[] = [];
    await upstream.open({ ...CLIENT, onMessage: (message) => seen.push(message) });
    // Two pauses of a second and of two.
    await eventually(() => seen.length === 2, 30_000);
    expect(opened).toBe(4);
  });

  it("routes progress that comes on it to the caller's token", async () => {
    let push: ((value: unknown) => void) | undefined;
    const { upstream } = await serve(
      legacyHandler(
        (seen, response) => {
          const meta = seen.body.params?.["_meta"] as { progressToken: number };
          push?.(note("notifications/progress", { progressToken: meta.progressToken, progress: 1 }));
          setTimeout(() => {
            stream(response)(result(seen.body.id, {}));
            response.end();
          }, 30);
        },
        {
          stream: (_seen, response) => {
            push = stream(response);
            response.flushHeaders();
          },
        },
      ),
    );
    const seen: UpstreamMessage[] = [];
    const session = await upstream.open({ ...CLIENT, onMessage: (message) => seen.push(message) });
    await eventually(() => push !== undefined);
    await session.request({ method: "x", params: '{"_meta":{"progressToken":"mine"}}' });
    await eventually(() => seen.length === 1);
    expect(seen[0]?.params).toEqual({ progressToken: "mine", progress: 1 });
  });

  it("a 404 at first means that there is none; a later one that the session is gone", async () => {
    let mode: "never" | "once" = "never";
    let opened = 0;
    const { upstream } = await serve(
      legacyHandler(
        (seen, response) =>
          response
            .writeHead(200, { "content-type": "application/json" })
            .end(JSON.stringify(result(seen.body.id, {}))),
        {
          stream: (_seen, response) => {
            opened++;
            if (mode === "never" || opened > 2) return response.writeHead(404).end();
            return response.writeHead(200, { "content-type": "text/event-stream" }).end("retry: 5\n\n");
          },
        },
      ),
    );
    const first = await upstream.open({ ...CLIENT, onMessage: () => undefined });
    await eventually(() => opened === 1);
    expect((await first.request({ method: "x" })).kind).toBe("result");
    mode = "once";
    const second = await upstream.open({ ...CLIENT, onMessage: () => undefined });
    expect(await second.closed).toMatchObject({ kind: "lost" });
  });

  it("can be waited for, so that what a first call makes the server ask is not lost; no longer than asked", async () => {
    let opened = false;
    const late: ServerResponse[] = [];
    const { upstream } = await serve(
      legacyHandler(() => undefined, {
        stream: (_seen, response) => {
          setTimeout(() => {
            opened = true;
            response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
          }, 100);
        },
      }),
    );
    const onMessage = () => undefined;
    await upstream.open({ ...CLIENT, onMessage, streamWaitMs: 10_000 });
    expect(opened).toBe(true);
    const silent = await serve(
      legacyHandler(() => undefined, { stream: (_seen, response) => void late.push(response) }),
    );
    const before = performance.now();
    await silent.upstream.open({ ...CLIENT, onMessage, streamWaitMs: 50 });
    expect(performance.now() - before).toBeLessThan(2_000);
    const none = await serve(
      legacyHandler(() => undefined, { stream: (_seen, response) => void response.writeHead(405).end() }),
    );
    await none.upstream.open({ ...CLIENT, onMessage, streamWaitMs: 60_000 });
  });
});
