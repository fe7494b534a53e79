import {
  fixtureCommand,
  startEverythingServer,
  startFlakyServer,
  startSlowServer,
} from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askable, type ModernRequest, modern, openModern } from "./support/modern-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let everything: Awaited<ReturnType<typeof startEverythingServer>>;
let slow: Awaited<ReturnType<typeof startSlowServer>>;
let flaky: Awaited<ReturnType<typeof startFlakyServer>>;
let gateway: TestGateway;
let path: string;

beforeAll(async () => {
  everything = await startEverythingServer({ era: "legacy" });
  slow = await startSlowServer({ era: "legacy" });
  flaky = await startFlakyServer({ share: 1, faults: ["unavailable"] });
  const program = fixtureCommand("everything-stdio");
  gateway = await startTestGateway({
    mcpServers: {
      everything: { url: everything.url },
      slow: { url: slow.url },
      flaky: { url: flaky.url, trusted: true },
      program: { ...program, env: { ...program.env, FIXTURE_ERA: "legacy" } },
    },
    plugins: [
      { name: "rate_limiter", config: { rules: { by_tool: { test_elicitation_sep1034_defaults: "1/m" } } } },
      { name: "retry", config: { maxRetries: 2, baseMs: 1, maxMs: 5 } },
    ],
    bridge: { parkedTtlMs: 30_000, maxParkedPerPrincipal: 2 },
  });
  await gateway.core.refresher.ready();
  path = await at("everything");
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  for (const fixture of [everything, slow, flaky]) await fixture.close();
});

const at = async (name: string) => `/servers/${await gateway.idOf(name)}/mcp`;
const call = (name: string, args: object = {}, more: Partial<ModernRequest> & { params?: object } = {}) => {
  const { params, ...rest } = more;
  const request = { path, method: "tools/call", capabilities: askable, ...rest };
  return { ...request, params: { name, arguments: args, ...params } };
};
const answered = { action: "accept", content: { username: "u", email: "u@x" } };
/** The tool asks the user; answers what came of it. */
const question = () => call("test_elicitation", { message: "who?" });
const ask = (token?: string) => modern(gateway, { ...question(), ...(token && { token }) });
const reply = (requestState: string, change: Partial<ModernRequest> = {}) => {
  const params = { ...question().params, inputResponses: { user_input: answered }, requestState };
  return modern(gateway, { ...question(), id: 2, params, ...change });
};

