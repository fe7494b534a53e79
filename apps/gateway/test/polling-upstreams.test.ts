import { buildEchoServer, startRawServer, startSdkServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { closest, startCountedUpstream } from "./support/counted-upstream.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

// Each test has a gateway and upstreams of its own and mostly waits for polls: they run several at a time.
const quick = { jitter: 0, spread: false, cycleMs: 100, unreachableRetrySeconds: 0.1, debounceMs: 100 };
// One request is one poll here, so that they can be counted.
const once = { plugins: [{ name: "retry", mode: "disabled" }] };

it.concurrent("says that an upstream is unreachable after three health checks, and finds it again by itself", async () => {
  await using upstream = await startCountedUpstream();
  await using gateway = await startTestGateway({
    ...once,
    mcpServers: { one: { url: upstream.url } },
    classifier: {
      ...quick,
      refreshIntervalSeconds: 1,
      multipliers: { cold: 1 },
      unreachableRetryMaxSeconds: 0.2,
    },
  });
  const { core } = gateway;
  await core.refresher.ready();
  const id = await gateway.idOf("one");
  const shown = async () => (await gateway.rest("GET", `/admin/classification?server=${id}`)).body;
  const healthOf = async () =>
    (await shown()).polls.find((poll: { pollType: string }) => poll.pollType === "health");
  expect(await shown()).toMatchObject({ name: "one", state: "reachable", tier: "cold" });
  await eventually(() => upstream.times("ping").length >= 1);
  const states = new Map<number, string>();
  upstream.down = true;
  await eventually(
    async () => {
      const [{ failures }, { state }] = [await healthOf(), await shown()];
      if (!states.has(failures)) states.set(failures, state);
      return state === "unreachable";
    },
    { timeoutMs: 10_000, intervalMs: 5 },
  );
  expect((await healthOf()).failures).toBeGreaterThanOrEqual(3);
  expect([states.get(1) ?? "reachable", states.get(2) ?? "reachable"]).toEqual(["reachable", "reachable"]);
  const { body } = await gateway.rest("GET", `/gateways/${id}/state`);
  expect(body).toMatchObject({ state: "unreachable", stateReason: expect.stringContaining("503") });
  expect((await gateway.rest("GET", "/metrics")).body).toContain(
    'gatewright_upstreams{state="unreachable"} 1',
  );
  const lists = upstream.times("tools/list").length;
  upstream.down = false;
  await eventually(async () => (await shown()).state === "reachable", { timeoutMs: 10_000 });
  expect(upstream.times("tools/list").length).toBeGreaterThan(lists);
  const metrics: string = (await gateway.rest("GET", "/metrics")).body;
  expect(metrics).toContain('gatewright_servers{tier="cold"} 1');
  expect(metrics).toMatch(/gatewright_polls_total\{type="health",outcome="failed"\} [3-9]/);
  expect(metrics).toContain("gatewright_classifier_leader 1");
});

it.concurrent("health checks that found all sessions of an upstream busy count neither as failures nor as polls", async () => {
  await using upstream = await startScriptedServer();
  const calls: (() => void)[] = [];
  upstream.script("tools/call", (_, send) => void calls.push(() => send({ content: [] })));
  await using gateway = await startTestGateway({
    ...once,
    mcpServers: {
      busy: { url: upstream.url, stateless: true, maxConcurrencyPerSession: 1, caps: { perServer: 1 } },
    },
    sessions: { acquireTimeoutMs: 100 },
    classifier: {
      ...quick,
      refreshIntervalSeconds: 1,
      multipliers: { cold: 1 },
      unreachableRetryMaxSeconds: 0.2,
    },
  });
  const { core } = gateway;
  await core.refresher.ready();
  const id = await gateway.idOf("busy");
  const params = { name: "busy_read", arguments: {} };
  const answer = gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method: "tools/call", params });
  await eventually(() => calls.length > 0);
  const failed = async () => {
    const metrics: string = (await gateway.rest("GET", "/metrics")).body;
    return Number(/gatewright_polls_total\{type="health",outcome="failed"\} (\d+)/.exec(metrics)?.[1] ?? 0);
  };
  const pauses = new Set<number>();
  await eventually(
    async () => {
      const { body } = await gateway.rest("GET", `/admin/classification?server=${id}`);
      const health = body.polls.find((poll: { pollType: string }) => poll.pollType === "health");
      expect(health.failures).toBe(0);
      if (health.why === "could not be asked, waits") pauses.add(health.dueAt);
      return pauses.size > 3;
    },
    { timeoutMs: 15_000, intervalMs: 20 },
  );
  expect(await failed()).toBe(0);
  expect(gateway.logs.filter((line) => line.includes("upstream unreachable"))).toEqual([]);
  const refused = await gateway.rest("POST", `/gateways/${id}/refresh`);
  const code = expect.stringMatching(/^(acquire_timeout|pool_capacity)$/);
  expect(refused).toMatchObject({ status: 503, body: { error: { code } } });
  expect((await gateway.rest("GET", `/gateways/${id}/state`)).body.state).toBe("reachable");
  // The first check that reaches it fails, and the one after that waits.
  const no = { error: { code: -32_603, message: "no" } };
  upstream.script("server/discover", no, () => undefined);
  for (const end of calls) end();
  expect((await answer).body.result.isError).toBeUndefined();
  await eventually(async () => (await failed()) > 0, { timeoutMs: 10_000 });
  expect(await failed()).toBe(1);
  expect(core.snapshots.current?.upstreams.get(id)?.state).toBe("reachable");
});

