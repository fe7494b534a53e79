import type { ServerResponse } from "node:http";
import { encodeAcknowledged } from "@gatewright/mcp-bridge/bridge";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openModern } from "./support/modern-client.ts";
import type { RawCall } from "./support/raw-client.ts";
import { acknowledgeAll, type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** A stream of changes that an upstream has opened, and by whose credentials it was asked to. */
interface Stream {
  readonly shown: string;
  readonly say: (message: object) => void;
  readonly filter: { readonly resourceSubscriptions?: readonly string[] };
}

let guarded: ScriptedServer;
let mute: ScriptedServer;
let gateway: TestGateway;
const streams: Stream[] = [];

/** Acknowledges everything but resources whose URI says that it may not be subscribed to. */
function openStream(response: ServerResponse): void {
  const { id, headers, params } = guarded.seen("subscriptions/listen").at(-1) as never as {
    id: number;
    headers: { authorization?: string };
    params: { notifications: Stream["filter"] };
  };
  const { resourceSubscriptions, ...lists } = params.notifications;
  const honoured = resourceSubscriptions?.filter((uri) => !uri.includes("secret"));
  const filter = { ...lists, ...(honoured && { resourceSubscriptions: honoured }) };
  response.writeHead(200, { "content-type": "text/event-stream" });
  const write = (text: string) => void response.write(`data: ${text}\n\n`);
  write(encodeAcknowledged(String(id), filter));
  const say = (message: object) => write(JSON.stringify({ jsonrpc: "2.0", ...message }));
  streams.push({ shown: headers.authorization ?? "none", say, filter });
}

beforeAll(async () => {
  [guarded, mute] = await Promise.all([startScriptedServer(), startScriptedServer()]);
  acknowledgeAll(mute);
  guarded.script("server/discover", {
    result: {
      supportedVersions: ["2026-07-28"],
      capabilities: { tools: { listChanged: true }, resources: { subscribe: true } },
    },
  });
  guarded.script("subscriptions/listen", openStream);
  gateway = await startTestGateway({
    mcpServers: { mute: { url: mute.url } },
    classifier: { enabled: false, maxChangeStreams: 0 },
  });
  const bearer = (token: string) => ({ type: "bearer", token });
  const auth = { type: "per_user", users: { ann: bearer("ann") }, default: bearer("default") };
  await gateway.rest("POST", "/gateways", { name: "guarded", url: guarded.url, auth });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await Promise.all([guarded.close(), mute.close()]);
});

const listen = async (user: string, notifications: object) =>
  openModern(gateway, {
    path: "/mcp",
    method: "subscriptions/listen",
    params: { notifications },
    token: await gateway.mint({ user }),
  });
const heard = ({ events }: RawCall) => events.slice(1).map(({ data }) => data.method);
const changed = { method: "notifications/tools/list_changed" };

describe("changes of an upstream, for a user with credentials of one's own", () => {
  it("are listened for by those, and told to that user alone; others share a stream", async () => {
    const all = await Promise.all(
      ["ann", "carl", "dora"].map((user) => listen(user, { toolsListChanged: true })),
    );
    await eventually(() => all.every(({ events }) => events.length === 1));
    const shown = streams.map((stream) => stream.shown);
    expect(shown.filter((one) => one === "Bearer ann")).toHaveLength(1);
    expect(shown.filter((one) => one === "Bearer default")).toHaveLength(1);
    streams.find((stream) => stream.shown === "Bearer ann")?.say(changed);
    const [ann, carl, dora] = all as [RawCall, RawCall, RawCall];
    await eventually(() => heard(ann).includes(changed.method));
    streams.find((stream) => stream.shown === "Bearer default")?.say(changed);
    await eventually(() => heard(carl).includes(changed.method) && heard(dora).includes(changed.method));
    expect([ann, carl, dora].map((stream) => heard(stream).length)).toEqual([1, 1, 1]);

    // Who gets credentials while listening is told by those from then on.
    const users = { ann: { type: "bearer", token: "ann" }, carl: { type: "bearer", token: "carl" } };
    const auth = { type: "per_user", users, default: { type: "bearer", token: "default" } };
    await gateway.rest("PATCH", `/gateways/${await gateway.idOf("guarded")}`, { auth });
    await eventually(() => streams.some((stream) => stream.shown === "Bearer carl"));
    for (const stream of all) stream.cut();
  });
});

describe("resources that are subscribed to", () => {
  const many = (from: number) =>
    Array.from({ length: 1_000 }, (_, index) => `guarded+res://${from}/${index}`);

  it("are bounded for each user, over all that listens; what ends makes room", async () => {
    const own: RawCall[] = [];
    for (let count = 0; count < 5; count++)
      own.push(await listen("greedy", { resourceSubscriptions: many(count) }));
    expect(own.map(({ status }) => status)).toEqual(own.map(() => 200));
    await eventually(() => own.every(({ events }) => events.length > 0));
    expect((await listen("greedy", { resourceSubscriptions: [many(5)[0]] })).status).toBe(503);
    const free = [
      await listen("greedy", { toolsListChanged: true }),
      await listen("modest", { resourceSubscriptions: many(0) }),
    ];
    expect(free.map(({ status }) => status)).toEqual([200, 200]);
    own[0]?.cut();
    await eventually(async () => {
      const again = await listen("greedy", { resourceSubscriptions: many(6) });
      again.cut();
      return again.status === 200;
    });
    for (const stream of [...own, ...free]) stream.cut();
    await eventually(() => [...gateway.core.channels.counts().values()].length === 0);
  });
});

describe("a resource of an upstream without sessions, for a client with one", () => {
  async function join(user: string) {
    const params = {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "t", version: "1" },
    };
    const authorization = `Bearer ${await gateway.mint({ user })}`;
    const message = { jsonrpc: "2.0", id: 0, method: "initialize", params };
    const opened = await gateway.rpc("/mcp", message, { authorization });
    const headers = { authorization, "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    return async (uri: string) =>
      (
        await gateway.rpc(
          "/mcp",
          { jsonrpc: "2.0", id: 1, method: "resources/subscribe", params: { uri } },
          headers,
        )
      ).body;
  }

  it("is subscribed to by the client's own credentials", async () => {
    const subscribe = await join("ann");
    expect((await subscribe("guarded+res://own")).result).toEqual({});
    const asked = streams.filter(({ filter }) => filter.resourceSubscriptions?.includes("res://own"));
    expect(asked.map(({ shown }) => shown)).toEqual(["Bearer ann"]);
  });

  it("that the upstream does not honour is refused, and not subscribed to", async () => {
    const subscribe = await join("dora");
    const uri = "guarded+res://secret";
    for (let round = 0; round < 2; round++) {
      expect((await subscribe(uri)).error).toMatchObject({ code: -32_002, data: { uri } });
    }
    expect((await subscribe("guarded+res://open")).result).toEqual({});
  });

  it("of an upstream that has no subscriptions is refused at once, as an unknown method", async () => {
    const subscribe = await join("dora");
    expect((await subscribe("mute+res://a")).error.code).toBe(-32_601);
    const asked = mute.seen("subscriptions/listen").map(({ params }) => params.notifications);
    expect(asked.filter((filter) => filter.resourceSubscriptions !== undefined)).toEqual([]);
  });
});
