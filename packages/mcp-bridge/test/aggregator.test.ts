import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { ExposedNames } from "../src/bridge/exposed-names.ts";
import { ExposedUris } from "../src/bridge/exposed-uris.ts";
import { createAggregator, createSealer, type ListCall, UPSTREAMS_META } from "../src/bridge/index.ts";
import { parseMessage } from "../src/index.ts";
import { createHttpUpstream, UpstreamAnswer, type UpstreamSession } from "../src/upstream/index.ts";
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

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

const secret = randomBytes(32);

/** Opens one session per handler; ids are a, b, c … and slugs as given. */
async function connect(handlers: Record<string, Handler>, modern = false) {
  const sessions = new Map<string, UpstreamSession>();
  const upstreams: { id: string; slug: string }[] = [];
  for (const [slug, handler] of Object.entries(handlers)) {
    const server = await startRawServer(modern ? modernHandler(handler) : legacyHandler(handler));
    const upstream = createHttpUpstream({
      url: server.url,
      serverStream: false,
      era: modern ? "modern" : "legacy",
    });
    cleanup.push(server.close, () => upstream.close());
    const id = String.fromCharCode(97 + upstreams.length);
    upstreams.push({ id, slug });
    sessions.set(id, await upstream.open(CLIENT));
  }
  const call: ListCall = async (id, request, { signal }) => {
    const session = sessions.get(id);
    if (!session) throw new Error("No session.");
    return await session.request(request, { signal });
  };
  return { upstreams, call };
}

const tools =
  (names: readonly string[], more: object = {}): Handler =>
  (seen, response) =>
    json(
      response,
      result(seen.body.id, {
        tools: names.map((name) => ({ name, inputSchema: { type: "object" } })),
        ...more,
      }),
    );

const list = (text: string) =>
  JSON.parse(text) as { tools: { name: string }[]; nextCursor?: string; [key: string]: unknown };
const names = (text: string) => list(text).tools.map((tool) => tool.name);
const ask = { method: "tools/list", modern: false, scope: "u" } as const;

function answerOf(text: string): UpstreamAnswer {
  const bytes = Buffer.from(text);
  const start = bytes.indexOf('"id":7') + 5;
  const kind = text.includes('"error"') ? "error" : "result";
  return new UpstreamAnswer(kind, bytes, { start, end: start + 1 }, 200, "json");
}

function request(method: string, params: object) {
  const message = parseMessage(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params })));
  if (message.kind !== "request") throw new Error("Expected a request.");
  return message;
}

describe("exposed names", () => {
  const rules = { separator: "_", maxLength: 64 };

  it("are slug_name, also where slug or name contain the separator", () => {
    const table = new ExposedNames(
      [
        { id: "1", slug: "my_srv" },
        { id: "2", slug: "my" },
      ],
      rules,
    );
    expect(table.expose({ upstreamId: "1", name: "a_b" })).toBe("my-srv_a_b");
    expect(table.resolve("my-srv_a_b")).toEqual({ upstreamId: "1", name: "a_b" });
    expect(table.resolve("my_srv_a_b")).toEqual({ upstreamId: "2", name: "srv_a_b" });
    expect(table.resolve("other_x")).toBeUndefined();
    expect(table.resolve("nothing")).toBeUndefined();
    expect(table.slugOf("unknown")).toBe("unknown");
  });

  it("keep two slugs apart that look alike; the older upstream keeps its own", () => {
    const upstreams = [
      { id: "2", slug: "x-y" },
      { id: "1", slug: "x_y" },
    ];
    const table = new ExposedNames(upstreams, rules);
    expect(table.slugOf("1")).toBe("x-y");
    expect(table.slugOf("2")).toMatch(/^x-y-[0-9a-f]{4}$/);
    expect(new ExposedNames([...upstreams].reverse(), rules).slugOf("2")).toBe(table.slugOf("2"));
    expect(new ExposedNames(upstreams, { ...rules, separator: "-" }).slugOf("2")).toBe("x.y");
  });

  it("are remembered up to a bound, the latest ones, however many an upstream makes up", () => {
    const table = new ExposedNames([{ id: "1", slug: "a" }], rules);
    const named = (n: number) => ({ upstreamId: "1", name: `${"long".repeat(20)}${n}` });
    const [first, kept, ...rest] = Array.from({ length: 50_001 }, (_, n) => table.expose(named(n)));
    expect(table.needsTable(first as string)).toBe(true);
    expect(table.resolve(kept as string)).toEqual(named(1));
    expect(table.resolve(rest.at(-1) as string)).toEqual(named(50_000));
    // What is listed again counts as new.
    table.expose(named(1));
    table.expose(named(60_000));
    expect(table.resolve(kept as string)).toEqual(named(1));
    expect(table.needsTable(rest[0] as string)).toBe(true);
  });

  it("are unique, short enough, stable and reversible, whatever the names", () => {
    const name = fc.oneof(fc.string({ minLength: 1 }), fc.string({ minLength: 40, maxLength: 200 }));
    const slug = fc.stringMatching(/^[a-z0-9_-]{1,20}$/);
    fc.assert(
      fc.property(
        fc.uniqueArray(slug, { minLength: 1, maxLength: 4 }),
        fc.uniqueArray(name, { maxLength: 20 }),
        (slugs, all) => {
          const upstreams = slugs.map((entry, index) => ({ id: String(index), slug: entry }));
          const table = new ExposedNames(upstreams, rules);
          const again = new ExposedNames(upstreams, rules);
          const seen = new Set<string>();
          for (const { id } of upstreams) {
            for (const entry of all) {
              const item = { upstreamId: id, name: entry };
              const exposed = table.expose(item);
              expect(exposed.length).toBeLessThanOrEqual(64);
              expect(seen.has(exposed)).toBe(false);
              seen.add(exposed);
              expect(table.resolve(exposed)).toEqual(item);
              expect(again.expose(item)).toBe(exposed);
            }
          }
        },
      ),
    );
  });
});

