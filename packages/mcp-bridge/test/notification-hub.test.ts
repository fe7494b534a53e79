import type { ServerResponse } from "node:http";
import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { afterAll, describe, expect, it } from "vitest";
import {
  createNotificationHub,
  encodeAcknowledged,
  encodeListenResult,
  mergeAcknowledged,
  type NotificationHubOptions,
  readFilter,
  type SubscriptionFilter,
  withSubscriptionId,
} from "../src/bridge/index.ts";
import { META, type NotificationMessage, parseMessage } from "../src/index.ts";
import { createHttpUpstream, type Upstream } from "../src/upstream/index.ts";
import { eventually } from "./support/children.ts";
import {
  CLIENT,
  failure,
  type Handler,
  json,
  legacyHandler,
  modernHandler,
  result,
  startRawServer,
} from "./support/raw-server.ts";

const cleanup: (() => unknown)[] = [];
afterAll(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

function hubFor(upstreams: Record<string, Upstream>, options: Partial<NotificationHubOptions> = {}) {
  const hub = createNotificationHub({
    open: async (id, listening) => {
      const upstream = upstreams[id];
      if (!upstream) throw new Error("unknown");
      return await upstream.open({ ...CLIENT, ...listening });
    },
    retryBaseMs: 5,
    acknowledgeWaitMs: 5_000,
    ...options,
  });
  cleanup.push(() => hub.close());
  return hub;
}

async function serve(handler: Handler) {
  const server = await startRawServer(handler);
  const upstream = createHttpUpstream({ url: server.url });
  cleanup.push(server.close, () => upstream.close());
  return { server, upstream };
}

/** A modern server that keeps its listen streams. */
async function serveModern(
  refuses: (filter: SubscriptionFilter, response: ServerResponse, id: unknown) => boolean = () => false,
) {
  const streams: { filter: SubscriptionFilter; id: unknown; response: ServerResponse; open: boolean }[] = [];
  const { upstream } = await serve(
    modernHandler((seen, response) => {
      if (seen.body.method !== "subscriptions/listen") return json(response, result(seen.body.id, {}));
      const { id } = seen.body;
      if (refuses(readFilter(seen.body.params?.["notifications"]), response, id)) return undefined;
      const stream = { filter: readFilter(seen.body.params?.["notifications"]), id, response, open: true };
      streams.push(stream);
      response.on("close", () => {
        stream.open = false;
      });
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${encodeAcknowledged(JSON.stringify(id), stream.filter)}\n\n`);
      return undefined;
    }),
  );
  const say = (method: string, params: object = {}) => {
    for (const { response, open } of streams) {
      if (open) response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", method, params })}\n\n`);
    }
  };
  return { upstream, streams, say };
}

const tools = { toolsListChanged: true } as const;

function listen(hub: ReturnType<typeof hubFor>, filters: Record<string, SubscriptionFilter>) {
  const heard: string[] = [];
  const listener = hub.listen({
    filters: new Map(Object.entries(filters)),
    onNotification: (id, message) =>
      heard.push(`${id} ${message.method} ${String(message.params?.["uri"] ?? "")}`.trim()),
  });
  if (!listener) throw new Error("Refused.");
  return { heard, listener };
}

describe("createNotificationHub", () => {
  it("feeds many listeners from one stream, each with only what it asked for", async () => {
    const { upstream, streams, say } = await serveModern();
    const hub = hubFor({ a: upstream });
    const one = listen(hub, { a: tools });
    expect(await one.listener.acknowledged).toEqual(new Map([["a", tools]]));
    const two = listen(hub, { a: tools });
    expect(await two.listener.acknowledged).toEqual(new Map([["a", tools]]));
    expect(streams).toHaveLength(1);
    const three = listen(hub, { a: { promptsListChanged: true, resourceSubscriptions: ["x:1"] } });
    expect(await three.listener.acknowledged).toEqual(
      new Map([["a", { promptsListChanged: true, resourceSubscriptions: ["x:1"] }]]),
    );
    await eventually(() => streams.length === 2 && streams[0]?.open === false);
    expect(streams[1]?.filter).toEqual({
      toolsListChanged: true,
      promptsListChanged: true,
      resourceSubscriptions: ["x:1"],
    });
    say("notifications/tools/list_changed");
    say("notifications/prompts/list_changed");
    say("notifications/resources/updated", { uri: "x:1" });
    say("notifications/resources/updated", { uri: "x:1/part" });
    say("notifications/resources/updated", { uri: "x:12" });
    say("notifications/resources/updated", {});
    say("notifications/resources/list_changed");
    await eventually(() => three.heard.length === 3);
    expect(one.heard).toEqual(["a notifications/tools/list_changed"]);
    expect(two.heard).toEqual(one.heard);
    expect(three.heard).toEqual([
      "a notifications/prompts/list_changed",
      "a notifications/resources/updated x:1",
      "a notifications/resources/updated x:1/part",
    ]);
    expect(hub.stats()).toEqual({ sources: 1, listeners: 3 });
  });

  it("delivers to 1 000 listeners of one stream quickly", async () => {
    const { upstream, streams, say } = await serveModern();
    const hub = hubFor({ a: upstream });
    const delays: number[] = [];
    let said = 0;
    const listeners = Array.from({ length: 1_000 }, () =>
      hub.listen({
        filters: new Map([["a", tools]]),
        onNotification: () => delays.push(performance.now() - said),
      }),
    );
    await Promise.all(listeners.map((listener) => listener?.acknowledged));
    expect(streams).toHaveLength(1);
    said = performance.now();
    say("notifications/tools/list_changed");
    await eventually(() => delays.length === 1_000);
    delays.sort((left, right) => left - right);
    expect(delays[989]).toBeLessThan(1_000);
  });

  it("opens a broken stream again and reports every list as changed", async () => {
    const { upstream, streams } = await serveModern();
    const hub = hubFor({ a: upstream });
    const { heard, listener } = listen(hub, { a: { ...tools, resourcesListChanged: true } });
    await listener.acknowledged;
    streams[0]?.response.destroy();
    await eventually(() => heard.length === 2);
    expect(heard).toEqual(["a notifications/tools/list_changed", "a notifications/resources/list_changed"]);
    streams[1]?.response.end(`data: ${encodeListenResult(JSON.stringify(streams[1]?.id))}\n\n`);
    await eventually(() => heard.length === 4);
  });

  it("reports every subscribed resource, too, when a broken stream is back: its update may have been missed", async () => {
    const { upstream, streams } = await serveModern();
    const hub = hubFor({ a: upstream });
    const one = listen(hub, { a: { ...tools, resourceSubscriptions: ["x:1", "x:2"] } });
    const two = listen(hub, { a: { resourceSubscriptions: ["x:2"] } });
    await one.listener.acknowledged;
    await two.listener.acknowledged;
    streams.at(-1)?.response.destroy();
    await eventually(() => one.heard.length === 3 && two.heard.length === 1);
    expect(one.heard).toEqual([
      "a notifications/tools/list_changed",
      "a notifications/resources/updated x:1",
      "a notifications/resources/updated x:2",
    ]);
    expect(two.heard).toEqual(["a notifications/resources/updated x:2"]);
  });

  it.each([true, false])(
    "so it does when a legacy server's own stream breaks, unless it goes on behind its last event: %s",
    async (resumes) => {
      const streams: ServerResponse[] = [];
      const { upstream } = await serve((seen, response, request) => {
        if (seen.body.method === "initialize") {
          const capabilities = { tools: { listChanged: true }, resources: { subscribe: true } };
          return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
        }
        return legacyHandler((call, answer) => json(answer, result(call.body.id, {})), {
          stream: (_seen, answer) => {
            streams.push(answer);
            answer.writeHead(200, { "content-type": "text/event-stream" });
            answer.write(`${resumes ? `id: e-${streams.length}\n` : ""}retry: 5\ndata:\n\n`);
          },
        })(seen, response, request);
      });
      const hub = hubFor({ a: upstream });
      const { heard, listener } = listen(hub, { a: { ...tools, resourceSubscriptions: ["x:1"] } });
      await listener.acknowledged;
      await eventually(() => streams.length === 1);
      streams[0]?.end();
      await eventually(() => streams.length === 2);
      streams[1]?.write('data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n');
      const missed = ["a notifications/tools/list_changed", "a notifications/resources/updated x:1"];
      await eventually(() => heard.length === (resumes ? 1 : 3));
      expect(heard).toEqual([...(resumes ? [] : missed), "a notifications/tools/list_changed"]);
    },
  );

  it("tries a bounded number of streams to find out what is refused", async () => {
    let asked = 0;
    const { upstream, streams } = await serveModern((filter, response, id) => {
      asked++;
      if (filter.resourceSubscriptions === undefined) return false;
      json(response, failure(id, -32602));
      return true;
    });
    const hub = hubFor({ a: upstream }, { acknowledgeWaitMs: 20_000 });
    const uris = Array.from({ length: 500 }, (_, index) => `x:${index}`);
    const { listener } = listen(hub, { a: { ...tools, resourceSubscriptions: uris } });
    expect(await listener.acknowledged).toEqual(new Map([["a", tools]]));
    expect(asked).toBeLessThan(40);
    await eventually(() => streams.filter(({ open }) => open).length === 1);
  });

  it("what an upstream never acknowledges holds others up for a bounded time, however much it is", async () => {
    let silent = 0;
    const { upstream } = await serveModern((filter) => {
      const isSilent = filter.resourceSubscriptions?.some((uri) => uri.startsWith("x:silent")) === true;
      if (isSilent) silent++;
      return isSilent;
    });
    const options = { acknowledgeTimeoutMs: 400, acknowledgeWaitMs: 20_000, lingerMs: 1 };
    const hub = hubFor({ a: upstream }, options);
    await listen(hub, { a: tools }).listener.acknowledged;
    const uris = Array.from({ length: 64 }, (_, index) => `x:silent/${index}`);
    const mute = listen(hub, { a: { resourceSubscriptions: uris } });
    await eventually(() => silent === 1);
    const startedMs = performance.now();
    const other = listen(hub, { a: { resourceSubscriptions: ["x:good"] } });
    expect(await other.listener.acknowledged).toEqual(
      new Map([["a", { resourceSubscriptions: ["x:good"] }]]),
    );
    // 400 ms for the first try, as much for all trials; 33 tries would take 13 s.
    expect(performance.now() - startedMs).toBeLessThan(6_500);
    expect(await mute.listener.acknowledged).toEqual(new Map([["a", {}]]));
    expect(silent).toBeLessThan(10);
  });

  it("does not wait for an upstream that never acknowledges anything: asked again, and left when nobody listens", async () => {
    const pending: ServerResponse[] = [];
    let closed = 0;
    const { upstream } = await serveModern((_filter, response) => {
      pending.push(response);
      response.on("close", () => closed++);
      return true;
    });
    const hub = hubFor(
      { a: upstream },
      { acknowledgeWaitMs: 20, acknowledgeTimeoutMs: 60, lingerMs: 1, retryMaxMs: 20 },
    );
    const { listener } = listen(hub, { a: tools });
    expect(await listener.acknowledged).toEqual(new Map([["a", {}]]));
    expect(listener.pending(new Map([["a", tools]]))).toBe(true);
    await eventually(() => pending.length > 2);
    listener.close();
    await eventually(() => hub.stats().sources === 0 && closed === pending.length);
    const waiting = hubFor({ a: upstream }, { acknowledgeWaitMs: 20, acknowledgeTimeoutMs: 600_000 });
    const before = pending.length;
    const other = listen(waiting, { a: tools });
    await other.listener.acknowledged;
    await eventually(() => pending.length > before);
    expect(closed).toBe(before);
    waiting.close();
    await eventually(() => closed === pending.length);
  });

  it("uses a legacy server's own stream, its capabilities, and resources/subscribe", async () => {
    let stream: ServerResponse | undefined;
    const { server, upstream } = await serve((seen, response, request) => {
      if (seen.body.method === "initialize") {
        const capabilities = { tools: { listChanged: true }, prompts: {}, resources: { subscribe: true } };
        return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
      }
      const handler = legacyHandler((call, answer) => json(answer, result(call.body.id, {})), {
        stream: (_seen, answer) => {
          stream = answer;
          answer.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
        },
      });
      return handler(seen, response, request);
    });
    const hub = hubFor({ a: upstream });
    const filter = {
      ...tools,
      promptsListChanged: true,
      resourcesListChanged: true,
      resourceSubscriptions: ["x:1"],
    };
    const { heard, listener } = listen(hub, { a: filter });
    expect(await listener.acknowledged).toEqual(
      new Map([["a", { ...tools, resourceSubscriptions: ["x:1"] }]]),
    );
    const more = listen(hub, { a: { resourceSubscriptions: ["x:1", "x:2"] } });
    await more.listener.acknowledged;
    const subscribed = server.seen.filter((seen) => seen.body.method === "resources/subscribe");
    expect(subscribed.map((seen) => seen.body.params?.["uri"])).toEqual(["x:1", "x:2"]);
    await eventually(() => stream !== undefined);
    stream?.write('data: {"jsonrpc":"2.0","id":"r","method":"roots/list"}\n\n');
    stream?.write(
      'data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:2"}}\n\n',
    );
    stream?.write('data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n');
    await eventually(() => heard.length === 1 && more.heard.length === 1);
    await eventually(() => server.seen.some((seen) => seen.text.includes("-32601")));
  });

  it.each(["modern", "legacy"])(
    "who comes while a %s upstream is being asked for another hears what it says of their own wish",
    async (era) => {
      const late = (answer: () => void) => setTimeout(answer, 60);
      let asked = 0;
      const modern = modernHandler((seen, response) => {
        asked++;
        const filter = readFilter(seen.body.params?.["notifications"]);
        late(() => {
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.write(`data: ${encodeAcknowledged(JSON.stringify(seen.body.id), filter)}\n\n`);
        });
      });
      const legacy = legacyHandler((seen, response) => {
        asked++;
        late(() => json(response, result(seen.body.id, {})));
      });
      const { upstream } = await serve((seen, response, request) => {
        if (seen.body.method !== "initialize") {
          return (era === "modern" ? modern : legacy)(seen, response, request);
        }
        const capabilities = { resources: { subscribe: true } };
        return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
      });
      const hub = hubFor({ a: upstream }, { acknowledgeWaitMs: 5_000 });
      const wish = (uri: string) => ({ a: { resourceSubscriptions: [uri] } });
      const first = listen(hub, wish("x:1"));
      await eventually(() => asked === 1);
      const others = [listen(hub, wish("x:2")), listen(hub, wish("x:3"))];
      for (const [index, { listener }] of [first, ...others].entries()) {
        expect(await listener.acknowledged).toEqual(new Map(Object.entries(wish(`x:${index + 1}`))));
      }
    },
  );

  it("a resource that a legacy server refuses is not acknowledged, and subscribed to again after a while", async () => {
    let willing = false;
    const { server, upstream } = await serve((seen, response, request) => {
      if (seen.body.method === "initialize") {
        const capabilities = { tools: { listChanged: true }, resources: { subscribe: true } };
        return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
      }
      return legacyHandler((call, answer) => {
        const refused = call.body.params?.["uri"] === "x:bad" && !willing;
        json(answer, refused ? failure(call.body.id, -32002) : result(call.body.id, {}));
      })(seen, response, request);
    });
    const hub = hubFor({ a: upstream }, { retryMaxMs: 300 });
    const wanted = { ...tools, resourceSubscriptions: ["x:bad", "x:good"] };
    const one = listen(hub, { a: wanted });
    const honoured = { ...tools, resourceSubscriptions: ["x:good"] };
    expect(await one.listener.acknowledged).toEqual(new Map([["a", honoured]]));
    const two = listen(hub, { a: { resourceSubscriptions: ["x:bad"] } });
    expect(await two.listener.acknowledged).toEqual(new Map([["a", {}]]));
    expect(two.listener.pending(new Map([["a", wanted]]))).toBe(false);
    const asked = () =>
      server.seen
        .filter(({ body }) => body.method === "resources/subscribe")
        .map(({ body }) => body.params?.["uri"]);
    expect(asked().sort()).toEqual(["x:bad", "x:good"]);
    willing = true;
    await eventually(() => asked().length === 3);
    await eventually(async () => {
      const honouredNow = await listen(hub, { a: wanted }).listener.acknowledged;
      return honouredNow.get("a")?.resourceSubscriptions?.length === 2;
    });
    expect(asked().sort()).toEqual(["x:bad", "x:bad", "x:good"]);
    // Changes of it were missed until then.
    for (const { heard } of [one, two]) expect(heard).toEqual(["a notifications/resources/updated x:bad"]);
  });

  it("who wants a resource while a server is being unsubscribed from it hears when it is subscribed to again", async () => {
    const unsubscribing = Promise.withResolvers<() => void>();
    const { server, upstream } = await serve((seen, response, request) => {
      if (seen.body.method === "initialize") {
        const capabilities = { resources: { subscribe: true } };
        return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
      }
      return legacyHandler((call, answer) => {
        const reply = () => json(answer, result(call.body.id, {}));
        if (call.body.method === "resources/unsubscribe") unsubscribing.resolve(reply);
        else reply();
      })(seen, response, request);
    });
    const hub = hubFor({ a: upstream }, { lingerMs: 1, acknowledgeWaitMs: 20_000 });
    const wish = (uri: string) => listen(hub, { a: { resourceSubscriptions: [uri] } });
    await wish("x:stays").listener.acknowledged;
    const goes = wish("x:1");
    await goes.listener.acknowledged;
    goes.listener.close();
    const unsubscribed = await unsubscribing.promise;
    const subscribed = () =>
      server.seen.filter(({ body, text }) => body.method === "resources/subscribe" && text.includes("x:1"));
    const back = wish("x:1").listener.acknowledged.then((honoured) => [honoured, subscribed().length]);
    unsubscribed();
    expect(await back).toEqual([new Map([["a", { resourceSubscriptions: ["x:1"] }]]), 2]);
  });

  it("what a slow legacy server could not be asked for in time is asked for soon, not as if it had been refused", async () => {
    const asked = new Set<unknown>();
    const { upstream } = await serve((seen, response, request) => {
      if (seen.body.method === "initialize") {
        const capabilities = { resources: { subscribe: true } };
        return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
      }
      return legacyHandler((call, answer) => {
        if (call.body.method === "resources/subscribe") asked.add(call.body.params?.["uri"]);
        setTimeout(() => json(answer, result(call.body.id, {})), 100);
      })(seen, response, request);
    });
    const options = {
      acknowledgeTimeoutMs: 250,
      acknowledgeWaitMs: 20,
      retryBaseMs: 10,
      retryMaxMs: 600_000,
    };
    const hub = hubFor({ a: upstream }, options);
    const uris = Array.from({ length: 100 }, (_, index) => `x:${index}`);
    listen(hub, { a: { resourceSubscriptions: uris } });
    await eventually(() => asked.size === uris.length);
  });

  it("asks a legacy server for a few resources at a time", async () => {
    let open = 0;
    let most = 0;
    const { upstream } = await serve((seen, response, request) => {
      if (seen.body.method === "initialize") {
        const capabilities = { resources: { subscribe: true } };
        return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
      }
      return legacyHandler((call, answer) => {
        most = Math.max(most, ++open);
        setTimeout(() => {
          open--;
          json(answer, result(call.body.id, {}));
        }, 5);
      })(seen, response, request);
    });
    const hub = hubFor({ a: upstream }, { acknowledgeWaitMs: 20_000, acknowledgeTimeoutMs: 20_000 });
    const uris = Array.from({ length: 100 }, (_, index) => `x:${index}`).sort();
    const { listener } = listen(hub, { a: { resourceSubscriptions: uris } });
    expect(await listener.acknowledged).toEqual(new Map([["a", { resourceSubscriptions: uris }]]));
    expect(most).toBeLessThanOrEqual(16);
  });

  it("ends what nobody wants any more: a legacy server is unsubscribed from, a modern one asked for less", async () => {
    const { server, upstream } = await serve((seen, response, request) => {
      if (seen.body.method === "initialize") {
        const capabilities = { tools: { listChanged: true }, resources: { subscribe: true } };
        return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
      }
      return legacyHandler((call, answer) => json(answer, result(call.body.id, {})))(seen, response, request);
    });
    const modern = await serveModern();
    const hub = hubFor({ old: upstream, fresh: modern.upstream }, { lingerMs: 20 });
    const kept = { ...tools, resourceSubscriptions: ["x:1"] };
    const more = { resourceSubscriptions: ["x:1", "x:2", "x:3"] };
    const stays = listen(hub, { old: kept, fresh: kept });
    await stays.listener.acknowledged;
    const goes = listen(hub, { old: more, fresh: more });
    await goes.listener.acknowledged;
    const last = () => modern.streams.at(-1)?.filter.resourceSubscriptions;
    await eventually(() => last()?.length === 3);
    goes.listener.close();
    const unsubscribed = () =>
      server.seen
        .filter(({ body }) => body.method === "resources/unsubscribe")
        .map(({ body }) => body.params?.["uri"]);
    await eventually(() => unsubscribed().length === 2 && last()?.length === 1);
    expect(unsubscribed().sort()).toEqual(["x:2", "x:3"]);
    expect(modern.streams.at(-1)?.filter).toEqual(kept);
    modern.say("notifications/resources/updated", { uri: "x:1" });
    await eventually(() => stays.heard.includes("fresh notifications/resources/updated x:1"));
    // What comes back is asked for again.
    const again = listen(hub, { old: { resourceSubscriptions: ["x:2"] } });
    await again.listener.acknowledged;
    const asked = server.seen.filter(({ body }) => body.method === "resources/subscribe");
    expect(asked.map(({ body }) => body.params?.["uri"]).slice(-1)).toEqual(["x:2"]);
  });

  it("a listener may change what it wants, and is not interrupted in what it wants still", async () => {
    const one = await serveModern();
    const two = await serveModern();
    const hub = hubFor({ one: one.upstream, two: two.upstream }, { lingerMs: 20 });
    const { heard, listener } = listen(hub, { one: tools });
    await listener.acknowledged;
    expect(
      await listener.aim(
        new Map([
          ["one", tools],
          ["two", tools],
        ]),
      ),
    ).toEqual(
      new Map([
        ["one", tools],
        ["two", tools],
      ]),
    );
    one.say("notifications/tools/list_changed");
    two.say("notifications/tools/list_changed");
    await eventually(() => heard.length === 2);
    expect(one.streams).toHaveLength(1);
    await listener.aim(new Map([["two", tools]]));
    await eventually(() => one.streams[0]?.open === false);
    expect(hub.stats()).toEqual({ sources: 1, listeners: 1 });
    listener.close();
    expect(await listener.aim(new Map([["one", tools]]))).toEqual(new Map());
    expect(hub.stats().listeners).toBe(0);
  });

  it("an upstream that cannot be reached, or refuses, acknowledges nothing and is tried again", async () => {
    let refuse = true;
    let refused = 0;
    const { upstream } = await serve(
      modernHandler((seen, response) => {
        if (refuse) {
          refused++;
          return json(response, failure(seen.body.id, -32601), 404);
        }
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(`data: ${encodeAcknowledged("1", tools)}\n\n`);
        return undefined;
      }),
    );
    const hub = hubFor({ a: upstream }, { acknowledgeWaitMs: 40 });
    const { heard, listener } = listen(hub, { a: tools, b: tools });
    expect(await listener.acknowledged).toEqual(
      new Map([
        ["a", {}],
        ["b", {}],
      ]),
    );
    await eventually(() => refused > 0);
    refuse = false;
    await eventually(() => heard.length === 1);
  });

  it("ends a stream some time after its last listener went", async () => {
    const { upstream, streams } = await serveModern();
    const hub = hubFor({ a: upstream }, { lingerMs: 20 });
    const first = listen(hub, { a: tools });
    await first.listener.acknowledged;
    first.listener.close();
    first.listener.close();
    const second = listen(hub, { a: tools });
    await second.listener.acknowledged;
    expect(streams).toHaveLength(1);
    second.listener.close();
    await eventually(() => streams[0]?.open === false);
    expect(hub.stats()).toEqual({ sources: 0, listeners: 0 });
  });

  it("hears of a subscribed resource, and of what is a part of it, whatever else is subscribed to", async () => {
    const { upstream, say } = await serveModern();
    const hub = hubFor({ a: upstream });
    const whole = ["x:/a", "x:/dir/", "y:/one", ...Array.from({ length: 500 }, (_, index) => `z:/${index}`)];
    const { heard, listener } = listen(hub, { a: { resourceSubscriptions: whole } });
    await listener.acknowledged;
    const wanted = ["x:/a", "x:/a/b/c", "x:/dir/", "x:/dir/b", "z:/499/part"];
    const unwanted = ["x:/ab", "x:/", "x:/dir", "x:/dirt", "y:/", "z:/500", ""];
    for (const uri of [...unwanted, ...wanted]) say("notifications/resources/updated", { uri });
    await eventually(() => heard.length === wanted.length);
    expect(heard).toEqual(wanted.map((uri) => `a notifications/resources/updated ${uri}`));
  });

  it("refuses listeners over its limit", () => {
    const hub = hubFor({}, { maxListeners: 1 });
    expect(hub.listen({ filters: new Map(), onNotification: () => undefined })).toBeDefined();
    expect(hub.listen({ filters: new Map(), onNotification: () => undefined })).toBeUndefined();
  });

  it("hears of changes of a server on the official SDK, in both eras", async () => {
    for (const era of ["modern", "legacy"] as const) {
      const server = await startEverythingServer({ era });
      const upstream = createHttpUpstream({ url: server.url });
      cleanup.push(
        () => server.close(),
        () => upstream.close(),
      );
      const hub = hubFor({ a: upstream }, { acknowledgeWaitMs: 2_000 });
      const { heard, listener } = listen(hub, { a: tools });
      expect(await listener.acknowledged).toEqual(new Map([["a", tools]]));
      if (era === "legacy") continue;
      const session = await upstream.open(CLIENT);
      await session.request({
        method: "tools/call",
        params: '{"name":"test_trigger_tool_change","arguments":{}}',
      });
      await eventually(() => heard.length > 0);
    }
  });
});

describe("frames of a subscription", () => {
  const note = (text: string) => parseMessage(Buffer.from(text)) as NotificationMessage;

  it("carry the id of the listener's own request, and are otherwise unchanged", () => {
    for (const text of [
      '{"jsonrpc":"2.0","method":"n"}',
      '{"jsonrpc":"2.0","method":"n","params":{ }}',
      '{"jsonrpc":"2.0","method":"n","params":{"a":1.0}}',
      '{"jsonrpc":"2.0","method":"n","params":{"_meta":{"x":1}}}',
      '{"jsonrpc":"2.0","method":"n","params":{"_meta":{}}}',
      `{"jsonrpc":"2.0","method":"n","params":{"_meta":{"${META.subscriptionId}":"theirs"}}}`,
    ]) {
      const params = (
        JSON.parse(withSubscriptionId(note(text), '"mine"').toString()) as { params: Record<string, unknown> }
      ).params;
      expect((params["_meta"] as Record<string, unknown>)[META.subscriptionId]).toBe("mine");
    }
    expect(JSON.parse(encodeAcknowledged("5", tools))).toEqual({
      jsonrpc: "2.0",
      method: "notifications/subscriptions/acknowledged",
      params: { _meta: { [META.subscriptionId]: 5 }, notifications: tools },
    });
    expect(JSON.parse(encodeListenResult("5"))).toEqual({
      jsonrpc: "2.0",
      id: 5,
      result: { resultType: "complete", _meta: { [META.subscriptionId]: 5 } },
    });
  });

  it("filters are read forgivingly and merged", () => {
    expect(
      readFilter({ toolsListChanged: true, promptsListChanged: 1, resourceSubscriptions: ["a", 5], x: true }),
    ).toEqual({
      toolsListChanged: true,
      resourceSubscriptions: ["a"],
    });
    expect(readFilter(null)).toEqual({});
    expect(
      mergeAcknowledged([tools, { resourceSubscriptions: ["b"] }, { resourceSubscriptions: ["a"] }]),
    ).toEqual({
      toolsListChanged: true,
      resourceSubscriptions: ["a", "b"],
    });
  });
});

// These mostly wait, each with a server of its own.
describe.concurrent("of what a modern upstream is asked for", () => {
  it.each([
    ["refuses it", 5_000],
    ["never acknowledges it", 1_000],
    ["fails", 5_000],
  ])(
    "a resource that a modern upstream will not tell of costs nobody else anything: it %s",
    async (how, acknowledgeTimeoutMs) => {
      let willing = false;
      let refused = 0;
      const { upstream, streams, say } = await serveModern((filter, response, id) => {
        const isBad = filter.resourceSubscriptions?.includes("x:bad") === true && !willing;
        if (!isBad) return false;
        refused++;
        if (how === "refuses it") json(response, failure(id, -32602));
        else if (how === "fails") response.writeHead(500).end();
        return true;
      });
      const hub = hubFor(
        { a: upstream },
        { acknowledgeTimeoutMs, acknowledgeWaitMs: 20_000, retryMaxMs: 1_500 },
      );
      const one = listen(hub, { a: tools });
      await one.listener.acknowledged;
      const two = listen(hub, {
        a: { promptsListChanged: true, resourceSubscriptions: ["x:bad", "x:good"] },
      });
      // What failed was not refused: it is left alone as a whole, and asked for again soon.
      const honoured = how === "fails" ? {} : { promptsListChanged: true, resourceSubscriptions: ["x:good"] };
      expect(await two.listener.acknowledged).toEqual(new Map([["a", honoured]]));
      // Of all streams that were acknowledged, one is open, and it covers what the first listener wants.
      await eventually(() => streams.filter(({ open }) => open).length === 1);
      say("notifications/tools/list_changed");
      say("notifications/resources/updated", { uri: "x:good" });
      await eventually(() => one.heard.length === 1);
      expect(one.heard).toEqual(["a notifications/tools/list_changed"]);
      const again = listen(hub, { a: { resourceSubscriptions: ["x:bad"] } });
      const before = refused;
      expect(await again.listener.acknowledged).toEqual(new Map([["a", {}]]));
      expect(refused).toBe(before);
      willing = true;
      // It is asked for again after a while.
      await eventually(() => {
        say("notifications/resources/updated", { uri: "x:bad" });
        return again.heard.length > 0 && two.heard.length > 0;
      });
      expect(one.heard).toEqual(["a notifications/tools/list_changed"]);
    },
  );

  it.each([0, 5, 15])(
    "one of 16 that an upstream never acknowledges, number %i, keeps no other from being heard",
    async (mute) => {
      const silent = `x:${String(mute).padStart(2, "0")}`;
      const { upstream } = await serveModern(
        (filter) => filter.resourceSubscriptions?.includes(silent) === true,
      );
      // The last of the trials waits a sixteenth of it, for an answer from a machine that may be busy.
      const hub = hubFor({ a: upstream }, { acknowledgeTimeoutMs: 2_000, acknowledgeWaitMs: 20_000 });
      const uris = Array.from({ length: 16 }, (_, index) => `x:${String(index).padStart(2, "0")}`);
      const { listener } = listen(hub, { a: { resourceSubscriptions: uris } });
      const found = (await listener.acknowledged).get("a")?.resourceSubscriptions ?? [];
      expect([...found].sort()).toEqual(uris.filter((uri) => uri !== silent));
    },
  );
});
