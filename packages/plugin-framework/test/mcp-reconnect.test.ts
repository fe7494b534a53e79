import { createServer as createHttpServer, type ServerResponse } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { eventually, reservePort } from "@gatewright/testkit";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { createPluginPipeline, type PluginEntry, type PluginPipeline } from "../src/index.ts";
import { createMcpPlugin, type McpPluginOptions } from "../src/mcp/index.ts";
import { toolCall } from "./support.ts";

const running: Server[] = [];
const sockets = new Set<Socket>();

async function listen(server: Server, port = 0): Promise<number> {
  running.push(server);
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

async function stop(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await closed;
}

afterEach(() => {
  for (const server of running.splice(0)) server.close();
  for (const socket of sockets) socket.destroy();
});

/** What a plugin server, written by hand, does at a call of `invoke_hook` for a tool of that name. */
type Answers = Readonly<Record<string, (response: ServerResponse, send: (body: object) => void) => void>>;

const fine = { result: { content: [], structuredContent: {} } };

/** An MCP server of 2025-11-25 with sessions; counts them, and the calls that it ran. */
function scripted(answers: Answers = {}) {
  const seen = { sessions: 0, calls: [] as string[] };
  const server = createHttpServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.method !== "POST") return void response.writeHead(405).end();
    const { id, method, params } = JSON.parse(body);
    const send = (message: object) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ jsonrpc: "2.0", id, ...message }));
    };
    if (id === undefined) return void response.writeHead(202).end();
    if (method === "initialize") {
      response.setHeader("mcp-session-id", `s${++seen.sessions}`);
      const { protocolVersion } = params;
      const serverInfo = { name: "scripted", version: "1" };
      return send({ result: { protocolVersion, capabilities: { tools: {} }, serverInfo } });
    }
    if (method !== "tools/call") return send({ error: { code: -32601, message: "no" } });
    const { name } = params.arguments.payload;
    seen.calls.push(`${name} ${request.headers["mcp-session-id"]}`);
    const answer = answers[name];
    if (answer === undefined) send(fine);
    else answer(response, send);
  });
  return { server, seen };
}

const remote = (port: number, more: Partial<McpPluginOptions> = {}): PluginEntry => ({
  use: createMcpPlugin({
    name: "dlp",
    hooks: { tool_pre_invoke: {} },
    endpoint: { kind: "http", url: `http://127.0.0.1:${port}/mcp` },
    reconnectMinMs: 10,
    reconnectMaxMs: 20,
    ...more,
  }),
  onError: "ignore",
});

async function ask(pipeline: PluginPipeline, name: string) {
  using scope = pipeline.begin({ requestId: "r" });
  const { records } = await scope.invoke("tool_pre_invoke", { ...toolCall, name });
  return records[0];
}

describe("an MCP plugin whose server misbehaves", () => {
  it("PF-R10 one that hangs holds up neither start nor stop, and is used when it answers", async () => {
    let connections = 0;
    const hung = createServer((socket) => {
      connections++;
      socket.resume();
    });
    // Nobody else takes it between one server and the next.
    const { port, release } = await reservePort();
    onTestFinished(release);
    await listen(hung, port);
    const entry = { ...remote(port, { connectTimeoutMs: 1_000 }), timeoutMs: 50 };
    await using pipeline = await createPluginPipeline({ plugins: [entry] });
    expect(await ask(pipeline, "a")).toMatchObject({ status: "timeout" });
    // Each of its connections is silent, and given up.
    const [first] = sockets;
    await eventually(async () => {
      await ask(pipeline, "a");
      return first?.destroyed === true && connections > 2;
    });
    await stop(hung);
    await listen(scripted().server, port);
    await eventually(async () => (await ask(pipeline, "a"))?.status === "completed");

    const silent = await listen(createServer());
    const stuck = await createPluginPipeline({ plugins: [remote(silent, { connectTimeoutMs: 600_000 })] });
    await stuck.close();
  });

  it("PF-R10 a JSON-RPC error is an answer: other calls go on, and nothing is sent twice", async () => {
    let finish: () => void = () => undefined;
    const { server, seen } = scripted({
      slow: (_, send) => {
        finish = () => send(fine);
      },
      wrong: (_, send) => send({ error: { code: -32602, message: "bad params" } }),
      broken: (response) => response.writeHead(500).end(),
    });
    const port = await listen(server);
    await using pipeline = await createPluginPipeline({ plugins: [remote(port)] });
    expect(await ask(pipeline, "first")).toMatchObject({ status: "completed" });
    const slow = ask(pipeline, "slow");
    await eventually(() => seen.calls.length === 2);
    expect(await ask(pipeline, "wrong")).toMatchObject({
      status: "error",
      reason: expect.stringContaining("bad params"),
    });
    expect(await ask(pipeline, "broken")).toMatchObject({ status: "error" });
    finish();
    expect(await slow).toMatchObject({ status: "completed" });
    expect(seen).toEqual({ sessions: 1, calls: ["first s1", "slow s1", "wrong s1", "broken s1"] });
  });

  it("PF-R10 when the session is gone, all calls in flight go on over one new connection", async () => {
    const waiting: ServerResponse[] = [];
    const { server, seen } = scripted({
      forgotten: (response, send) => {
        if (seen.sessions > 1) return send(fine);
        waiting.push(response);
        // The first is told at once; the second when the new connection is there.
        if (waiting.length === 2) waiting[0]?.writeHead(404).end();
      },
    });
    const port = await listen(server);
    await using pipeline = await createPluginPipeline({ plugins: [remote(port)] });
    expect(await ask(pipeline, "first")).toMatchObject({ status: "completed" });
    const both = [ask(pipeline, "forgotten"), ask(pipeline, "forgotten")];
    await eventually(() => seen.sessions === 2);
    waiting[1]?.writeHead(404).end();
    expect(await Promise.all(both)).toMatchObject([{ status: "completed" }, { status: "completed" }]);
    expect(await ask(pipeline, "last")).toMatchObject({ status: "completed" });
    expect(seen.sessions).toBe(2);
  });
});
