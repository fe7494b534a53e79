import type { IncomingMessage, ServerResponse } from "node:http";
import type { Era, Fixture, FixtureStats, ListenOptions } from "./fixture.ts";
import { listenHttp } from "./http-listener.ts";
import { failure } from "./raw-messages.ts";
import { createRawProtocol } from "./raw-protocol.ts";
import type { RawMessage, RawToolset } from "./raw-tools.ts";
import { readBody } from "./read-body.ts";
import { createTraffic } from "./traffic.ts";

/** How a toolset is put on HTTP without the SDK. */
export interface RawHttpOptions extends ListenOptions {
  readonly era: Era;
  readonly toolset: RawToolset;
  /** How a `tools/call` is answered: one JSON body, or an SSE stream with one event. */
  readonly answerAs: "json" | "sse";
  /** What `GET /stats` answers beside the usual figures. */
  readonly report?: () => object;
  /**
   * Sees every `tools/call` before it is executed, and either calls `execute` (at most once; it returns how to
   * send the answer) or does with the response what it likes.
   */
  readonly intercept?: (message: RawMessage, response: ServerResponse, execute: () => () => void) => void;
}

const sendJson = (response: ServerResponse, status: number, body: string): void => {
  response.writeHead(status, [
    "content-type",
    "application/json",
    "content-length",
    `${Buffer.byteLength(body)}`,
  ]);
  response.end(body);
};

const sendSse = (response: ServerResponse, body: string): void => {
  response.writeHead(200, ["content-type", "text/event-stream", "cache-control", "no-cache"]);
  response.end(`event: message\ndata: ${body}\n\n`);
};

/** A fixture that can refuse connections. */
export interface RawFixture extends Fixture {
  /** Refuses connections for so many milliseconds and lets go of idle ones; what is under way is answered. */
  refuseFor(ms: number): Promise<void>;
}

/** Serves a toolset over streamable HTTP at `/mcp`, as cheaply as node:http can. */
export async function startRawHttp(options: RawHttpOptions): Promise<RawFixture> {
  const { era, toolset, answerAs, intercept } = options;
  const protocol = createRawProtocol(era, toolset);
  const traffic = createTraffic();
  const timers = new Set<NodeJS.Timeout>();

  const sendCall = (response: ServerResponse, body: string, waitMs: number): void => {
    if (waitMs > 0) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        sendCall(response, body, 0);
      }, waitMs);
      timers.add(timer);
    } else if (answerAs === "json") sendJson(response, 200, body);
    else sendSse(response, body);
  };

  const answer = (request: IncomingMessage, response: ServerResponse, message: RawMessage): (() => void) => {
    const answered = protocol.answer(message, request.headers["mcp-session-id"] as string | undefined);
    if (answered.session !== undefined) {
      traffic.sessionOpened();
      response.setHeader("mcp-session-id", answered.session);
    }
    const { call, status, body } = answered;
    return call ? () => sendCall(response, body, call.waitMs) : () => sendJson(response, status, body);
  };

  const receive = (request: IncomingMessage, response: ServerResponse, bytes: Buffer): void => {
    let message: RawMessage;
    try {
      message = JSON.parse(bytes.toString("utf8")) as RawMessage;
    } catch {
      traffic.begin("invalid", response);
      sendJson(response, 400, failure("null", -32700, "Parse error"));
      return;
    }
    traffic.begin(message.method ?? "response", response);
    if (message.id === undefined || message.method === undefined) response.writeHead(202).end();
    else if (intercept === undefined || message.method !== "tools/call") answer(request, response, message)();
    else intercept(message, response, () => answer(request, response, message));
  };

  const endSession = (request: IncomingMessage, response: ServerResponse): void => {
    const ended = protocol.end(String(request.headers["mcp-session-id"]));
    if (ended) traffic.sessionClosed();
    response.writeHead(ended ? 200 : 404).end();
  };

  const mcp = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.method === "POST") {
      readBody(request, (bytes) => receive(request, response, bytes));
      return;
    }
    traffic.count(request.method ?? "unknown");
    if (request.method === "DELETE" && era !== "modern") endSession(request, response);
    else response.writeHead(405, { allow: era === "modern" ? "POST" : "POST, DELETE" }).end();
  };

  const stats = (): FixtureStats => traffic.snapshot(listener.connections());
  const listener = await listenHttp({ mcp, report: () => ({ ...stats(), ...options.report?.() }) }, options);
  const close = (): Promise<void> => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    return listener.close();
  };
  const { origin, port, refuseFor } = listener;
  return { url: `${origin}/mcp`, port, stats, refuseFor, close, [Symbol.asyncDispose]: close };
}