describe("exposed URIs", () => {
  it("are valid URIs with the slug in front of the scheme, and lead back", () => {
    const table = new ExposedNames(
      [
        { id: "1", slug: "Demo" },
        { id: "2", slug: "1st_x" },
        { id: "3", slug: "u-1st.x" },
      ],
      {
        separator: "_",
        maxLength: 64,
      },
    );
    const uris = new ExposedUris(table);
    for (const upstreamId of ["1", "2", "3"]) {
      for (const name of ["file:///a b", "git+https://x/y", "res://{id}/x"]) {
        const exposed = uris.expose({ upstreamId, name });
        expect(exposed).toMatch(/^[a-z][a-z0-9+.-]*:/);
        expect(uris.resolve(exposed)).toEqual({ upstreamId, name });
        expect(uris.resolve(exposed.toUpperCase())?.upstreamId).toBe(upstreamId);
      }
    }
    expect(uris.expose({ upstreamId: "1", name: "a:b" })).toBe("demo+a:b");
    expect(uris.resolve("file:///x")).toBeUndefined();
    expect(uris.resolve("+x")).toBeUndefined();
  });
});

describe("merged lists", () => {
  it("hold the items of all upstreams in a fixed order, unchanged but for their names", async () => {
    const odd: Handler = (seen, response) =>
      json(
        response,
        `{"jsonrpc":"2.0","id":${seen.body.id},"result":{"tools":[{"x":1.0,"name":"odd","big":12345678901234567890},{"nameless":1},5]}}`,
      );
    const aggregator = createAggregator({ ...(await connect({ one: tools(["b", "a"]), two: odd })), secret });
    const text = await aggregator.list(ask);
    expect(names(text)).toEqual(["one_b", "one_a", "two_odd"]);
    expect(text).toContain('{"x":1.0,"name":"two_odd","big":12345678901234567890}');
    expect(list(text)).not.toHaveProperty("_meta");
    expect(list(text)).not.toHaveProperty("ttlMs");
  });

  it("read every page of an upstream, up to a limit", async () => {
    const paged: Handler = (seen, response) => {
      const page = Number(seen.body.params?.["cursor"] ?? 0);
      tools([`t${page}`], { nextCursor: String(page + 1) })(seen, response, undefined as never);
    };
    const aggregator = createAggregator({ ...(await connect({ p: paged })), secret, maxPages: 4 });
    expect(names(await aggregator.list(ask))).toEqual(["p_t0", "p_t1", "p_t2", "p_t3"]);
    const few = createAggregator({ ...(await connect({ p: paged })), secret, maxItems: 2 });
    expect(names(await few.list(ask))).toEqual(["p_t0", "p_t1"]);
  });

  it("are paged with sealed cursors that are bound to method and scope", async () => {
    const connected = await connect({
      one: tools(["a", "b", "c"]),
      two: tools(["d"]),
      three: tools(["e", "f"]),
    });
    const aggregator = createAggregator({ ...connected, secret, pageSize: 2 });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = list(await aggregator.list({ ...ask, cursor }));
      expect(page.tools.length).toBeLessThanOrEqual(2);
      seen.push(...page.tools.map((tool) => tool.name));
      cursor = page.nextCursor;
      if (cursor !== undefined) {
        await expect(aggregator.list({ ...ask, cursor, scope: "other" })).rejects.toMatchObject({
          rpcCode: -32602,
        });
        await expect(aggregator.list({ ...ask, cursor: `${cursor}x` })).rejects.toMatchObject({
          rpcCode: -32602,
        });
        const method = "prompts/list";
        await expect(aggregator.list({ ...ask, cursor, method })).rejects.toMatchObject({
          code: "invalid_params",
        });
      }
    } while (cursor !== undefined);
    expect(seen).toEqual(["one_a", "one_b", "one_c", "two_d", "three_e", "three_f"]);
  });

  it("go on behind the last item when a list changed between two pages, on any replica", async () => {
    let current = ["a", "b", "c", "d"];
    const connected = await connect({ one: (seen, response, r) => tools(current)(seen, response, r) });
    const first = list(await createAggregator({ ...connected, secret, pageSize: 2 }).list(ask));
    current = ["new", "a", "b", "c", "d"];
    const replica = createAggregator({
      ...connected,
      secret: randomBytes(32),
      previousSecrets: [secret],
      pageSize: 2,
    });
    expect(names(await replica.list({ ...ask, cursor: first.nextCursor }))).toEqual(["one_c", "one_d"]);
    current = ["x", "y", "z"];
    expect(names(await replica.list({ ...ask, cursor: first.nextCursor }))).toEqual(["one_z"]);
  });

  it("two hanging upstreams of ten cost one deadline, and the others are shown", async () => {
    const handlers = Object.fromEntries(
      Array.from({ length: 10 }, (_, index) => [
        `s${index}`,
        index === 3 || index === 7 ? () => undefined : tools(["t"]),
      ]),
    );
    // Long beside what an answer takes on a busy machine, so that deadlines can be counted by the time.
    const listDeadlineMs = 1_500;
    const aggregator = createAggregator({ ...(await connect(handlers)), secret, listDeadlineMs });
    const before = performance.now();
    const text = await aggregator.list(ask);
    expect(performance.now() - before).toBeLessThan(2 * listDeadlineMs);
    expect(names(text)).toHaveLength(8);
    expect(list(text)["_meta"]).toEqual({
      [UPSTREAMS_META]: {
        s3: { state: "unavailable", code: "upstream_timeout" },
        s7: { state: "unavailable", code: "upstream_timeout" },
      },
    });
  });

  it("a dead upstream hides nothing that was seen before, and is named", async () => {
    let dead = false;
    const flaky: Handler = (seen, response, r) =>
      dead ? response.writeHead(500).end() : tools(["t"])(seen, response, r);
    const aggregator = createAggregator({ ...(await connect({ good: tools(["g"]), bad: flaky })), secret });
    await aggregator.list(ask);
    dead = true;
    const text = await aggregator.list({ ...ask, modern: true });
    expect(names(text)).toEqual(["good_g", "bad_t"]);
    expect(list(text)).toMatchObject({
      _meta: { [UPSTREAMS_META]: { bad: { state: "stale", code: "upstream_status" } } },
    });
    expect(list(await aggregator.list({ ...ask, scope: "someone else" }))["tools"]).toHaveLength(1);
  });

  it("a refused list and a failing session count as dead", async () => {
    const refusing: Handler = (seen, response) => json(response, failure(seen.body.id, -32601));
    const connected = await connect({ one: refusing });
    const aggregator = createAggregator({
      ...connected,
      upstreams: [...connected.upstreams, { id: "z", slug: "two" }],
      secret,
    });
    expect(list(await aggregator.list(ask))["_meta"]).toEqual({
      [UPSTREAMS_META]: {
        one: { state: "unavailable", code: "upstream_protocol" },
        two: { state: "unavailable", code: "upstream_unreachable" },
      },
    });
  });

  it("cache hints are the smallest time and private if any part is; fresh copies are used again until outdated", async () => {
    let now = 0;
    let asked = 0;
    const counted =
      (more: object): Handler =>
      (seen, response, r) => {
        asked++;
        tools(["t"], more)(seen, response, r);
      };
    const connected = await connect(
      {
        one: counted({ ttlMs: 500, cacheScope: "public" }),
        two: counted({ ttlMs: 900, cacheScope: "public" }),
      },
      true,
    );
    const aggregator = createAggregator({ ...connected, secret }, { now: () => now });
    const modern = { ...ask, modern: true };
    expect(list(await aggregator.list(modern))).toMatchObject({
      resultType: "complete",
      ttlMs: 500,
      cacheScope: "public",
    });
    now = 200;
    expect(list(await aggregator.list(modern))["ttlMs"]).toBe(300);
    expect(asked).toBe(2);
    now = 600;
    await aggregator.list(modern);
    expect(asked).toBe(3);
    aggregator.outdate("a");
    now = 601;
    await aggregator.list(modern);
    expect(asked).toBe(4);
    const mixed = await connect({ one: tools([], { ttlMs: 5, cacheScope: "public" }), two: tools([]) }, true);
    const other = createAggregator({ ...mixed, secret });
    expect(list(await other.list(modern))).toMatchObject({ ttlMs: 0, cacheScope: "private" });
    const none = createAggregator({ ...mixed, upstreams: [], secret });
    expect(list(await none.list(modern))).toMatchObject({ tools: [], ttlMs: 0 });
  });

  it("a list whose upstream names no time may be used again for a while, until it is outdated", async () => {
    let now = 0;
    let asked = 0;
    const counted: Handler = (seen, response, r) => {
      asked++;
      tools(["t"])(seen, response, r);
    };
    const connected = await connect({ one: counted });
    const aggregator = createAggregator({ ...connected, secret, freshMs: 1_000 }, { now: () => now });
    for (const [at, times, outdated] of [
      [0, 1, false],
      [999, 1, false],
      [1_000, 2, false],
      [1_001, 3, true],
    ] as const) {
      now = at;
      if (outdated) aggregator.outdate("a");
      expect(list(await aggregator.list({ ...ask, modern: true }))["ttlMs"]).toBe(0);
      expect(asked).toBe(times);
    }
  });

  it("nobody waits a second time for an upstream that failed, and its recovery is noticed all the same", async () => {
    let hangs = true;
    const handler: Handler = (seen, response, r) => (hangs ? undefined : tools(["t"])(seen, response, r));
    const connected = await connect({ one: handler });
    const stored = (id: string, method: string) =>
      id === "a" && method === "tools/list" ? [{ name: "kept", description: "d" }] : undefined;
    const aggregator = createAggregator({ ...connected, secret, stored, listDeadlineMs: 1_500 });
    const flag = { [UPSTREAMS_META]: { one: { state: "stale", code: "upstream_timeout" } } };
    for (const longestMs of [5_000, 1_500]) {
      const before = performance.now();
      const text = await aggregator.list(ask);
      expect(performance.now() - before).toBeLessThan(longestMs);
      expect(list(text)).toEqual({ tools: [{ name: "one_kept", description: "d" }], _meta: flag });
    }
    expect(list(await aggregator.list({ ...ask, method: "prompts/list" }))).toMatchObject({
      prompts: [],
      _meta: { [UPSTREAMS_META]: { one: { state: "unavailable" } } },
    });
    hangs = false;
    await expect.poll(async () => names(await aggregator.list(ask)), { timeout: 5_000 }).toEqual(["one_t"]);
  });

  it("callers share one fetch, and one that gives up disturbs no other", async () => {
    let answer: (() => void) | undefined;
    let asked = 0;
    const slow: Handler = (seen, response, r) => {
      asked++;
      answer = () => tools(["t"])(seen, response, r);
    };
    const aggregator = createAggregator({ ...(await connect({ one: slow })), secret });
    const controller = new AbortController();
    const first = aggregator.list({ ...ask, signal: controller.signal });
    const second = aggregator.list(ask);
    await expect.poll(() => asked).toBe(1);
    controller.abort();
    await expect(first).rejects.toMatchObject({ code: "aborted" });
    answer?.();
    expect(names(await second)).toEqual(["one_t"]);
  });

  it("asked for after a change are read after it, and what began to be read before it replaces nothing newer", async () => {
    let now = 0;
    const reads: { readonly answer: (names: readonly string[]) => void; readonly fail: () => void }[] = [];
    const call: ListCall = () =>
      new Promise((resolve, reject) => {
        reads.push({
          answer: (tools) =>
            resolve(answerOf(JSON.stringify(result(7, { tools: tools.map((name) => ({ name })) })))),
          fail: () => reject(new Error("gone")),
        });
      });
    const options = { upstreams: [{ id: "a", slug: "one" }], call, secret, freshMs: 60_000 };
    const aggregator = createAggregator(options, { now: () => now });
    const before = aggregator.list(ask);
    now = 1;
    aggregator.outdate("a");
    now = 2;
    const after = aggregator.list(ask);
    const joining = aggregator.list(ask);
    expect(reads).toHaveLength(2);
    reads[1]?.answer(["new"]);
    expect(names(await after)).toEqual(["one_new"]);
    expect(names(await joining)).toEqual(["one_new"]);
    reads[0]?.answer(["old"]);
    expect(names(await before)).toEqual(["one_old"]);
    expect(names(await aggregator.list(ask))).toEqual(["one_new"]);
    now = 3;
    aggregator.outdate("a");
    now = 4;
    const failing = aggregator.list(ask);
    now = 5;
    aggregator.outdate("a");
    now = 6;
    const newest = aggregator.list(ask);
    reads[2]?.fail();
    expect(names(await failing)).toEqual(["one_new"]);
    // The failure of the older one says nothing of the newer: it is waited for.
    const joined = aggregator.list(ask);
    expect(reads).toHaveLength(4);
    reads[3]?.answer(["newest"]);
    expect(names(await newest)).toEqual(["one_newest"]);
    expect(names(await joined)).toEqual(["one_newest"]);
  });

  it("of a viewer with a list of one's own are asked for it alone, private, and nobody else's", async () => {
    const { upstreams, call } = await connect(
      { one: tools(["t"], { cacheScope: "public", ttlMs: 60_000 }) },
      true,
    );
    const asked: unknown[] = [];
    let dead = false;
    const aggregator = createAggregator({
      upstreams,
      secret,
      call: (id, request, options) => {
        asked.push(options.viewer);
        return dead ? Promise.reject(new Error("dead")) : call(id, request, options);
      },
      stored: () => [{ name: "stored" }],
    });
    const own = { ...ask, modern: true, viewer: (id: string) => (id === "a" ? "ann" : undefined) };
    for (const request of [own, own, { ...ask, modern: true }]) await aggregator.list(request);
    expect(asked).toEqual(["ann", undefined]);
    expect(list(await aggregator.list(own))["cacheScope"]).toBe("private");
    expect(list(await aggregator.list({ ...ask, modern: true }))["cacheScope"]).toBe("public");
    dead = true;
    const other = { ...own, viewer: () => "bob" };
    expect(names(await aggregator.list(other))).toEqual([]);
    aggregator.outdate("a");
    expect(names(await aggregator.list(own))).toEqual(["one_t"]);
    expect(names(await aggregator.list({ ...ask, scope: "never listed" }))).toEqual(["one_stored"]);
  });

  it("keep a bounded number of copies", async () => {
    let dead = false;
    const flaky: Handler = (seen, response, r) =>
      dead ? response.writeHead(500).end() : tools(["t"])(seen, response, r);
    const aggregator = createAggregator({ ...(await connect({ one: flaky })), secret, maxCopies: 1 });
    await aggregator.list(ask);
    await aggregator.list({ ...ask, scope: "v" });
    dead = true;
    expect(names(await aggregator.list(ask))).toEqual([]);
    expect(names(await aggregator.list({ ...ask, scope: "v" }))).toEqual(["one_t"]);
  });
});

