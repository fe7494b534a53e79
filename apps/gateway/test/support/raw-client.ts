import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { SseDecoder } from "@gatewright/mcp-bridge";
import type { TestGateway } from "./test-gateway.ts";

/** One event as a client reads it. */
export interface ReadEvent {
  readonly id: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape.
  readonly data: any;
}

/** A request whose connection the test can cut. */
export interface RawCall {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly events: readonly ReadEvent[];
  readonly ended: boolean;
  /** Resets the connection. */
  cut(): void;
  /** Stops reading. */
  pause(): void;
}

/** Sends a request on a connection of its own; resolves once the head of its answer is there. */
export async function openRaw(
  gateway: TestGateway,
  path: string,
  options: {
    readonly method?: string;
    readonly body?: unknown;
    readonly headers?: Record<string, string>;
    /** Reset the connection instead of waiting for an answer, as soon as this says so. */
    readonly cutWhen?: () => Promise<unknown>;
  },
): Promise<RawCall> {
  const { method = "POST", body, headers = {}, cutWhen } = options;
  const outgoing = request(`${gateway.url}${path}`, {
    method,
    agent: false,
    headers: {
      authorization: `Bearer ${gateway.token}`,
      accept: "application/json, text/event-stream",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
  });
  outgoing.on("error", () => undefined);
  outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  const events: ReadEvent[] = [];
  const cut = () => void outgoing.destroy();
  const pause: () => void = () => undefined;
  const call = { status: 0, headers: {}, events, ended: false, cut, pause };
  if (cutWhen !== undefined) {
    await cutWhen();
    outgoing.socket?.resetAndDestroy();
    return call;
  }
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  call.status = response.statusCode ?? 0;
  call.headers = response.headers;
  call.pause = () => void response.pause();
  const decoder = new SseDecoder({
    onEvent: ({ id, data }) => {
      const text = data.toString("utf8");
      events.push({ id, data: text === "" ? undefined : JSON.parse(text) });
    },
  });
  response.on("data", (chunk: Buffer) => decoder.push(chunk));
  response.on("error", () => undefined);
  response.on("end", () => {
    call.ended = true;
  });
  return call;
}