it.concurrent("an upstream that is down at the start is found when it comes up, and soon looked for after a failed refresh", async () => {
  await using upstream = await startCountedUpstream();
  upstream.down = true;
  await using gateway = await startTestGateway({
    ...once,
    mcpServers: { late: { url: upstream.url } },
    classifier: { ...quick, unreachableRetryMaxSeconds: 0.2 },
  });
  await gateway.core.refresher.ready();
  const id = await gateway.idOf("late");
  const state = async () => (await gateway.rest("GET", `/gateways/${id}/state`)).body.state;
  expect(await state()).toBe("unreachable");
  upstream.down = false;
  await eventually(async () => (await state()) === "reachable", { timeoutMs: 10_000 });
  upstream.down = true;
  expect((await gateway.rest("POST", `/gateways/${id}/refresh`)).status).toBe(502);
  expect(await state()).toBe("unreachable");
  upstream.down = false;
  await eventually(async () => (await state()) === "reachable", { timeoutMs: 10_000 });
});

it.concurrent("a poll that the stop of the gateway cuts off is not told as an upstream that cannot be reached", async () => {
  await using upstream = await startScriptedServer();
  let asked = false;
  upstream.script("tools/list", () => {
    asked = true;
  });
  const gateway = await startTestGateway({ mcpServers: { slow: { url: upstream.url } } });
  await eventually(() => asked);
  await gateway[Symbol.asyncDispose]();
  expect(gateway.logs.filter((line) => line.includes("upstream unreachable"))).toEqual([]);
});

it.concurrent("SC-8 lists again soon after list_changed, once, and shows what is new", async () => {
  await using upstream = await startCountedUpstream();
  await using gateway = await startTestGateway({
    mcpServers: { one: { url: upstream.url, stateless: true } },
    classifier: { ...quick, debounceMs: 300 },
  });
  await gateway.core.refresher.ready();
  const before = upstream.times("tools/list").length;
  const grown = new Set<object>();
  const announce = () => {
    for (const server of upstream.servers) {
      if (grown.has(server)) server.sendToolListChanged();
      else server.registerTool("late", { description: "New." }, () => ({ content: [] }));
      grown.add(server);
    }
  };
  const tools = async () => (await gateway.rest("GET", "/tools?name=late")).body.total;
  await eventually(
    async () => {
      announce();
      return (await tools()) === 1;
    },
    { timeoutMs: 10_000, intervalMs: 20 },
  );
  const polls = upstream.times("tools/list").slice(Math.max(0, before - 1));
  expect(polls.length).toBeGreaterThan(1);
  expect(closest(polls)).toBeGreaterThanOrEqual(295);
});

it.concurrent("SC-8 hears of list_changed while no client is there, of servers with sessions and without", async () => {
  await using upstream = await startCountedUpstream();
  await using modern = await startSdkServer(buildEchoServer, { era: "modern" });
  await using gateway = await startTestGateway({
    mcpServers: { one: { url: upstream.url }, modern: { url: modern.url } },
    classifier: quick,
  });
  await gateway.core.refresher.ready();
  const listed = () => upstream.times("tools/list").length;
  const [before, modernBefore] = [listed(), modern.stats().requests["tools/list"] ?? 0];
  await eventually(
    () => {
      for (const server of upstream.servers) server.sendToolListChanged();
      return listed() > before;
    },
    { timeoutMs: 10_000, intervalMs: 50 },
  );
  await eventually(
    () => {
      modern.modern.notify.toolsChanged();
      return (modern.stats().requests["tools/list"] ?? 0) > modernBefore;
    },
    { timeoutMs: 10_000, intervalMs: 50 },
  );
});

