import { createServer, type ServerResponse } from "node:http";
import { listenOnLoopback } from "./listen-on-loopback.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape.
type Message = any;

/** A `tools/call` in flight, answered by an event stream. */
export interface LegacyCall {
  readonly session: string;
  readonly params: Message;
  /** Says something on the stream of the call. */
  say(message: object): void;
  /** Says something on the session's own stream, once that is open. */
  sayOwn(message: object): void;
  answer(result?: object): void;
}

/** A legacy MCP server over HTTP whose calls a test answers by hand. */
export interface LegacyServer {
  readonly url: string;
  /** Answers and notifications of clients, in order. */
  readonly taken: readonly { readonly session: string; readonly message: Message }[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts one; `tools` by name. `takes` is the status by which it takes answers and notifications. */
export async function startLegacyServer(
  tools: Readonly<Record<string, (call: LegacyCall) => void>>,
  capabilities: object = { tools: {} },
  takes: (message: Message) => number = () => 202,
): Promise<LegacyServer> {
  const taken: { session: string; message: Message }[] = [];
  const streams = new Map<string, ServerResponse>();
  const open = (response: ServerResponse) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    return (message: object) =>
      void response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...message })}\n\n`);
  };
  let sessions = 0;
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const session = String(request.headers["mcp-session-id"] ?? `s${++sessions}`);
    if (request.method === "GET") {
      open(response);
      streams.set(session, response);
      return;
    }
    const message = JSON.parse(body || "{}") as Message;
    const { id, method, params } = message;
    if (id === undefined || method === undefined) {
      if (request.method === "POST") taken.push({ session, message });
      response.writeHead(takes(message)).end();
      return;
    }
    const call = method === "tools/call" ? tools[params.name] : undefined;
    if (call !== undefined) {
      const say = open(response);
      call({
        session,
        params,
        say,
        sayOwn: (said) => {
          const stream = streams.get(session);
          if (stream === undefined) throw new Error("the session has no stream");
          stream.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...said })}\n\n`);
        },
        answer: (result = { content: [] }) => {
          say({ id, result });
          response.end();
        },
      });
      return;
    }
    const json = (outcome: object, status = 200) => {
      response.writeHead(status, { "content-type": "application/json", "mcp-session-id": session });
      response.end(JSON.stringify({ jsonrpc: "2.0", id, ...outcome }));
    };
    const serverInfo = { name: "legacy", version: "1" };
    const listed = Object.keys(tools).map((name) => ({ name, inputSchema: { type: "object" } }));
    if (method === "initialize") {
      json({ result: { protocolVersion: params.protocolVersion, capabilities, serverInfo } });
    } else if (method === "tools/list") json({ result: { tools: listed } });
    else json({ error: { code: -32_601, message: "no" } }, method === "server/discover" ? 400 : 200);
  });
  const listening = await listenOnLoopback(server);
  return { ...listening, url: `${listening.origin}/mcp`, taken };
}
