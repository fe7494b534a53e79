import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEverythingHttp, stdioServer } from "./support/public-servers.ts";
import { type RecordingServer, startRecordingServer } from "./support/recording-server.ts";
import { type Json, type Replayed, replayHttp, replayStdio } from "./support/replay.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const big = '"exact" : 9007199254740993.10,"unknown":{ "b":1e400,"a" : "\\u00e9é" }';

let http: Awaited<ReturnType<typeof startEverythingHttp>>;
let recording: RecordingServer;
let gateway: TestGateway;
let folder: string;

beforeAll(async () => {
  http = await startEverythingHttp();
  recording = await startRecordingServer(
    (idText) => `{ "result":{"content":[],${big}} ,"id" : ${idText},"more":[1.0],"jsonrpc":"2.0" }`,
  );
  folder = await mkdtemp(join(tmpdir(), "gatewright-files-"));
  await writeFile(join(folder, "a.txt"), "hello from a file\nand ä€😀\n");
  await writeFile(join(folder, "w.txt"), "old");
  await mkdir(join(folder, "d"));
  gateway = await startTestGateway({
    mcpServers: {
      everything: { url: http.url },
      recording: { url: recording.url },
      memory: { ...stdioServer("memory"), env: { MEMORY_FILE_PATH: join(folder, "through.json") } },
      filesystem: stdioServer("filesystem", [folder]),
    },
  });
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await recording[Symbol.asyncDispose]();
  await http[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

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
  {
    jsonrpc: "2.0",
    id: 22,
    method: "tools/call",
    params: {
      name: "trigger-long-running-operation",
      arguments: { duration: 0.1, steps: 2 },
      _meta: { progressToken: "my token" },
    },
  },
  {
    jsonrpc: "2.0",
    id: 23,
    method: "resources/read",
    params: { uri: "demo://resource/static/document/features.md" },
  },
];

let nextId = 100;
const ask = (method: string, params?: Json): Json => ({
  jsonrpc: "2.0",
  id: nextId++,
  method,
  ...(params === undefined ? {} : { params }),
});
const call = (name: string, input: unknown) => ask("tools/call", { name, arguments: input });

/** What every server is asked. */
const common = (): Json[] => [
  ask("ping"),
  ask("tools/list"),
  ask("tools/list", { cursor: "nope" }),
  ask("prompts/list"),
  ask("resources/list"),
  ask("resources/read", { uri: "no://such" }),
  ask("logging/setLevel", { level: "error" }),
  ask("no/such/method", { x: 1 }),
  call("no-such-tool", {}),
];

const memoryBodies = (): Json[] => [
  ...common(),
  call("create_entities", { entities: [{ name: "ä", entityType: "t", observations: ["o"] }] }),
  call("create_entities", { entities: [{ name: "b", entityType: "t", observations: [] }] }),
  call("create_entities", { entities: "wrong" }),
  call("create_relations", { relations: [{ from: "ä", to: "b", relationType: "knows" }] }),
  call("add_observations", { observations: [{ entityName: "b", contents: ["😀"] }] }),
  call("add_observations", { observations: [{ entityName: "nobody", contents: ["x"] }] }),
  call("search_nodes", { query: "😀" }),
  call("open_nodes", { names: ["ä"] }),
  call("delete_observations", { deletions: [{ entityName: "b", observations: ["😀"] }] }),
  call("delete_relations", { relations: [{ from: "ä", to: "b", relationType: "knows" }] }),
  call("delete_entities", { entityNames: ["b"] }),
  call("read_graph", {}),
];

const fileBodies = (): Json[] => [
  ...common(),
  call("list_allowed_directories", {}),
  call("list_directory", { path: folder }),
  call("read_text_file", { path: join(folder, "a.txt") }),
  call("read_text_file", { path: join(folder, "a.txt"), head: 1 }),
  call("read_text_file", { path: "/etc/hostname" }),
  call("read_text_file", {}),
  call("read_multiple_files", { paths: [join(folder, "a.txt"), join(folder, "none.txt")] }),
  call("search_files", { path: folder, pattern: "a.*" }),
  call("write_file", { path: join(folder, "w.txt"), content: "ä" }),
  call("create_directory", { path: join(folder, "d") }),
];

const parsed = ({ texts }: Replayed) => texts.map((text) => JSON.parse(text) as Json);

/** What a handshake and `ping` say is the gateway's own text; everything else comes as it was sent. */
function expectSame(through: readonly Replayed[], direct: readonly Replayed[], sent: readonly Json[]): void {
  expect(through.map(parsed)).toEqual(direct.map(parsed));
  const relayed = (answers: readonly Replayed[]) =>
    answers.slice(1).filter((_answer, index) => sent[index]?.["method"] !== "ping");
  expect(relayed(through).map(({ texts }) => texts)).toEqual(relayed(direct).map(({ texts }) => texts));
}

async function replayThrough(name: string, bodies: readonly Json[]): Promise<Replayed[]> {
  const url = `${gateway.url}/servers/${await gateway.idOf(name)}/mcp`;
  return replayHttp(url, { authorization: `Bearer ${gateway.token}` }, bodies);
}

describe("transparency", () => {
  it("server-everything answers the same bodies the same, directly and through the gateway", async () => {
    const direct = await replayHttp(http.url, {}, bodies);
    const through = await replayThrough("everything", bodies);
    expectSame(through, direct, bodies);
    expect(through.map(({ status }) => status)).toEqual(direct.map(({ status }) => status));
    // The server always streams; the gateway does where a message comes before the answer.
    expect(through.map(({ contentType }) => contentType)).toEqual(
      through.map(({ texts }) => (texts.length > 1 ? "text/event-stream" : "application/json")),
    );
  });

  it("passes numbers, key order, blanks, escapes and unknown members on byte for byte, both ways", async () => {
    const params = `{ "arguments":{${big}},"name":"keep" ,"extra":[ 1.50 ]}`;
    const body = `{"method":"tools/call","params":${params},"id" : "c\\u0031","jsonrpc":"2.0"}`;
    const url = `${gateway.url}/servers/${await gateway.idOf("recording")}/mcp`;
    const headers = {
      authorization: `Bearer ${gateway.token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
    };
    const opened = await fetch(url, {
      method: "POST",
      headers,
      body: JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "initialize",
        params: {
          protocolVersion: "2025-11-25",
          capabilities: {},
          clientInfo: { name: "raw", version: "1" },
        },
      }),
    });
    await opened.text();
    const session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    const answer = await fetch(url, { method: "POST", headers: { ...headers, ...session }, body });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect(await answer.text()).toBe(
      `{ "result":{"content":[],${big}} ,"id" : "c\\u0031","more":[1.0],"jsonrpc":"2.0" }`,
    );
    expect(recording.calls).toHaveLength(1);
    expect(recording.calls[0]).toContain(`"params":${params}`);

    const plain = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":${params.replace("keep", "recording_keep")}}`;
    const named = await fetch(`${gateway.url}/mcp/http`, { method: "POST", headers, body: plain });
    expect(await named.text()).toContain(`{"content":[],${big}}`);
    expect(recording.calls[1]).toContain(`"params":${params}`);
  });

  it.each([
    ["memory", () => [], memoryBodies],
    ["filesystem", () => [folder], fileBodies],
  ] as const)(
    "server-%s answers the same bodies the same over stdio and through the gateway",
    async (server, args, bodiesOf) => {
      const sent = bodiesOf();
      const env = { MEMORY_FILE_PATH: join(folder, "direct.json"), PATH: process.env["PATH"] };
      const direct = await replayStdio({ ...stdioServer(server, args()), env }, sent);
      expectSame(await replayThrough(server, sent), direct, sent);
    },
  );
});