it.concurrent("SC-8 hears of list_changed during a call", async () => {
  await using upstream = await startSdkServer(
    () => {
      const server = buildEchoServer();
      server.registerTool("grow", { description: "Announces a change." }, async ({ mcpReq }) => {
        await mcpReq.notify({ method: "notifications/tools/list_changed" });
        return { content: [] };
      });
      return server;
    },
    { era: "legacy" },
  );
  await using gateway = await startTestGateway({
    mcpServers: { one: { url: upstream.url } },
    classifier: { ...quick, maxChangeStreams: 0 },
  });
  await gateway.core.refresher.ready();
  const before = upstream.stats().requests["tools/list"] ?? 0;
  await gateway.rpc("/mcp/http", {
    ...{ jsonrpc: "2.0", id: 1, method: "tools/call" },
    params: { name: "one_grow", arguments: {} },
  });
  await eventually(() => (upstream.stats().requests["tools/list"] ?? 0) === before + 1, {
    timeoutMs: 10_000,
  });
});

it.concurrent("SC-8 does not list again before an upstream's own ttlMs", async () => {
  await using patient = await startRawServer({ era: "modern" });
  await using plain = await startRawServer({ era: "legacy" });
  await using gateway = await startTestGateway({
    mcpServers: { patient: { url: patient.url }, plain: { url: plain.url } },
    classifier: { ...quick, refreshIntervalSeconds: 1, multipliers: { cold: 1 } },
  });
  await gateway.core.refresher.ready();
  await eventually(() => (plain.stats().requests["tools/list"] ?? 0) >= 3, { timeoutMs: 15_000 });
  expect(patient.stats().requests["tools/list"]).toBe(1);
  const { body } = await gateway.rest("GET", "/admin/classification?server=patient");
  expect(body.polls[1]).toMatchObject({ due: false, why: "the server said how long its list holds" });
});

it.concurrent("polls as tiers, pins and intervals of single upstreams say, and explains it", async () => {
  await using upstream = await startCountedUpstream();
  const { url } = upstream;
  const names = ["a", "b", "c", "d", "e"];
  await using gateway = await startTestGateway({
    mcpServers: {
      ...Object.fromEntries(names.map((name) => [name, { url }])),
      own: { url, refreshIntervalSeconds: 7 },
      fixed: { url, tier: "hot" },
    },
    classifier: { ...quick, tiers: 4, pins: { E: "dormant" } },
  });
  await gateway.core.refresher.ready();
  await gateway.rpc("/mcp/http", {
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "b_echo", arguments: { text: "x" } },
  });
  const classification = async () => (await gateway.rest("GET", "/admin/classification")).body;
  await eventually(async () => (await classification()).tiers.hot === 2, { timeoutMs: 10_000 });
  const shown = await classification();
  expect(shown).toMatchObject({
    ...{ leader: true, shared: false, enabled: true, preset: "default", total: 7 },
    ...{ metadata: { totalServers: 7, hotCap: 1 } },
  });
  type Row = { name: string; tier: string; why: string; polls: { pollType: string; intervalMs: number }[] };
  const rows = new Map<string, Row>(shown.items.map((item: Row) => [item.name, item]));
  const facts = (name: string) => [rows.get(name)?.tier, rows.get(name)?.polls[1]?.intervalMs];
  expect(facts("b")).toEqual(["hot", 300_000]);
  expect(facts("a")).toEqual(["cold", 900_000]);
  expect(facts("e")).toEqual(["dormant", 1_800_000]);
  expect(facts("fixed")).toEqual(["hot", 300_000]);
  expect(facts("own")[1]).toBe(7_000);
  expect(rows.get("fixed")?.why).toBe("pinned by the operator");
  const missing = await gateway.rest("GET", "/admin/classification?server=fixd");
  expect(missing).toMatchObject({ status: 404, body: { error: { details: { nearest: "fixed" } } } });
  const changed = await gateway.rest("PATCH", `/gateways/${await gateway.idOf("fixed")}`, { tier: "cold" });
  expect(changed.body.tier).toBe("cold");
  await eventually(async () => (await classification()).tiers.hot === 1, { timeoutMs: 10_000 });
});

it.concurrent("neither writes a catalogue that is the same nor lists twice what was registered just now", async () => {
  await using upstream = await startCountedUpstream();
  await using gateway = await startTestGateway({
    classifier: { ...quick, refreshIntervalSeconds: 1, multipliers: { cold: 1 } },
  });
  const { body } = await gateway.rest("POST", "/gateways", { name: "one", url: upstream.url });
  expect(upstream.times("tools/list").length).toBe(1);
  await eventually(() => upstream.times("tools/list").length >= 3, { timeoutMs: 10_000 });
  expect(closest(upstream.times("tools/list"))).toBeGreaterThanOrEqual(950);
  expect((await gateway.rest("GET", `/gateways/${body.id}`)).body.refreshedAt).toBe(body.refreshedAt);
});
