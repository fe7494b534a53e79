import { once } from "node:events";
import { constants, createServer, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { Pool } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { createHttpUpstream, UpstreamError } from "../src/upstream/index.ts";
import { CLIENT, result } from "./support/raw-server.ts";

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

/** A legacy server over HTTP/2 without TLS; tool calls are counted, then `end` does something to their stream. */
async function serve(end: (stream: ServerHttp2Stream) => void) {
  let executed = 0;
  const server = createServer();
  server.on("sessionError", () => undefined);
  server.on("stream", async (stream) => {
    stream.on("error", () => undefined);
    let text = "";
    for await (const chunk of stream) text += chunk;
    const { id, method } = JSON.parse(text || "{}") as { id?: number; method?: string };
    if (method === "tools/call") {
      executed++;
      return end(stream);
    }
    if (id === undefined) return stream.respond({ ":status": 202 }, { endStream: true });
    stream.respond({ ":status": 200, "content-type": "application/json" });
    stream.end(JSON.stringify(result(id, { protocolVersion: "2025-11-25", capabilities: {} })));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.push(() => server.close());
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // A client of the kind that somebody may hand in.
  const dispatcher = new Pool(origin, { useH2c: true, connections: 1, pipelining: 10 } as Pool.Options);
  const upstream = createHttpUpstream({
    url: `${origin}/mcp`,
    era: "legacy",
    serverStream: false,
    dispatcher,
  });
  cleanup.push(() => dispatcher.destroy());
  return { session: await upstream.open(CLIENT), executed: () => executed };
}

describe("an HTTP client that repeats requests by itself", () => {
  it.each([
    {
      after: "a stream that was refused",
      end: (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM),
    },
    {
      after: "a server that goes away and disowns the stream",
      end: (stream: ServerHttp2Stream) => stream.session?.goaway(constants.NGHTTP2_NO_ERROR, 1),
    },
    {
      after: "a connection that broke",
      end: (stream: ServerHttp2Stream) => stream.session?.socket.destroy(),
    },
  ])("executes no call twice: $after", async ({ end }) => {
    const { session, executed } = await serve(end);
    const error = await session.request({ method: "tools/call" }, { timeoutMs: 2_000 }).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(UpstreamError.is(error) && error.phase).toBe("sent_no_response");
    expect(executed()).toBe(1);
  });
});

it("over TLS no version of HTTP is offered in which the client would repeat requests by itself", async () => {
  const hello = Promise.withResolvers<Buffer>();
  const server = createTcpServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (data) => {
      hello.resolve(data);
      socket.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.push(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
  const upstream = createHttpUpstream({ url });
  cleanup.push(() => upstream.close());
  await upstream.open(CLIENT).catch(() => undefined);
  // The names of the versions stand in the first message in clear, each behind its length.
  const text = (await hello.promise).toString("latin1");
  expect(text).toContain("\u0008http/1.1");
  expect(text).not.toContain("\u0002h2");
});
