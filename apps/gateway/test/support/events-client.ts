import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { SseDecoder } from "@gatewright/mcp-bridge";
import { eventually } from "@gatewright/testkit";
import type { RpcAnswer } from "./test-gateway.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape.
type Message = any;

/** A gateway, in this process or in one of its own. */
interface Served {
  readonly url: string;
  readonly token: string;
}

/** A client of the transport of 2024-11-05. */
export interface EventsClient {
  /** What the first event said: where to post. */
  readonly endpoint: string;
  readonly events: readonly string[];
  readonly messages: readonly Message[];
  /** The stream itself. */
  readonly response: IncomingMessage;
  /** Posts a message, to the replica that holds the stream or to another. */
  post(message: unknown, headers?: Record<string, string>, at?: Served): Promise<RpcAnswer>;
  /** Posts a request and waits for its answer on the stream. */
  ask(message: Record<string, unknown>): Promise<Message>;
  find(matches: (message: Message) => boolean): Promise<Message>;
  ended(): boolean;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Opens a stream and waits for its first event. */
export async function openEvents(
  gateway: Served,
  path = "/sse",
  options: { readonly token?: string } = {},
): Promise<EventsClient> {
  const { token = gateway.token } = options;
  const authorization = `Bearer ${token}`;
  const outgoing = request(`${gateway.url}${path}`, {
    agent: false,
    headers: { authorization, accept: "text/event-stream" },
  });
  outgoing.on("error", () => undefined);
  outgoing.end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  if (response.statusCode !== 200) throw new Error(`the stream was refused with ${response.statusCode}`);
  const events: string[] = [];
  const messages: Message[] = [];
  let endpoint: string | undefined;
  let ended = false;
  const decoder = new SseDecoder({
    onEvent({ event, data }) {
      events.push(event);
      if (event === "endpoint") endpoint = data.toString();
      else messages.push(JSON.parse(data.toString()));
    },
  });
  response.on("data", (chunk: Buffer) => decoder.push(chunk));
  response.on("error", () => undefined);
  response.once("close", () => {
    ended = true;
  });
  const find = (matches: (message: Message) => boolean) =>
    eventually(() => {
      const found = messages.find(matches);
      if (found === undefined) throw new Error("not yet");
      return found;
    });
  const post = async (message: unknown, headers: Record<string, string> = {}, at: Served = gateway) => {
    const posted = await fetch(`${at.url}${endpoint}`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json", ...headers },
      body: typeof message === "string" ? message : JSON.stringify(message),
    });
    const text = await posted.text();
    const isJson = posted.headers.get("content-type")?.includes("json") === true;
    return { status: posted.status, headers: posted.headers, body: isJson ? JSON.parse(text) : text };
  };
  await eventually(() => endpoint !== undefined);
  return {
    endpoint: endpoint ?? "",
    events,
    messages,
    response,
    post,
    find,
    ended: () => ended,
    async ask(message) {
      await post({ jsonrpc: "2.0", ...message });
      return find((answer) => answer.id === message["id"] && answer.method === undefined);
    },
    async [Symbol.asyncDispose]() {
      outgoing.destroy();
      await eventually(() => ended);
    },
  };
}
