import { createServer } from "node:http";
import { listenOnLoopback } from "./listen-on-loopback.ts";

/** A legacy MCP server over HTTP that keeps the bytes of every call, and answers with a text the test gave it. */
export interface RecordingServer {
  readonly url: string;
  /** Bodies of `tools/call`, as they came. */
  readonly calls: readonly string[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts one; `answer` is the text of its answer to a call whose id is `idText`. */
export async function startRecordingServer(answer: (idText: string) => string): Promise<RecordingServer> {
  const calls: string[] = [];
  const results: Readonly<Record<string, unknown>> = {
    initialize: {
      protocolVersion: "2025-11-25",
      capabilities: { tools: {} },
      serverInfo: { name: "recording", version: "1" },
    },
    "tools/list": { tools: [{ name: "keep", inputSchema: { type: "object" } }] },
  };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method !== "POST") return void response.writeHead(405).end();
    const text = Buffer.concat(chunks).toString("utf8");
    const { id, method } = JSON.parse(text) as { readonly id?: unknown; readonly method: string };
    if (id === undefined) return void response.writeHead(202).end();
    const idText = JSON.stringify(id);
    const result = results[method];
    const unknown = { code: -32601, message: "Method not found" };
    const body = { jsonrpc: "2.0", id, ...(result === undefined ? { error: unknown } : { result }) };
    if (method === "tools/call") calls.push(text);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(method === "tools/call" ? answer(idText) : JSON.stringify(body));
  });
  const listening = await listenOnLoopback(server);
  return { ...listening, url: `${listening.origin}/mcp`, calls };
}