describe("rewriting", () => {
  const plan = async () =>
    createAggregator({ ...(await connect({ "my-srv": tools(["t"]), two: tools([]) })), secret });
  const options = { scope: "u" };

  it("sends a request where its name leads, under the upstream's own name", async () => {
    const aggregator = await plan();
    const cases = [
      [
        "tools/call",
        { name: "my-srv_do_it", arguments: { name: "my-srv_x", n: 1 } },
        "a",
        { name: "do_it", arguments: { name: "my-srv_x", n: 1 } },
      ],
      ["prompts/get", { name: "two_p" }, "b", { name: "p" }],
      ["resources/read", { uri: "my-srv+file:///x" }, "a", { uri: "file:///x" }],
      ["resources/subscribe", { uri: "two+a:b" }, "b", { uri: "a:b" }],
      [
        "completion/complete",
        { ref: { type: "ref/prompt", name: "two_p" }, argument: {} },
        "b",
        { ref: { type: "ref/prompt", name: "p" }, argument: {} },
      ],
      [
        "completion/complete",
        { ref: { type: "ref/resource", uri: "two+a:{b}" } },
        "b",
        { ref: { type: "ref/resource", uri: "a:{b}" } },
      ],
    ] as const;
    for (const [method, params, upstreamId, sent] of cases) {
      const routed = await aggregator.route(request(method, params), options);
      expect(routed?.upstreamId).toBe(upstreamId);
      expect(JSON.parse(routed?.params.toString() ?? "")).toEqual(sent);
    }
  });

  it("knows nothing of other names", async () => {
    const aggregator = await plan();
    for (const [method, params] of [
      ["tools/call", { name: "nobody_t" }],
      ["tools/call", { name: 5 }],
      ["tools/call", {}],
      ["resources/read", { uri: "file:///x" }],
      ["completion/complete", {}],
      ["completion/complete", { ref: 5 }],
      ["tools/list", {}],
    ] as const) {
      expect(await aggregator.route(request(method, params), options)).toBeUndefined();
    }
  });

  it("finds a shortened name in a process that has not listed yet", async () => {
    const long = "x".repeat(80);
    const connected = await connect({
      one: tools([long]),
      two: (_seen, response) => response.writeHead(500).end(),
    });
    const exposed = names(await createAggregator({ ...connected, secret }).list(ask))[0] ?? "";
    expect(exposed).toHaveLength(64);
    const replica = createAggregator({ ...connected, secret });
    expect(replica.resolveName(exposed)?.name).not.toBe(long);
    const routed = await replica.route(request("tools/call", { name: exposed }), options);
    expect(routed).toMatchObject({ upstreamId: "a", name: long });
    for (const slug of ["two", "nobody"]) {
      const name = `${slug}_${"y".repeat(64 - slug.length - 10)}-0123abcd`;
      expect((await replica.route(request("tools/call", { name }), options))?.upstreamId).toBe(
        slug === "two" ? "b" : undefined,
      );
    }
  });

  it("puts the prefix on URIs in answers and notifications, and touches nothing else", async () => {
    const aggregator = await plan();
    const expose = (method: string, value: object) => {
      // The id may stand in front of what changes, or behind it.
      for (const id of [
        `"id":7,"result":${JSON.stringify(value)}`,
        `"result":${JSON.stringify(value)},"id":7`,
      ]) {
        const shown = aggregator.exposeAnswer("a", method, answerOf(`{"jsonrpc":"2.0",${id}}`));
        expect(JSON.parse(shown.withId('"mine"').toString())).toMatchObject({ id: "mine" });
      }
      return aggregator.exposeAnswer("a", method, answerOf(JSON.stringify(result(7, value)))).value();
    };
    const content = [
      { type: "resource_link", uri: "a:1", name: "n" },
      { type: "resource", resource: { uri: "a:2", text: '"uri":"a:3"' } },
      { type: "text", text: "a:4" },
    ];
    const exposed = [
      { ...content[0], uri: "my-srv+a:1" },
      { ...content[1], resource: { uri: "my-srv+a:2", text: '"uri":"a:3"' } },
      content[2],
    ];
    expect(expose("tools/call", { content, structuredContent: { uri: "a:5" } })).toEqual({
      content: exposed,
      structuredContent: { uri: "a:5" },
    });
    expect(expose("prompts/get", { messages: [{ content: content[0] }, { content }] })).toEqual({
      messages: [{ content: exposed[0] }, { content: exposed }],
    });
    expect(expose("resources/read", { contents: [{ uri: "a:1", text: "" }, { uri: 5 }] })).toEqual({
      contents: [{ uri: "my-srv+a:1", text: "" }, { uri: 5 }],
    });
    const missing = answerOf(
      '{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"m","data":{"uri":"a:1"}}}',
    );
    expect(aggregator.exposeAnswer("a", "resources/read", missing).value()["data"]).toEqual({
      uri: "my-srv+a:1",
    });
    const same = answerOf(JSON.stringify(result(7, { uri: "a:1" })));
    expect(aggregator.exposeAnswer("a", "tools/list", same)).toBe(same);
    const notify = (method: string, params: object) => {
      const message = parseMessage(Buffer.from(JSON.stringify({ jsonrpc: "2.0", method, params })));
      if (message.kind !== "notification") throw new Error("Expected a notification.");
      return aggregator.exposeNotification("b", message).params;
    };
    expect(notify("notifications/resources/updated", { uri: "a:1" })).toEqual({ uri: "two+a:1" });
    expect(
      notify("notifications/subscriptions/acknowledged", {
        notifications: { resourceSubscriptions: ["a:1"] },
      }),
    ).toEqual({
      notifications: { resourceSubscriptions: ["two+a:1"] },
    });
    expect(notify("notifications/message", { uri: "a:1" })).toEqual({ uri: "a:1" });
    expect(aggregator.exposeName({ upstreamId: "a", name: "t" })).toBe("my-srv_t");
    expect(aggregator.exposeUri({ upstreamId: "a", name: "a:1" })).toBe("my-srv+a:1");
  });

  it.each([
    ["broken behind a URI", '"result":{"content":[{"type":"resource_link","uri":"a:1"}],"x":[}'],
    ["with nothing for a URI", '"result":{"content":[{"uri":}]}'],
    ["with a URI that is no JSON", '"result":{"content":[{"uri":nope}]}'],
    ["nested too deep", `"result":{"content":[{"uri":"a:1"}],"x":${"[".repeat(1_100)}${"]".repeat(1_100)}}`],
  ])("an answer %s is the upstream's fault", async (_, members) => {
    const aggregator = await plan();
    const answer = answerOf(`{"jsonrpc":"2.0","id":7,${members}}`);
    expect(() => aggregator.exposeAnswer("a", "tools/call", answer)).toThrow(
      expect.objectContaining({ code: "upstream_protocol", phase: "response_received" }) as Error,
    );
  });

  it("plain names change nothing, and need a single upstream", async () => {
    const connected = await connect({ one: tools(["t"]) });
    const aggregator = createAggregator({ ...connected, secret, names: "plain" });
    expect(names(await aggregator.list(ask))).toEqual(["t"]);
    const params = { name: "any_thing" };
    const routed = await aggregator.route(request("tools/call", params), options);
    expect(routed).toMatchObject({ upstreamId: "a", name: "any_thing" });
    expect(await aggregator.route(request("resources/read", { uri: "a+b:c" }), options)).toMatchObject({
      name: "a+b:c",
    });
    const answer = answerOf('{"id":7,"result":{"contents":[{"uri":"a:1"}]}}');
    expect(aggregator.exposeAnswer("a", "resources/read", answer)).toBe(answer);
    const note = parseMessage(
      Buffer.from('{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}'),
    );
    if (note.kind === "notification") expect(aggregator.exposeNotification("a", note)).toBe(note);
    expect(aggregator.exposeUri({ upstreamId: "a", name: "a:1" })).toBe("a:1");
    const two = { ...connected, upstreams: [...connected.upstreams, { id: "q", slug: "q" }] };
    expect(() => createAggregator({ ...two, secret, names: "plain" })).toThrow(RangeError);
    const nobody = createAggregator({ ...connected, upstreams: [], secret, names: "plain" });
    expect(nobody.resolveName("x")).toBeUndefined();
  });
});

