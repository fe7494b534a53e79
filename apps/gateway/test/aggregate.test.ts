import {
  fixtureCommand,
  startEchoServer,
  startEverythingServer,
  startRawServer,
} from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askable, modern, openModern } from "./support/modern-client.ts";
import { openRaw } from "./support/raw-client.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

type Everything = Awaited<ReturnType<typeof startEverythingServer>>;

let old: Everything;
let fresh: Everything;
let gateway: TestGateway;

beforeAll(async () => {
  old = await startEverythingServer({ era: "legacy" });
  fresh = await startEverythingServer({ era: "modern" });
  const program = fixtureCommand("everything-stdio");
  gateway = await startTestGateway({
    mcpServers: {
      old: { url: old.url },
      fresh: { url: fresh.url },
      program: { ...program, env: { ...program.env, FIXTURE_ERA: "legacy" } },
    },
    bridge: { listFreshMs: 0 },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await old.close();
  await fresh.close();
});

const path = "/mcp";
const slugs = ["old", "fresh", "program"];
const call = (name: string, args: object = {}, more: object = {}) => ({
  path,
  method: "tools/call",
  capabilities: askable,
  params: { name, arguments: args, ...more },
});

/** A client with a session. */
async function join() {
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: askable,
    clientInfo: { name: "old", version: "1" },
  };
  const opened = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
  const send = (method: string, more: object = {}) =>
    gateway.rpc(path, { jsonrpc: "2.0", id: 1, method, params: more }, headers);
  return { opened, send, stream: () => openRaw(gateway, path, { method: "GET", headers }) };
}

describe("one endpoint for upstreams of all revisions", () => {
  it("is discovered by modern clients, and shakes hands with legacy ones", async () => {
    const { body } = await modern(gateway, { path, method: "server/discover" });
    expect(body.result).toMatchObject({
      resultType: "complete",
      cacheScope: "private",
      capabilities: { tools: {}, prompts: {}, resources: { subscribe: true }, logging: {}, completions: {} },
      _meta: { "io.modelcontextprotocol/serverInfo": { name: "gatewright" } },
    });
    expect(body.result.supportedVersions).toContain("2026-07-28");
    const { opened } = await join();
    expect(opened.body.result.capabilities).toEqual(body.result.capabilities);
  });

  it("names are slug and name, the same for both, on lists with and without cache hints", async () => {
    const listed = (await modern(gateway, { path, method: "tools/list" })).body.result;
    expect(listed).toMatchObject({ resultType: "complete", ttlMs: 0, cacheScope: "private" });
    const names = listed.tools.map((tool: { name: string }) => tool.name);
    expect(names).toEqual(expect.arrayContaining(slugs.map((slug) => `${slug}_test_simple_text`)));
    const client = await join();
    const legacy = (await client.send("tools/list")).body.result;
    expect(legacy.tools).toEqual(listed.tools);
    expect(legacy).not.toHaveProperty("resultType");
    const again = (await modern(gateway, { path, method: "tools/list" })).body.result;
    expect(again.tools).toEqual(listed.tools);
  });

  it("a modern client calls, reads, prompts and completes everywhere, and is told its own URIs", async () => {
    for (const slug of slugs) {
      const text = await modern(gateway, call(`${slug}_test_simple_text`));
      expect(text.body.result.resultType, slug).toBe("complete");
      const linked = await modern(gateway, call(`${slug}_test_resource_link`));
      const [link] = linked.body.result.content;
      expect(link.uri, slug).toMatch(new RegExp(`^${slug}\\+`));
      const read = await modern(gateway, { path, method: "resources/read", params: { uri: link.uri } });
      expect(read.body.result.contents?.[0]?.uri ?? read.body.error.data?.uri ?? link.uri).toBe(link.uri);
      const { resources } = (await modern(gateway, { path, method: "resources/list" })).body.result;
      const { uri } = resources.find((resource: { uri: string }) => resource.uri.startsWith(`${slug}+`));
      const contents = (await modern(gateway, { path, method: "resources/read", params: { uri } })).body
        .result;
      expect(contents).toMatchObject({ contents: [{ uri }], resultType: "complete" });
      const prompt = { name: `${slug}_test_simple_prompt` };
      const got = await modern(gateway, { path, method: "prompts/get", params: prompt });
      expect(got.body.result.messages.length, slug).toBeGreaterThan(0);
      const params = {
        ref: { type: "ref/prompt", name: `${slug}_test_prompt_with_arguments` },
        argument: { name: "arg1", value: "p" },
      };
      const completed = await modern(gateway, { path, method: "completion/complete", params });
      expect(completed.body.result.completion, slug).toBeDefined();
    }
  });

  it("is asked through it, whatever the upstream speaks", async () => {
    const answered = { action: "accept", content: { username: "u", email: "u@x" } };
    for (const slug of slugs) {
      const question = call(`${slug}_test_elicitation`, { message: "who?" });
      const first = (await modern(gateway, question)).body.result;
      const [key = ""] = Object.keys(first.inputRequests);
      const state = first.requestState === undefined ? {} : { requestState: first.requestState };
      const params = { ...question.params, inputResponses: { [key]: answered }, ...state };
      const second = await modern(gateway, { ...question, params });
      expect(JSON.stringify(second.body.result?.content), slug).toContain("u@x");
    }
  });

  it("what is nobody's is refused in the revision of the client", async () => {
    for (const [method, params] of [
      ["tools/call", { name: "nobody_x" }],
      ["prompts/get", { name: "nobody_x" }],
      ["resources/read", { uri: "nobody+a:b" }],
    ] as const) {
      const { body } = await modern(gateway, { path, method, params });
      expect(body.error, method).toMatchObject({ code: -32602, data: { code: "not_found" } });
    }
    for (const method of ["ping", "resources/subscribe", "logging/setLevel", "no/such"]) {
      const { status, body } = await modern(gateway, { path, method, params: { uri: "old+a:b" } });
      expect([status, body.error.code], method).toEqual([404, -32601]);
    }
    const client = await join();
    const unknown = await client.send("no/such");
    expect([unknown.status, unknown.body.error.code]).toEqual([200, -32601]);
    const nameless = await client.send("tools/call", {});
    expect(nameless.body.error.code).toBe(-32602);
    const foreign = await modern(gateway, call("fresh_no_such_tool"));
    expect(JSON.stringify(foreign.body)).toContain("no_such_tool");
  });

  it("listens to all: acknowledged once, in its own words, under its own id", async () => {
    // Not the program: an acknowledgement does not wait for one that is still starting.
    const uris = ["fresh", "old"].map((slug) => `${slug}+test://watched-resource`);
    const notifications = { toolsListChanged: true, resourceSubscriptions: [...uris, "nobody+a:b"] };
    const stream = await openModern(gateway, {
      path,
      method: "subscriptions/listen",
      params: { notifications },
      id: "L",
    });
    await eventually(() => stream.events.length > 0);
    const [ack] = stream.events;
    expect(ack?.data.params.notifications).toEqual({ toolsListChanged: true, resourceSubscriptions: uris });
    for (const slug of ["old", "fresh"]) {
      const before = stream.events.length;
      await modern(gateway, call(`${slug}_test_trigger_resource_change`));
      await eventually(() => stream.events.length > before);
      expect(stream.events.at(-1)?.data).toMatchObject({
        method: "notifications/resources/updated",
        params: {
          uri: `${slug}+test://watched-resource`,
          _meta: { "io.modelcontextprotocol/subscriptionId": "L" },
        },
      });
    }
    stream.cut();
  });

  it("tells legacy clients of changes once each, in its own words, and lists anew at once", async () => {
    await using quiet = await startTestGateway({
      mcpServers: { old: { url: old.url }, fresh: { url: fresh.url } },
      // A list would be used again for long, were it not for the notice.
      bridge: { listFreshMs: 60_000 },
    });
    await quiet.core.refresher.ready();
    const params = {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "n", version: "1" },
    };
    const opened = await quiet.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
    const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    const send = async (method: string, more: object = {}) =>
      (await quiet.rpc(path, { jsonrpc: "2.0", id: 1, method, params: more }, headers)).body;
    const own = await openRaw(quiet, path, { method: "GET", headers });
    const heard = () => own.events.flatMap(({ data }) => (data === undefined ? [] : [data]));
    await eventually(() => quiet.core.hub.stats().listeners >= 2);
    for (const slug of ["old", "fresh"]) {
      const shown = async () =>
        ((await send("tools/list")).result.tools as { name: string }[]).some(
          ({ name }) => name === `${slug}_test_dynamic_tool`,
        );
      const before = await shown();
      const count = heard().length;
      await eventually(async () => {
        if (heard().length === count) await send("tools/call", { name: `${slug}_test_trigger_tool_change` });
        return heard().length > count;
      });
      expect(heard().at(-1).method).toBe("notifications/tools/list_changed");
      expect(await shown()).toBe(!before);
    }
    const uri = "fresh+test://watched-resource";
    expect((await send("resources/subscribe", { uri })).result).toEqual({});
    expect((await send("resources/subscribe", { uri: "old+test://watched-resource" })).result).toEqual({});
    for (const slug of ["old", "fresh"]) {
      await send("tools/call", { name: `${slug}_test_trigger_resource_change` });
      await eventually(() => heard().at(-1).params?.uri === `${slug}+test://watched-resource`);
    }
    expect(heard().map(({ method }) => method)).toEqual([
      "notifications/tools/list_changed",
      "notifications/tools/list_changed",
      "notifications/resources/updated",
      "notifications/resources/updated",
    ]);
  });

  it("a log level holds for upstreams that the client talks to later, too", async () => {
    const client = await join();
    expect((await client.send("logging/setLevel", { level: "info" })).body.result).toEqual({});
    for (const slug of ["old", "fresh"]) {
      const { body } = await client.send("tools/call", {
        name: `${slug}_test_tool_with_logging`,
        arguments: {},
      });
      expect(String(body).split("notifications/message").length - 1, slug).toBe(3);
    }
  });
});

