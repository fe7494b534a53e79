import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRaw } from "./support/raw-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let everything: Awaited<ReturnType<typeof startEverythingServer>>;
let scripted: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  everything = await startEverythingServer({ era: "modern" });
  scripted = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { everything: { url: everything.url }, scripted: { url: scripted.url } },
    bridge: { parkedTtlMs: 1_000 },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await everything.close();
  await scripted.close();
});

const all = { elicitation: { form: {} }, sampling: {}, roots: {} };

/** A client with a session on the plain endpoint of an upstream. */
async function join(name: string, capabilities: object = all) {
  const path = `/servers/${await gateway.idOf(name)}/mcp`;
  const params = { protocolVersion: "2025-11-25", capabilities, clientInfo: { name: "old", version: "1" } };
  const opened = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const headers = {
    "mcp-session-id": opened.headers.get("mcp-session-id") ?? "",
    "mcp-protocol-version": "2025-11-25",
  };
  const send = (method: string, more: object = {}, id: number | string = 1, extra: object = {}) =>
    gateway.rpc(path, { jsonrpc: "2.0", id, method, params: more }, { ...headers, ...extra });
  const answer = (id: unknown, outcome: object) =>
    gateway.rpc(path, { jsonrpc: "2.0", id, ...outcome }, headers);
  const note = (method: string, more: object) =>
    gateway.rpc(path, { jsonrpc: "2.0", method, params: more }, headers);
  const open = (body: object | undefined) =>
    openRaw(gateway, path, { headers, ...(body ? { body } : { method: "GET" }) });
  const call = (tool: string, args: object = {}, id: number | string = 7) =>
    open({ jsonrpc: "2.0", id, method: "tools/call", params: { name: tool, arguments: args } });
  return { opened, send, answer, note, open, call };
}

const messages = (call: { readonly events: readonly { readonly data: unknown }[] }) =>
  // biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape.
  call.events.map(({ data }) => data as any).filter((data) => data !== undefined);

