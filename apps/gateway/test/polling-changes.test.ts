import type { ServerResponse } from "node:http";
import { isDeepStrictEqual } from "node:util";
import { encodeAcknowledged } from "@gatewright/mcp-bridge/bridge";
import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

const changed = "notifications/tools/list_changed";

/** Lets an upstream have streams of changes; returns those that are open, and what was asked of each. */
function openStreams(upstream: ScriptedServer) {
  const streams: { readonly filter: object; readonly say: (method: string) => void }[] = [];
  upstream.script("subscriptions/listen", (response: ServerResponse) => {
    const { id, params } = upstream.seen("subscriptions/listen").at(-1) as never as {
      id: number;
      params: { notifications: object };
    };
    response.writeHead(200, { "content-type": "text/event-stream" });
    const write = (text: string) => void response.write(`data: ${text}\n\n`);
    write(encodeAcknowledged(String(id), params.notifications));
    const say = (method: string) => write(JSON.stringify({ jsonrpc: "2.0", method }));
    const stream = { filter: params.notifications, say };
    streams.push(stream);
    response.once("close", () => streams.splice(streams.indexOf(stream), 1));
  });
  return streams;
}

const announces = (...lists: string[]) => ({
  result: {
    supportedVersions: ["2026-07-28"],
    capabilities: Object.fromEntries(lists.map((list) => [list, { listChanged: true }])),
  },
});

it.concurrent("SC-8 finds a tool that is added while the list is read that an earlier change asked for", async () => {
  await using upstream = await startScriptedServer();
  const tools = ["one"];
  const held: (() => void)[] = [];
  let hold = false;
  upstream.script("server/discover", announces("tools"));
  upstream.script("tools/list", (_, send) => {
    const now = tools.map((name) => ({ name, inputSchema: { type: "object" } }));
    if (hold) held.push(() => send({ tools: now }));
    else send({ tools: now });
  });
  const streams = openStreams(upstream);
  await using gateway = await startTestGateway({
    mcpServers: { one: { url: upstream.url } },
    classifier: { debounceMs: 300 },
  });
  await gateway.core.refresher.ready();
  await eventually(() => streams.length > 0, { timeoutMs: 10_000 });
  const dueAt = async () => {
    const { body } = await gateway.rest("GET", "/admin/classification?server=one");
    return body.polls.find(({ pollType }: { pollType: string }) => pollType === "tool_discovery").dueAt;
  };
  const announce = async (tool: string) => {
    tools.push(tool);
    const before = await dueAt();
    for (const { say } of streams) say(changed);
    await eventually(async () => (await dueAt()) !== before, { timeoutMs: 10_000 });
  };
  hold = true;
  await announce("two");
  await eventually(() => held.length > 0, { timeoutMs: 10_000 });
  await announce("three");
  hold = false;
  for (const answer of held) answer();
  const known = async () => (await gateway.rest("GET", "/tools")).body.total;
  await eventually(async () => (await known()) === 3, { timeoutMs: 10_000 });
});

it.concurrent("SC-8 listens for what an upstream announces by now, also when that becomes more or less", async () => {
  await using upstream = await startScriptedServer();
  upstream.script("server/discover", announces("tools"));
  const streams = openStreams(upstream);
  await using gateway = await startTestGateway({
    mcpServers: { one: { url: upstream.url } },
    classifier: { debounceMs: 100 },
  });
  await gateway.core.refresher.ready();
  const asked = () => streams.map(({ filter }) => filter);
  const settled = (filter: object) =>
    eventually(() => isDeepStrictEqual(asked(), [filter]), { timeoutMs: 20_000 });
  let version = 1;
  const replace = async (...lists: string[]) => {
    upstream.script("server/discover", announces(...lists));
    const url = `${upstream.url}?version=${++version}`;
    expect((await gateway.rest("PATCH", `/gateways/${await gateway.idOf("one")}`, { url })).status).toBe(200);
  };
  await settled({ toolsListChanged: true });
  await replace("tools", "prompts");
  await settled({ toolsListChanged: true, promptsListChanged: true });
  const names = ["greet", "part"];
  upstream.script("prompts/list", { result: { prompts: names.map((name) => ({ name })) } });
  for (const { say } of streams) say("notifications/prompts/list_changed");
  const known = async () => (await gateway.rest("GET", "/prompts")).body.total;
  await eventually(async () => (await known()) === 2, { timeoutMs: 10_000 });
  await replace("prompts");
  await settled({ promptsListChanged: true });
});