describe("createSealer", () => {
  it("opens what it sealed, for the same binding, under current and previous secrets", () => {
    const old = createSealer({ secret, label: "x" });
    const token = old.seal({ a: 1 }, "b");
    const rotated = createSealer({ secret: randomBytes(32), previousSecrets: [secret], label: "x" });
    expect(rotated.open(token, "b")).toEqual({ a: 1 });
    expect(old.seal({ a: 1 }, "b")).not.toBe(token);
  });

  it("opens nothing that is forged, cut, too long, or meant for something else", () => {
    const sealer = createSealer({ secret, label: "x" });
    const token = sealer.seal({ a: 1 }, "b");
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom("A", "z", "-", "=", "é"), (at, character) => {
        const forged = token.slice(0, at) + character + token.slice(at + 1);
        if (forged !== token) expect(sealer.open(forged, "b")).toBeUndefined();
      }),
    );
    for (const wrong of ["", "x", token.slice(4), "A".repeat(20_000)])
      expect(sealer.open(wrong, "b")).toBeUndefined();
    expect(sealer.open(token, "c")).toBeUndefined();
    expect(createSealer({ secret, label: "y" }).open(token, "b")).toBeUndefined();
    expect(() => createSealer({ secret: randomBytes(31), label: "x" })).toThrow(RangeError);
  });
});