describe("a modern client of a legacy upstream", () => {
  it("discovers it: its own name, instructions and capabilities, every revision that is bridged", async () => {
    const { status, body } = await modern(gateway, { path, method: "server/discover" });
    expect(status).toBe(200);
    expect(body.result).toMatchObject({
      resultType: "complete",
      supportedVersions: ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
      instructions: "Everything that MCP knows, for tests.",
      ttlMs: 0,
      cacheScope: "private",
      _meta: { "io.modelcontextprotocol/serverInfo": { name: "everything-fixture", version: "1.0.0" } },
    });
    expect(body.result.capabilities).toHaveProperty("tools");
  });

  it("gets resultType and cache hints on lists, in an order that stays", async () => {
    const list = () => modern(gateway, { path, method: "tools/list" });
    const [first, second] = [await list(), await list()];
    expect(first.body.result).toMatchObject({ resultType: "complete", ttlMs: 0, cacheScope: "private" });
    expect(first.body.result.tools.length).toBeGreaterThan(10);
    expect(second.body.result.tools).toEqual(first.body.result.tools);
    const called = await modern(gateway, call("test_simple_text"));
    expect(called.body.result.resultType).toBe("complete");
    expect(called.body.result).not.toHaveProperty("ttlMs");
  });

  it("is asked by input_required and answers with a repeat of the call, over HTTP and stdio", async () => {
    for (const name of ["everything", "program"]) {
      const where = { path: await at(name) };
      const first = await modern(gateway, { ...question(), ...where });
      expect(first.body.result, name).toMatchObject({
        resultType: "input_required",
        inputRequests: { user_input: { method: "elicitation/create", params: { message: "who?" } } },
      });
      const second = await reply(first.body.result.requestState, where);
      expect(second.body, name).toMatchObject({ id: 2, result: { resultType: "complete" } });
      expect(JSON.stringify(second.body.result.content)).toContain("u@x");
    }
  });

  it("is charged once for a call that asked, and not for its continuation", async () => {
    const limited = call("test_elicitation_sep1034_defaults");
    const first = await modern(gateway, limited);
    const { requestState } = first.body.result;
    const inputResponses = { user_input: { action: "decline" } };
    const params = { ...limited.params, inputResponses, requestState };
    const second = await modern(gateway, { ...limited, params });
    expect(second.body.result.resultType).toBe("complete");
    const third = await modern(gateway, limited);
    expect(third.body.error).toMatchObject({ code: -31001, data: { code: "rate_limited" } });
    const replayed = await modern(gateway, { ...limited, params });
    expect(replayed.body.error).toMatchObject({ code: -32602 });
  });

  it("cannot use a state twice, for another call, at another endpoint, forged, or as somebody else", async () => {
    const { requestState } = (await ask()).body.result;
    const mallory = await gateway.mint({ user: "mallory" });
    const invalid = { error: { code: -32602, data: { code: "invalid_params", retryable: false } } };
    const other = { ...question().params, arguments: { message: "another" }, requestState };
    for (const change of [
      { token: mallory },
      { path: await at("program") },
      { params: other },
      { params: { ...question().params, requestState: `${requestState}A` } },
    ]) {
      const refused = await reply(requestState, change);
      expect(refused.status).toBe(400);
      expect(refused.body).toMatchObject(invalid);
    }
    expect((await reply(requestState)).body.result.resultType).toBe("complete");
    expect((await reply(requestState)).body).toMatchObject(invalid);
  });

  it("may let so many calls wait, and no more", async () => {
    const token = await gateway.mint({ user: "patient" });
    const states = [(await ask(token)).body.result, (await ask(token)).body.result];
    const third = await ask(token);
    expect(third.body.error).toMatchObject({
      code: -31004,
      data: { code: "outcome_unknown", retryable: false },
    });
    for (const { requestState } of states) {
      expect((await reply(requestState, { token })).body.result.resultType).toBe("complete");
    }
  });

  it("takes its time: neither the attempt's limit nor the caller's counts while a call waits", async () => {
    const first = await modern(gateway, { ...question(), headers: { "x-gatewright-timeout-ms": "2000" } });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect((await reply(first.body.result.requestState)).body.result.resultType).toBe("complete");
  });

  it("that stays away loses the call: cancelled upstream, outcome unknown, and its session is free again", async () => {
    await using brief = await startTestGateway({
      mcpServers: { everything: { url: everything.url } },
      bridge: { parkedTtlMs: 50 },
    });
    await brief.core.refresher.ready();
    const own = { ...question(), path: `/servers/${await brief.idOf("everything")}/mcp` };
    const cancelled = () => everything.stats().requests["notifications/cancelled"] ?? 0;
    const before = cancelled();
    const { requestState } = (await modern(brief, own)).body.result;
    await eventually(() => cancelled() > before);
    const params = { ...own.params, inputResponses: { user_input: answered }, requestState };
    const late = await modern(brief, { ...own, params });
    expect(late.body.error).toMatchObject({
      code: -31004,
      data: { code: "outcome_unknown", retryable: false },
    });
    await eventually(() => brief.core.pool.stats().leases === 0);
  });

  it("shows the upstream exactly what it can be asked: callers that differ share no session", async () => {
    const asked = async (capabilities: object) => {
      const tool = { ...call("test_input_required_result_capabilities"), capabilities };
      const { result } = (await modern(gateway, tool)).body;
      return Object.values(result.inputRequests ?? {}).map((entry) => (entry as { method: string }).method);
    };
    expect(await asked({ roots: {} })).toEqual(["roots/list"]);
    expect(await asked({ elicitation: {} })).toEqual(["elicitation/create"]);
    expect(await asked({})).toEqual([]);
  });

  it("that cannot be asked what the upstream needs is refused with -32021", async () => {
    const first = await modern(gateway, { ...call("test_elicitation", { message: "m" }), capabilities: {} });
    // A server on the official SDK looks at the handshake, and answers by itself.
    expect(JSON.stringify(first.body)).not.toContain("input_required");
  });

  it("hears progress under its token, and the log at the level it asked for", async () => {
    const progress = await modern(gateway, {
      ...call("test_tool_with_progress"),
      meta: { progressToken: "t" },
    });
    expect(progress.before.map(({ params }) => [params.progressToken, params.progress])).toEqual([
      ["t", 0],
      ["t", 50],
      ["t", 100],
    ]);
    const level = (name: string) => ({ meta: { "io.modelcontextprotocol/logLevel": name } });
    expect((await modern(gateway, call("test_tool_with_logging"))).before).toEqual([]);
    expect((await modern(gateway, { ...call("test_tool_with_logging"), ...level("error") })).before).toEqual(
      [],
    );
    expect(
      (await modern(gateway, { ...call("test_tool_with_logging"), ...level("info") })).before,
    ).toHaveLength(3);
  });

  it("gets the error numbers of its own revision", async () => {
    const missing = await modern(gateway, {
      path,
      method: "resources/read",
      params: { uri: "test://nothing" },
    });
    expect(missing.body.error.code).toBe(-32602);
    for (const method of ["ping", "logging/setLevel", "resources/subscribe", "tasks/list", "no/such"]) {
      const { status, body } = await modern(gateway, { path, method });
      expect([status, body.error.code], method).toEqual([404, -32601]);
    }
  });

  it("cancels upstream by closing its stream", async () => {
    const before = slow.calls().aborted;
    const hanging = { path: await at("slow"), method: "tools/call", params: { name: "hang", arguments: {} } };
    const { started } = slow.calls();
    const cutWhen = () => eventually(() => slow.calls().started > started);
    await openModern(gateway, { ...hanging, cutWhen });
    await eventually(() => slow.calls().aborted > before);
  });

  it("is repeated by the retry policy like any other caller", async () => {
    const key = "bridged";
    const params = { name: "read", arguments: { key } };
    const answer = await modern(gateway, { path: await at("flaky"), method: "tools/call", params });
    expect(flaky.attemptsOf(key)).toBe(3);
    expect(answer.body.error.data).toMatchObject({ attempts: 3 });
  });

  it("listens: acknowledged first, only what was asked for, and a result at the end", async () => {
    await using own = await startTestGateway({ mcpServers: { everything: { url: everything.url } } });
    await own.core.refresher.ready();
    const mine = `/servers/${await own.idOf("everything")}/mcp`;
    const notifications = { toolsListChanged: true, resourceSubscriptions: ["test://watched-resource"] };
    const listen = { path: mine, method: "subscriptions/listen", params: { notifications }, id: "L" };
    const stream = await openModern(own, listen);
    await eventually(() => stream.events.length > 0);
    const subscription = { "io.modelcontextprotocol/subscriptionId": "L" };
    expect(stream.events[0]?.data).toEqual({
      jsonrpc: "2.0",
      method: "notifications/subscriptions/acknowledged",
      params: { _meta: subscription, notifications },
    });
    const trigger = (what: string) =>
      modern(own, { path: mine, method: "tools/call", params: { name: `test_trigger_${what}_change` } });
    await trigger("prompt");
    await trigger("resource");
    await trigger("tool");
    await eventually(() => stream.events.length > 2);
    const heard = stream.events.slice(1).map(({ data }) => [data.method, data.params._meta]);
    expect(heard).toEqual([
      ["notifications/resources/updated", subscription],
      ["notifications/tools/list_changed", subscription],
    ]);
    await own.close();
    await eventually(() => stream.ended);
    expect(stream.events.at(-1)?.data).toEqual({
      jsonrpc: "2.0",
      id: "L",
      result: { resultType: "complete", _meta: subscription },
    });
  });

  it("that listens has to say to what, and to take a stream", async () => {
    const listen = { path, method: "subscriptions/listen" };
    const nothing = await modern(gateway, listen);
    expect([nothing.status, nothing.body.error.code]).toEqual([400, -32602]);
    const headers = { accept: "application/json" };
    const deaf = await modern(gateway, { ...listen, params: { notifications: {} }, headers });
    expect([deaf.status, deaf.body.error.code]).toEqual([400, -32600]);
  });
});