describe("a legacy client of a modern upstream", () => {
  it("shakes hands: the upstream's own name, instructions and capabilities, in the client's revision", async () => {
    const { opened } = await join("everything");
    expect(opened.body.result).toMatchObject({
      protocolVersion: "2025-11-25",
      serverInfo: { name: "everything-fixture", version: "1.0.0" },
      instructions: "Everything that MCP knows, for tests.",
    });
    expect(opened.body.result.capabilities).toHaveProperty("tools");
    expect(opened.body.result).not.toHaveProperty("resultType");
  });

  it("is asked over the stream of its call, and the call goes on with the answer", async () => {
    const client = await join("everything");
    const call = await client.call("test_elicitation", { message: "who?" });
    await eventually(() => messages(call).length === 1);
    const [question] = messages(call);
    expect(question).toMatchObject({ method: "elicitation/create", params: { message: "who?" } });
    const result = { action: "accept", content: { username: "u", email: "u@x" } };
    expect((await client.answer(question.id, { result })).status).toBe(202);
    await eventually(() => call.ended);
    expect(messages(call).at(-1)).toMatchObject({ id: 7 });
    expect(JSON.stringify(messages(call).at(-1))).toContain("u@x");
  });

  it("is asked several things at once, and several rounds, with the upstream's state carried along", async () => {
    const client = await join("everything");
    for (const [tool, asked] of [
      ["multiple_inputs", 3],
      ["multi_round", 2],
      ["request_state", 1],
    ] as const) {
      const call = await client.call(`test_input_required_result_${tool}`);
      for (let count = 1; count <= asked; count++) {
        await eventually(() => messages(call).length >= count);
        const { id, method, params } = messages(call)[count - 1];
        const properties = Object.keys(params?.requestedSchema?.properties ?? {});
        const content = Object.fromEntries(properties.map((key) => [key, key === "ok" ? true : "v"]));
        const text = { type: "text", text: "hi" };
        const results: Record<string, object> = {
          "elicitation/create": { action: "accept", content },
          "sampling/createMessage": { role: "assistant", model: "m", content: text },
          "roots/list": { roots: [{ uri: "file:///r" }] },
        };
        await client.answer(id, { result: results[method] });
      }
      await eventually(() => call.ended);
      expect(messages(call).at(-1).result, tool).toHaveProperty("content");
      expect(messages(call).at(-1).result, tool).not.toHaveProperty("isError", true);
    }
  });

  it("that takes no stream with its call is asked on its own stream", async () => {
    const client = await join("everything");
    const own = await client.open(undefined);
    const params = { name: "test_list_roots", arguments: {} };
    const calling = client.send("tools/call", params, 1, { accept: "application/json" });
    await eventually(() => messages(own).length === 1);
    const [question] = messages(own);
    expect(question.method).toBe("roots/list");
    await client.answer(question.id, { result: { roots: [{ uri: "file:///mine" }] } });
    expect((await calling).body).toMatchObject({ id: 1 });
    expect(JSON.stringify((await calling).body.result)).toContain("file:///mine");
  });

  it("that refuses a question gets its own error as the answer of its call", async () => {
    const client = await join("everything");
    const call = await client.call("test_sampling", { prompt: "p" });
    await eventually(() => messages(call).length === 1);
    await client.answer(messages(call)[0].id, { error: { code: -1, message: "User rejected" } });
    await eventually(() => call.ended);
    expect(messages(call).at(-1)).toMatchObject({
      id: 7,
      error: { code: -1, message: expect.stringContaining("User rejected") },
    });
  });

  it.each([
    ["nothing", {}, { code: -31_002, data: { code: "upstream_unreachable", retryable: false } }],
    ["what it did not declare", { inputRequests: { a: { method: "roots/list" } } }, { code: -32_600 }],
  ])("is not asked where the server asks %s: the call ends, made once", async (_, more, error) => {
    const client = await join("scripted", { sampling: {} });
    const before = scripted.seen("tools/call").length;
    scripted.script("tools/call", (response) => {
      const { id } = scripted.seen("tools/call").at(-1) ?? {};
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ jsonrpc: "2.0", id, result: { resultType: "input_required", ...more } }));
    });
    for (const name of ["read", "write"]) {
      const { body } = await client.send("tools/call", { name, arguments: {} });
      expect(body.error).toMatchObject(error);
    }
    expect(scripted.seen("tools/call")).toHaveLength(before + 2);
    scripted.script("tools/call");
  });

  it("that refuses one of several questions is told that the others need no answer", async () => {
    const client = await join("everything");
    const call = await client.call("test_input_required_result_multiple_inputs");
    await eventually(() => messages(call).length === 3);
    const ids = messages(call).map(({ id }) => id);
    await client.answer(ids[1], { error: { code: -1, message: "no" } });
    await eventually(() => call.ended);
    const withdrawn = messages(call).filter(({ method }) => method === "notifications/cancelled");
    expect(withdrawn.map(({ params }) => params.requestId)).toEqual([ids[0], ids[2]]);
    expect(messages(call).at(-1)).toMatchObject({ id: 7, error: { code: -1 } });
  });

  it("that does not answer in time loses the call, and is told that nobody waits any more", async () => {
    const client = await join("everything");
    const call = await client.call("test_sampling", { prompt: "p" });
    await eventually(() => call.ended);
    const [question, withdrawn, answer] = messages(call);
    expect(withdrawn).toMatchObject({
      method: "notifications/cancelled",
      params: { requestId: question.id },
    });
    expect(answer.error).toMatchObject({ code: -31004, data: { code: "outcome_unknown", retryable: false } });
  });

  it("that cancels its call while it is asked ends it, and the question is withdrawn", async () => {
    const client = await join("everything");
    const call = await client.call("test_sampling", { prompt: "p" }, "c");
    await eventually(() => messages(call).length === 1);
    await client.note("notifications/cancelled", { requestId: "c" });
    await eventually(() => call.ended);
    expect(messages(call).map(({ method }) => method)).toEqual([
      "sampling/createMessage",
      "notifications/cancelled",
    ]);
  });

  it("sets its log level once; the upstream is told with every call", async () => {
    const client = await join("everything");
    const logged = async () => {
      const heard = messages(await settled(client.call("test_tool_with_logging")));
      return heard.filter(({ method }) => method === "notifications/message").length;
    };
    expect(await logged()).toBe(0);
    expect((await client.send("logging/setLevel", { level: "info" })).body.result).toEqual({});
    expect(await logged()).toBe(3);
    expect((await client.send("logging/setLevel", { level: "error" })).body.result).toEqual({});
    expect(await logged()).toBe(0);
    expect((await client.send("logging/setLevel", { level: "loud" })).body.error.code).toBe(-32602);
  });

  it("subscribes and unsubscribes, and hears changes of lists on its own stream", async () => {
    const client = await join("everything");
    const own = await client.open(undefined);
    const uri = "test://watched-resource";
    expect((await client.send("resources/subscribe", { uri })).body.result).toEqual({});
    const trigger = (what: string) => client.send("tools/call", { name: `test_trigger_${what}_change` });
    await trigger("resource");
    await eventually(() => messages(own).length === 1);
    expect(messages(own)[0]).toEqual({
      jsonrpc: "2.0",
      method: "notifications/resources/updated",
      params: { _meta: {}, uri },
    });
    await trigger("tool");
    await eventually(() => messages(own).length === 2);
    expect(messages(own)[1].method).toBe("notifications/tools/list_changed");
    expect((await client.send("resources/unsubscribe", { uri })).body.result).toEqual({});
    await trigger("resource");
    await trigger("prompt");
    await eventually(() => messages(own).length === 3);
    expect(messages(own)[2].method).toBe("notifications/prompts/list_changed");
    expect((await client.send("resources/subscribe")).body.error.code).toBe(-32602);
    const long = { uri: `test://${"x".repeat(300_000)}` };
    expect((await client.send("resources/subscribe", long)).body.error.data.code).toBe("overloaded");
  });

  it("that subscribes twice to what the upstream refuses is refused twice", async () => {
    await using server = await startScriptedServer();
    const capabilities = { resources: { subscribe: true } };
    server.script("server/discover", { result: { supportedVersions: ["2026-07-28"], capabilities } });
    server.script("subscriptions/listen", { error: { code: -32_602, message: "no" } });
    await gateway.rest("POST", "/gateways", { name: "refusing", url: server.url });
    await eventually(async () => (await gateway.idOf("refusing").catch(() => undefined)) !== undefined);
    const client = await join("refusing");
    const asked = [1, 2].map((id) =>
      client.send("resources/subscribe", { uri: "res://a" }, id, { accept: "application/json" }),
    );
    for (const { body } of await Promise.all(asked)) expect(body.error).toMatchObject({ code: -32_002 });
  });

  it("hears progress under its token and gets the error numbers of its own revision", async () => {
    const client = await join("everything");
    const body = { name: "test_tool_with_progress", arguments: {}, _meta: { progressToken: 9 } };
    const call = await settled(client.open({ jsonrpc: "2.0", id: 1, method: "tools/call", params: body }));
    expect(
      messages(call)
        .slice(0, 3)
        .map(({ params }) => params.progressToken),
    ).toEqual([9, 9, 9]);
    const missing = await client.send("resources/read", { uri: "test://nothing" });
    expect([missing.status, missing.body.error.code]).toEqual([200, -32002]);
    const unknown = await client.send("no/such");
    expect([unknown.status, unknown.body.error.code]).toEqual([200, -32601]);
  });

  it("has the envelope written for it, and the headers that mirror arguments", async () => {
    const properties = { region: { type: "string", "x-mcp-header": "Region" }, n: { type: "integer" } };
    const tools = [{ name: "place", inputSchema: { type: "object", properties } }];
    scripted.script("tools/list", { result: { tools } });
    await gateway.rest("POST", `/gateways/${await gateway.idOf("scripted")}/refresh`);
    const client = await join("scripted", { roots: {} });
    await client.send("tools/call", { name: "place", arguments: { region: "münchen", n: 1 } });
    const seen = scripted.seen("tools/call").at(-1);
    expect(seen?.params._meta).toEqual({
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "old", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": { roots: {} },
    });
    expect(seen?.headers).toMatchObject({
      "mcp-method": "tools/call",
      "mcp-name": "place",
      "mcp-param-region": `=?base64?${Buffer.from("münchen").toString("base64")}?=`,
    });
    expect(seen?.headers).not.toHaveProperty("mcp-param-n");
  });

  it("is not heard upstream when it only tells something: such servers ask anew", async () => {
    const client = await join("scripted");
    expect((await client.note("notifications/roots/list_changed", {})).status).toBe(202);
    expect(scripted.seen("notifications/roots/list_changed")).toEqual([]);
  });
});

async function settled(opening: ReturnType<typeof openRaw>) {
  const call = await opening;
  await eventually(() => call.ended);
  return call;
}
