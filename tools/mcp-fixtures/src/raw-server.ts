import type { IncomingMessage, ServerResponse } from "node:http";
import type { Era, Fixture, FixtureStats, ListenOptions } from "./fixture.ts";
import { listenHttp } from "./http-listener.ts";
import { failure } from "./raw-messages.ts";
import { createRawProtocol } from "./raw-protocol.ts";
import type { RawMessage } from "./raw-tools.ts";
import { readBody } from "./read-body.ts";
import { createTraffic } from "./traffic.ts";

/** How the raw server behaves; it is meant for load, so it checks only what costs next to nothing. */
export interface RawServerOptions extends ListenOptions {
  /** Default `dual`. */
  readonly era?: Era;
  /** How a `tools/call` is answered: one JSON body (default) or an SSE stream with one event. */
  readonly answer?: "json" | "sse";
  /** Size of the text that the tool `payload` answers when a call names none; default 51 200 bytes. */
  readonly resultBytes?: number;
  /** Added to every `tools/call`; default 0. */
  readonly delayMs?: number;
}

/**
 * An MCP server on bare node:http, without the SDK: streamable HTTP, sessions for legacy clients, stateless
 * answers for 2026-07-28. Tools: `echo {text}`, `payload {bytes}`, `wait {ms}`.
 */
export async function startRawServer(options: RawServerOptions = {}): Promise<Fixture> {
  const { era = "dual", answer: answerAs = "json", resultBytes = 51_200, delayMs = 0 } = options;
  const protocol = createRawProtocol({ era, resultBytes, delayMs });
  const traffic = createTraffic();
  const timers = new Set<NodeJS.Timeout>();

  const sendJson = (response: ServerResponse, status: number, body: string): void => {
    response.writeHead(status, [
      "content-type",
      "application/json",
      "content-length",
      `${Buffer.byteLength(body)}`,
    ]);
    response.end(body);
  };

  const sendCall = (response: ServerResponse, body: string): void => {
    if (answerAs === "json") {
      sendJson(response, 200, body);
      return;
    }
    response.writeHead(200, ["content-type", "text/event-stream", "cache-control", "no-cache"]);
    response.end(`event: message\ndata: ${body}\n\n`);
  };

  const sendCallLater = (response: ServerResponse, body: string, waitMs: number): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      sendCall(response, body);
    }, waitMs);
    timers.add(timer);
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
    if (message.id === undefined) {
      response.writeHead(202).end();
      return;
    }
    const answer = protocol.answer(message, request.headers["mcp-session-id"] as string | undefined);
    if (answer.session !== undefined) {
      traffic.sessionOpened();
      response.setHeader("mcp-session-id", answer.session);
    }
    if (answer.call === undefined) sendJson(response, answer.status, answer.body);
    else if (answer.call.waitMs > 0) sendCallLater(response, answer.body, answer.call.waitMs);
    else sendCall(response, answer.body);
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
  const listener = await listenHttp({ mcp, report: stats }, options);

  const close = (): Promise<void> => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    return listener.close();
  };
  return {
    url: `${listener.origin}/mcp`,
    port: listener.port,
    stats,
    close,
    [Symbol.asyncDispose]: close,
  };
}
