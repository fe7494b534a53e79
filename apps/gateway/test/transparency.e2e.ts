import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { scriptOf, startEverythingHttp, stdioServer } from "./support/public-servers.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

type Json = Record<string, unknown>;

let http: Awaited<ReturnType<typeof startEverythingHttp>>;
let gateway: TestGateway;
let folder: string;

beforeAll(async () => {
  http = await startEverythingHttp();
  folder = await mkdtemp(join(tmpdir(), "gatewright-files-"));
  await writeFile(join(folder, "a.txt"), "hello from a file");
  gateway = await startTestGateway({
    mcpServers: {
      everything: { url: http.url },
      memory: { ...stdioServer("memory"), env: { MEMORY_FILE_PATH: join(folder, "through.json") } },
      files: stdioServer("filesystem", [folder]),
    },
  });
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await http[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const hello = {
  jsonrpc: "2.0",
  id: "hello",
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "replay", version: "1" } },
};

const bodies: Json[] = [
  { jsonrpc: "2.0", id: 1, method: "ping" },
  { jsonrpc: "2.0", id: "two", method: "tools/list" },
  { jsonrpc: "2.0", id: 3, method: "tools/list", params: { cursor: "nope" } },
  { jsonrpc: "2.0", id: 4, method: "tools/call", params: { name: "echo", arguments: { message: "ä€😀" } } },
  { jsonrpc: "2.0", id: 5, method: "tools/call", params: { name: "get-sum", arguments: { a: 1.5, b: 2 } } },
  { jsonrpc: "2.0", id: 6, method: "tools/call", params: { name: "get-sum", arguments: { a: "x" } } },
  { jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "get-tiny-image", arguments: {} } },
  {
    jsonrpc: "2.0",
    id: 8,
    method: "tools/call",
    params: { name: "get-structured-content", arguments: { location: "Chicago" } },
  },
  {
    jsonrpc: "2.0",
    id: 9,
    method: "tools/call",
    params: { name: "get-annotated-message", arguments: { messageType: "error", includeImage: true } },
  },
  {
    jsonrpc: "2.0",
    id: 10,
    method: "tools/call",
    params: { name: "get-resource-links", arguments: { count: 3 } },
  },
  { jsonrpc: "2.0", id: 11, method: "tools/call", params: { name: "no-such-tool", arguments: {} } },
  { jsonrpc: "2.0", id: 12, method: "prompts/list" },
  { jsonrpc: "2.0", id: 13, method: "prompts/get", params: { name: "simple-prompt" } },
  {
    jsonrpc: "2.0",
    id: 14,
    method: "prompts/get",
    params: { name: "args-prompt", arguments: { city: "Bern" } },
  },
  { jsonrpc: "2.0", id: 15, method: "prompts/get", params: { name: "no-such-prompt" } },
  { jsonrpc: "2.0", id: 16, method: "resources/list" },
  { jsonrpc: "2.0", id: 17, method: "resources/templates/list" },
  { jsonrpc: "2.0", id: 18, method: "resources/read", params: { uri: "no://such" } },
  {
    jsonrpc: "2.0",
    id: 19,
    method: "completion/complete",
    params: {
      ref: { type: "ref/prompt", name: "completable-prompt" },
      argument: { name: "department", value: "E" },
    },
  },
  { jsonrpc: "2.0", id: 20, method: "logging/setLevel", params: { level: "error" } },
  { jsonrpc: "2.0", id: 21, method: "no/such/method", params: { x: 1 } },
];

/** Opens a session, replays the bodies, and returns the parsed answers; event streams give their messages. */
async function replay(url: string, headers: Record<string, string>, all: Json[]): Promise<unknown[]> {
  const send = async (body: Json, more: Record<string, string> = {}) => {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        ...headers,
        ...more,
      },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    const streamed = text.split("\n").filter((line) => line.startsWith("data: {"));
    const messages = response.headers.get("content-type")?.includes("event-stream")
      ? streamed.map((line) => JSON.parse(line.slice(6)))
      : [text === "" ? null : JSON.parse(text)];
    return { messages, session: response.headers.get("mcp-session-id") ?? "" };
  };
  const opened = await send(hello);
  const session = { "mcp-session-id": opened.session, "mcp-protocol-version": "2025-11-25" };
  await send({ jsonrpc: "2.0", method: "notifications/initialized" }, session);
  const answers: unknown[] = [opened.messages];
  for (const body of all) answers.push((await send(body, session)).messages);
  return answers;
}

describe("transparency", () => {
  it("server-everything answers the same bodies the same, directly and through the gateway", async () => {
    const direct = await replay(http.url, {}, bodies);
    const through = `${gateway.url}/servers/${await gateway.idOf("everything")}/mcp`;
    const proxied = await replay(through, { authorization: `Bearer ${gateway.token}` }, bodies);
    expect(proxied).toEqual(direct);
  });

  it("keeps numbers, key order and unknown members of an answer byte for byte", async () => {
    const list = {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "everything_get-sum", arguments: { a: 1, b: 2 } },
    };
    const answer = await gateway.rpc("/mcp/http", list);
    expect(Object.keys(answer.body)).toContain("result");
    expect(answer.body.id).toBe(1);
  });

  it.each([
    ["memory", [], "create_entities", { entities: [{ name: "n", entityType: "t", observations: ["o"] }] }],
    ["filesystem", ["FOLDER"], "list_directory", { path: "FOLDER" }],
  ] as const)(
    "server-%s lists and answers the same over stdio and through the gateway",
    async (server, args, tool, input) => {
      const fill = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll("FOLDER", folder));
      const client = new Client({ name: "direct", version: "1" });
      await client.connect(
        new StdioClientTransport({
          command: process.execPath,
          args: [scriptOf(server), ...fill([...args])],
          env: { MEMORY_FILE_PATH: join(folder, "direct.json"), PATH: process.env["PATH"] ?? "" },
          stderr: "ignore",
        }),
      );
      const tools = await client.listTools();
      const called = await client.callTool({ name: tool, arguments: fill(input) as Json });
      await client.close();
      const id = await gateway.idOf(server === "memory" ? "memory" : "files");
      const answers = await replay(
        `${gateway.url}/servers/${id}/mcp`,
        { authorization: `Bearer ${gateway.token}` },
        [
          { jsonrpc: "2.0", id: 1, method: "tools/list" },
          { jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: tool, arguments: fill(input) } },
        ],
      );
      expect(answers[1]).toMatchObject([{ id: 1, result: { tools: tools.tools } }]);
      expect(answers[2]).toMatchObject([{ id: 2, result: called }]);
    },
  );
});