describe("names", () => {
  it("have the separator and the length that were set, and lead back on every replica", async () => {
    await using scripted = await startScriptedServer();
    const long = `tool_${"x".repeat(80)}`;
    scripted.script("tools/list", { result: { tools: [{ name: long, inputSchema: { type: "object" } }] } });
    const config = {
      mcpServers: { "my-srv": { url: scripted.url } },
      bridge: { separator: "__", maxNameLength: 60 },
    };
    await using one = await startTestGateway(config);
    const [tool] = (await modern(one, { path, method: "tools/list" })).body.result.tools;
    expect(tool.name).toMatch(/^my-srv__tool_x+-[0-9a-f]{8}$/);
    expect(tool.name).toHaveLength(60);
    await using other = await startTestGateway(config, { dataDir: one.dataDir });
    const params = { name: tool.name, arguments: {} };
    expect((await modern(other, { path, method: "tools/call", params })).body.result).toBeDefined();
    expect(scripted.seen("tools/call").at(-1)).toMatchObject({
      params: { name: long },
      headers: { "mcp-name": long },
    });
  });

  it("a virtual server shows its own upstreams alone, to clients of every revision", async () => {
    const { body } = await gateway.rest("POST", "/servers", {
      name: "both",
      gatewayIds: [await gateway.idOf("old"), await gateway.idOf("fresh")],
    });
    const where = { path: `/servers/${body.id}/mcp` };
    const { tools } = (await modern(gateway, { ...where, method: "tools/list" })).body.result;
    const prefixes = new Set(tools.map(({ name }: { name: string }) => name.split("_")[0]));
    expect(prefixes).toEqual(new Set(["old", "fresh"]));
    const hidden = await modern(gateway, { ...call("program_test_simple_text"), ...where });
    expect(hidden.body.error.code).toBe(-32602);
    const shown = await modern(gateway, { ...call("fresh_test_simple_text"), ...where });
    expect(shown.body.result).toBeDefined();
  });
});

