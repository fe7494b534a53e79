import type { Era, Fixture, ListenOptions } from "./fixture.ts";
import { startRawHttp } from "./raw-http.ts";
import { createRawTools } from "./raw-tools.ts";

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
export function startRawServer(options: RawServerOptions = {}): Promise<Fixture> {
  const { era = "dual", answer = "json", resultBytes = 51_200, delayMs = 0 } = options;
  return startRawHttp({
    ...options,
    era,
    answerAs: answer,
    toolset: createRawTools({ resultBytes, delayMs }),
  });
}
