import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startLegacyServer } from "./support/legacy-server.ts";
import { openModern } from "./support/modern-client.ts";
import { openRaw, type RawCall } from "./support/raw-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

type Everything = Awaited<ReturnType<typeof startEverythingServer>>;

let old: Everything;
let fresh: Everything;
let gateway: TestGateway;

beforeAll(async () => {
  [old, fresh] = await Promise.all([
    startEverythingServer({ era: "legacy" }),
    startEverythingServer({ era: "modern" }),
  ]);
  gateway = await startTestGateway({ mcpServers: { old: { url: old.url } } });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await Promise.all([old.close(), fresh.close()]);
});

const everyList = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };

const methodsOf = ({ events }: RawCall) =>
  events.flatMap(({ data }) => (data === undefined ? [] : [data.method]));
const listChanges = (call: RawCall) =>
  methodsOf(call).filter((method) => String(method).endsWith("list_changed"));

/** A client with a session and its stream. */
async function join(path: string) {
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "old", version: "1" },
  };
  const opened = await gateway.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
  return { opened, stream: await openRaw(gateway, path, { method: "GET", headers }) };
}

const listen = (path: string, notifications: object) =>
  openModern(gateway, { path, method: "subscriptions/listen", params: { notifications }, id: "L" });

describe("an endpoint whose upstreams become others", () => {
  it("says so to the clients that listen to it, and what one more says is heard, too", async () => {
    const { opened, stream } = await join("/mcp");
    expect(opened.body.result.capabilities).toMatchObject({
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true },
    });
    const all = await listen("/mcp", everyList);
    const tools = await listen("/mcp", { toolsListChanged: true });
    await eventually(() => all.events.length === 1 && tools.events.length === 1);
    expect(all.events[0]?.data.params.notifications).toEqual(everyList);
    const { body: record } = await gateway.rest("POST", "/gateways", { name: "fresh", url: fresh.url });
    const told = [
      "notifications/tools/list_changed",
      "notifications/prompts/list_changed",
      "notifications/resources/list_changed",
    ];
    await eventually(() => told.every((method) => listChanges(all).includes(method)));
    await eventually(() => told.every((method) => listChanges(stream).includes(method)));
    expect(new Set(listChanges(tools))).toEqual(new Set(["notifications/tools/list_changed"]));
    expect(all.events.at(-1)?.data.params._meta).toEqual({ "io.modelcontextprotocol/subscriptionId": "L" });

    // One source per upstream, whoever listens.
    await eventually(() => gateway.core.hub.stats().sources === 2);
    const count = listChanges(stream).length;
    const name = "fresh_test_trigger_tool_change";
    await eventually(async () => {
      await gateway.rpc("/mcp/http", {
        jsonrpc: "2.0",
        id: 1,
        method: "tools/call",
        params: { name, arguments: {} },
      });
      return listChanges(stream).length > count;
    });

    const before = listChanges(tools).length;
    expect((await gateway.rest("DELETE", `/gateways/${record.id}`)).status).toBe(204);
    await eventually(() => listChanges(tools).length > before);
    await eventually(() => gateway.core.hub.stats().sources === 1, { timeoutMs: 10_000 });
    for (const call of [stream, all, tools]) call.cut();
  });

  it("says so, too, when an upstream that announces nothing is found to have another list", async () => {
    const tools: Record<string, () => void> = { first: () => undefined };
    const silent = await startLegacyServer(tools);
    const { body: record } = await gateway.rest("POST", "/gateways", { name: "silent", url: silent.url });
    const refresh = () => gateway.rest("POST", `/gateways/${record.id}/refresh`);
    expect((await refresh()).status).toBe(200);
    const { stream } = await join("/mcp");
    const listening = await listen("/mcp", everyList);
    await eventually(() => listening.events.length === 1);
    const told = () => [listChanges(stream), listChanges(listening)].map((methods) => [...new Set(methods)]);
    tools["second"] = () => undefined;
    await refresh();
    const change = ["notifications/tools/list_changed"];
    await eventually(() => told().every((methods) => methods.length > 0));
    expect(told()).toEqual([change, change]);
    const listed = await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method: "tools/list" });
    const names = listed.body.result.tools.map(({ name }: { name: string }) => name);
    expect(names).toContain("silent_second");
    for (const call of [stream, listening]) call.cut();
    await gateway.rest("DELETE", `/gateways/${record.id}`);
    await silent.close();
  });

  it("a virtual server, too: its clients are told, and its own end ends their streams in good order", async () => {
    const { body: record } = await gateway.rest("POST", "/gateways", { name: "second", url: fresh.url });
    const oldId = await gateway.idOf("old");
    const { body: server } = await gateway.rest("POST", "/servers", { name: "mine", gatewayIds: [oldId] });
    const path = `/servers/${server.id}/mcp`;
    const stream = await listen(path, everyList);
    const { stream: own } = await join(path);
    await eventually(() => stream.events.length === 1);
    const gatewayIds = [oldId, record.id];
    const changed = await gateway.rest("PATCH", `/servers/${server.id}`, { gatewayIds });
    expect(changed.status).toBe(200);
    await eventually(() => listChanges(stream).length >= 3 && listChanges(own).length >= 3);
    expect((await gateway.rest("DELETE", `/servers/${server.id}`)).status).toBe(204);
    await eventually(() => stream.ended);
    expect(stream.events.at(-1)?.data).toMatchObject({ id: "L", result: { resultType: "complete" } });
    own.cut();
    await gateway.rest("DELETE", `/gateways/${record.id}`);
  });

  it("of one upstream ends the streams with it", async () => {
    const { body: record } = await gateway.rest("POST", "/gateways", { name: "short", url: fresh.url });
    const stream = await listen(`/servers/${record.id}/mcp`, everyList);
    await eventually(() => stream.events.length === 1);
    await gateway.rest("DELETE", `/gateways/${record.id}`);
    await eventually(() => stream.ended);
    expect(stream.events.at(-1)?.data).toMatchObject({ id: "L", result: { resultType: "complete" } });
  });
});