describe("lists of upstreams that fail", () => {
  const flags = "io.gatewright/upstreams";

  it("two of ten that hang cost one deadline, once, and hide only their own items", async () => {
    // Long beside what an answer takes on a busy machine, so that what waited for it can be told by the time.
    const listTimeoutMs = 1_000;
    const hanging = await Promise.all([startScriptedServer(), startScriptedServer()]);
    for (const server of hanging) server.script("tools/list", () => undefined);
    const good = await Promise.all(Array.from({ length: 8 }, () => startRawServer()));
    const all = [...hanging, ...good].map(({ url }, index) => [`s${index}`, { url }]);
    await using ten = await startTestGateway({
      mcpServers: Object.fromEntries(all),
      bridge: { listTimeoutMs, listFreshMs: 0 },
    });
    await ten.core.refresher.ready();
    const list = async () => {
      const before = performance.now();
      const { result } = (await modern(ten, { path, method: "tools/list" })).body;
      return { result, tookMs: performance.now() - before };
    };
    const first = await list();
    // One after the other they would have been asked a deadline apart.
    const asked = hanging.map((server) => server.seen("tools/list").at(-1)?.atMs ?? 0);
    expect(Math.abs((asked[0] ?? 0) - (asked[1] ?? 0))).toBeLessThan(listTimeoutMs);
    const slugsOf = ({ tools }: { tools: { name: string }[] }) =>
      new Set(tools.map(({ name }) => name.split("_")[0]));
    expect(slugsOf(first.result).size).toBe(8);
    expect(first.result._meta[flags]).toEqual({
      s0: { state: "unavailable", code: "upstream_timeout" },
      s1: { state: "unavailable", code: "upstream_timeout" },
    });
    expect((await list()).tookMs).toBeLessThan(listTimeoutMs);
    for (const server of hanging) server.script("tools/list", { result: { tools: [{ name: "back" }] } });
    await eventually(async () => slugsOf((await list()).result).size === 10);
    await Promise.all([...hanging, ...good].map((server) => server.close()));
  });

  it("the last good items of a dead one are shown and flagged, also after a restart", async () => {
    const echo = await startEchoServer();
    const config = { mcpServers: { echo: { url: echo.url } }, bridge: { listFreshMs: 0 } };
    await using first = await startTestGateway(config);
    await first.core.refresher.ready();
    const list = async (at: TestGateway) => (await modern(at, { path, method: "tools/list" })).body.result;
    const before = await list(first);
    expect(before).not.toHaveProperty("_meta");
    await echo.close();
    const stale = { [flags]: { echo: { state: "stale", code: "upstream_unreachable" } } };
    expect(await list(first)).toMatchObject({
      tools: before.tools,
      _meta: stale,
      ttlMs: 0,
      cacheScope: "private",
    });
    await first.close();
    await using second = await startTestGateway(config, { dataDir: first.dataDir });
    expect(await list(second)).toMatchObject({ tools: before.tools, _meta: stale });
  });

  it("pages have sealed cursors, which are good for their own list alone", async () => {
    const bad = await modern(gateway, { path, method: "tools/list", params: { cursor: "forged" } });
    expect([bad.status, bad.body.error.code]).toEqual([400, -32602]);
    const wrong = await modern(gateway, { path, method: "tools/list", params: { cursor: 5 } });
    expect([wrong.status, wrong.body.error.code]).toEqual([400, -32602]);
  });

  it("time is the shortest of all, and private if any is", async () => {
    await using one = await startScriptedServer();
    await using two = await startScriptedServer();
    const tools = [{ name: "t", inputSchema: { type: "object" } }];
    one.script("tools/list", { result: { tools, ttlMs: 60_000, cacheScope: "public" } });
    two.script("tools/list", { result: { tools, ttlMs: 5_000, cacheScope: "public" } });
    await using own = await startTestGateway({
      mcpServers: { one: { url: one.url }, two: { url: two.url } },
    });
    await own.core.refresher.ready();
    const list = async () => (await modern(own, { path, method: "tools/list" })).body.result;
    const first = await list();
    expect(first.cacheScope).toBe("public");
    expect(first.ttlMs).toBeGreaterThan(0);
    expect(first.ttlMs).toBeLessThanOrEqual(5_000);
    const asked = one.seen("tools/list").length;
    await list();
    expect(one.seen("tools/list")).toHaveLength(asked);
    two.script("tools/list", { result: { tools, ttlMs: 5_000, cacheScope: "private" } });
    await own.rest("POST", `/gateways/${await own.idOf("two")}/refresh`);
    own.core.calls.aggregates.outdate(await own.idOf("two"));
    expect((await list()).cacheScope).toBe("private");
  });
});
