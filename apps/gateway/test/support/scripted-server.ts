import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { encodeAcknowledged } from "@gatewright/mcp-bridge/bridge";
import { listenOnLoopback } from "./listen-on-loopback.ts";

/** A request as it arrived. */
export interface SeenRequest {
  readonly id: number;
  readonly method: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into params of any shape.
  readonly params: any;
  readonly headers: IncomingHttpHeaders;
  /** When it came, and whether its connection was closed before the answer was out. */
  readonly atMs: number;
  aborted: boolean;
  /** Whether the whole answer has been handed to the connection. */
  answered: boolean;
}

/** What a test wants done with a request: a result, an HTTP status, or something by hand. */
export type Step =
  | { readonly result: unknown }
  | { readonly error: { readonly code: number; readonly message: string } }
  | { readonly status: number; readonly headers?: Record<string, string> }
  | ((response: ServerResponse, send: (result: unknown) => void) => void);

/** A modern MCP server over HTTP whose every answer a test scripts. */
export interface ScriptedServer {
  readonly url: string;
  /** Requests of a method, in order. */
  seen(method: string): SeenRequest[];
  /** The next answers to a method, in order; the last one stays. */
  script(method: string, ...steps: Step[]): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const inputSchema = { type: "object" };
const tools = [
  { name: "read", inputSchema, annotations: { readOnlyHint: true } },
  { name: "put", inputSchema, annotations: { idempotentHint: true } },
  { name: "write", inputSchema },
];
const done = { content: [{ type: "text", text: "done" }] };
const defaults: Readonly<Record<string, unknown>> = {
  "server/discover": {
    supportedVersions: ["2026-07-28"],
    capabilities: { tools: {}, prompts: {}, resources: {}, completions: {} },
  },
  "tools/list": { tools },
  "tools/call": done,
  "prompts/list": { prompts: [{ name: "greet" }] },
  "prompts/get": { messages: [] },
  "resources/list": { resources: [{ uri: "res://a", name: "a" }] },
  "resources/templates/list": { resourceTemplates: [] },
  "resources/read": { contents: [{ uri: "res://a", text: "a" }] },
  "completion/complete": { completion: { values: ["x"] } },
};

/** Starts one. */
export async function startScriptedServer(port = 0): Promise<ScriptedServer> {
  const requests: SeenRequest[] = [];
  const scripts = new Map<string, Step[]>();
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { id, method, params } = JSON.parse(body || "{}");
    const { headers } = request;
    const seen = { id, method, params, headers, atMs: performance.now(), aborted: false, answered: false };
    requests.push(seen);
    response.once("finish", () => {
      seen.answered = true;
    });
    response.once("close", () => {
      seen.aborted = !response.writableFinished;
    });
    const steps = scripts.get(method);
    const step = (steps !== undefined && steps.length > 1 ? steps.shift() : steps?.[0]) ?? {
      result: defaults[method] ?? {},
    };
    const json = (message: object) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ jsonrpc: "2.0", id, ...message }));
    };
    const send = (result: unknown) => json({ result: { ...(result as object), resultType: "complete" } });
    if (typeof step === "function") step(response, send);
    else if ("status" in step) response.writeHead(step.status, step.headers).end();
    else if ("error" in step) json({ error: step.error });
    else send(step.result);
  });
  const listening = await listenOnLoopback(server, port);
  return {
    ...listening,
    url: `${listening.origin}/mcp`,
    seen: (method) => requests.filter((request) => request.method === method),
    script: (method, ...steps) => void scripts.set(method, steps),
  };
}

/** Has a server acknowledge every `subscriptions/listen`, so that nobody waits for that. */
export function acknowledgeAll(server: ScriptedServer): void {
  server.script("subscriptions/listen", (response) => {
    const { id, params } = server.seen("subscriptions/listen").at(-1) as SeenRequest;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`data: ${encodeAcknowledged(JSON.stringify(id), params.notifications)}\n\n`);
  });
}

/** Resets the connection. */
export const reset: Step = (response) => {
  response.socket?.resetAndDestroy();
};
