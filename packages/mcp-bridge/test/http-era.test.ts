import { afterEach, describe, expect, it } from "vitest";
import { META } from "../src/index.ts";
import {
  createHttpUpstream,
  type HttpUpstreamDeps,
  type HttpUpstreamOptions,
} from "../src/upstream/index.ts";
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

async function serve(
  handler: Handler,
  options: Partial<HttpUpstreamOptions> = {},
  deps: HttpUpstreamDeps = {},
) {
  const server = await startRawServer(handler);
  const upstream = createHttpUpstream({ url: server.url, serverStream: false, ...options }, deps);
  cleanup.push(server.close, () => upstream.close());
  const methods = () => server.seen.map((seen) => seen.body.method);
  return { server, upstream, methods };
}

const echo: Handler = (seen, response) => json(response, result(seen.body.id, { params: seen.body.params }));

/** A server whose answer to server/discover is given, and which else is legacy. */
function discovering(answer: Handler): Handler {
  const inner = legacyHandler(echo);
  return (seen, response, request) =>
    seen.body.method === "server/discover" ? answer(seen, response, request) : inner(seen, response, request);
}

describe("a modern HTTP upstream", () => {
  it("is asked as nobody in particular: what it refuses the first caller is no answer for the others", async () => {
    const inner = modernHandler(echo);
    const strict: Handler = (seen, response, request) => {
      if (!JSON.stringify(seen.body).includes('"elicitation":"')) return inner(seen, response, request);
      return json(response, failure(seen.body.id, -32602, "capabilities.elicitation has to be an object"));
    };
    const { upstream } = await serve(strict);
    const first = await upstream.open({ ...CLIENT, capabilities: { elicitation: "nonsense" } });
    expect((await first.request({ method: "ping" })).kind).toBe("error");
    const second = await upstream.open(CLIENT);
    expect(second.era).toBe("modern");
    expect((await second.request({ method: "ping" })).kind).toBe("result");
  });

  it("is asked once, opens without a request, and gets mirrored headers and the session's envelope", async () => {
    const { server, upstream, methods } = await serve(modernHandler(echo));
    const session = await upstream.open(CLIENT);
    const second = await upstream.open(CLIENT);
    expect(session).toMatchObject({
      era: "modern",
      protocolVersion: "2026-07-28",
      sessionId: undefined,
      serverInfo: { name: "raw", version: "8" },
      capabilities: { tools: {} },
    });
    const answer = await session.request({
      method: "tools/call",
      params: '{"name":"Wetter é","arguments":{"big":12345678901234567890}}',
      headers: { "mcp-param-region": "eu" },
    });
    await second.request({ method: "resources/read", params: '{"uri":"a://b","_meta":{"x":1}}' });
    expect(methods()).toEqual(["server/discover", "tools/call", "resources/read"]);
    expect(server.seen[1]?.headers).toMatchObject({
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call",
      "mcp-name": "=?base64?V2V0dGVyIMOp?=",
      "mcp-param-region": "eu",
    });
    expect(server.seen[1]?.text).toContain('"arguments":{"big":12345678901234567890}');
    expect(answer.value()["params"]).toMatchObject({
      _meta: {
        [META.protocolVersion]: "2026-07-28",
        [META.clientInfo]: CLIENT.clientInfo,
        [META.clientCapabilities]: {},
      },
    });
    expect(server.seen[2]?.body.params?.["_meta"]).toMatchObject({
      x: 1,
      [META.protocolVersion]: "2026-07-28",
    });
    expect(server.seen[2]?.headers["mcp-name"]).toBe("a://b");
    await session.close();
    expect(methods()).toHaveLength(3);
  });

  it("passes the caller's own envelope through byte for byte", async () => {
    const { server, upstream } = await serve(modernHandler(echo));
    const session = await upstream.open(CLIENT);
    const params = `{"name":"x", "_meta":{"${META.protocolVersion}":"2026-07-28","${META.clientCapabilities}":{"elicitation":{}}}}`;
    await session.request({ method: "tools/call", params: Buffer.from(params), extras: '"x-y":1.0' });
    expect(server.seen[1]?.text).toMatch(
      /^\{"jsonrpc":"2.0","id":\d+,"method":"tools\/call","x-y":1.0,"params":/,
    );
    expect(server.seen[1]?.text).toContain(params);
  });

  it("adds only what an incomplete envelope lacks, and an envelope to calls without params", async () => {
    const { server, upstream } = await serve(modernHandler(echo));
    const session = await upstream.open(CLIENT);
    await session.request({
      method: "x",
      params: `{"_meta":{"${META.clientInfo}":{"name":"own","version":"2"}}}`,
    });
    await session.request({ method: "y" });
    await session.request({ method: "z", params: "{}" });
    const metas = server.seen.slice(1).map((seen) => seen.body.params?.["_meta"]);
    expect(metas[0]).toMatchObject({
      [META.clientInfo]: { name: "own" },
      [META.protocolVersion]: "2026-07-28",
    });
    expect(metas[1]).toEqual(metas[2]);
    expect(metas[1]).toHaveProperty([META.clientCapabilities]);
  });

  it("refuses params that are no object before anything is sent", async () => {
    const { server, upstream } = await serve(modernHandler(echo));
    const session = await upstream.open(CLIENT);
    for (const params of ["[1]", "{", '"x"']) {
      await expect(session.request({ method: "x", params })).rejects.toMatchObject({ phase: "not_sent" });
    }
    expect(server.seen).toHaveLength(1);
    expect(upstream.stats().requestsActive).toBe(0);
  });

  it("hands a JSON-RPC error with an HTTP status on as an answer", async () => {
    const { upstream } = await serve(
      modernHandler((seen, response) => json(response, failure(seen.body.id, -32601, "no such method"), 404)),
    );
    const answer = await (await upstream.open(CLIENT)).request({ method: "x" });
    expect(answer).toMatchObject({ kind: "error", httpStatus: 404 });
  });

  it("may be relied on without asking for legacy", async () => {
    const { upstream } = await serve(legacyHandler(echo), { era: "modern" });
    await expect(upstream.open(CLIENT)).rejects.toMatchObject({ code: "upstream_protocol" });
  });
});

describe("the era of an HTTP upstream", () => {
  it.each([
    ["400 with text", (response: never) => json(response, '"Bad Request"', 400)],
    ["404", (response: { writeHead(status: number): { end(): void } }) => response.writeHead(404).end()],
    ["405", (response: { writeHead(status: number): { end(): void } }) => response.writeHead(405).end()],
    ["200 with HTML", (response: { end(text: string): void }) => response.end("<html>")],
  ])("%s is legacy", async (_, answer) => {
    const { upstream } = await serve(discovering((_seen, response) => answer(response as never)));
    expect((await upstream.open(CLIENT)).era).toBe("legacy");
  });

  it("an ordinary JSON-RPC error is legacy", async () => {
    const { upstream } = await serve(
      discovering((seen, response) => json(response, failure(seen.body.id, -32601))),
    );
    expect((await upstream.open(CLIENT)).era).toBe("legacy");
  });

  it.each([401, 403, 408, 429, 500, 503])(
    "HTTP %i is no evidence: an error, and the next open asks again",
    async (status) => {
      let healthy = false;
      const { upstream, methods } = await serve(
        discovering((seen, response) =>
          json(response, failure(seen.body.id, healthy ? -32601 : -32603), healthy ? 200 : status),
        ),
      );
      await expect(upstream.open(CLIENT)).rejects.toMatchObject({ httpStatus: status });
      expect(methods()).toEqual(["server/discover"]);
      expect(upstream.stats().era).toBe("unknown");
      healthy = true;
      expect((await upstream.open(CLIENT)).era).toBe("legacy");
    },
  );

  it("a timeout is no evidence", async () => {
    const { upstream } = await serve(
      discovering(() => undefined),
      { handshakeTimeoutMs: 30 },
    );
    await expect(upstream.open(CLIENT)).rejects.toMatchObject({ code: "upstream_timeout" });
  });

  it("a modern error that names a common revision is followed; one without is an error", async () => {
    const supported: string[] = ["2026-07-28"];
    let asked = 0;
    const { upstream } = await serve(
      discovering((seen, response) => {
        asked++;
        if (asked > 1 && supported.length > 0) json(response, result(seen.body.id, { capabilities: {} }));
        else json(response, failure(seen.body.id, -32022, "no", { supported }), 400);
      }),
    );
    expect((await upstream.open(CLIENT)).era).toBe("modern");
    const none = await serve(
      discovering((seen, response) =>
        json(response, failure(seen.body.id, -32022, "no", { supported: ["2031-01-01"] }), 400),
      ),
    );
    await expect(none.upstream.open(CLIENT)).rejects.toMatchObject({
      code: "upstream_protocol",
      rpcCode: -32022,
    });
    const legacy = await serve(
      discovering((seen, response) =>
        json(response, failure(seen.body.id, -32022, "no", { supported: ["2025-11-25"] }), 400),
      ),
    );
    expect((await legacy.upstream.open(CLIENT)).era).toBe("legacy");
  });

  it("a discovery that names only legacy revisions is legacy, one that names none of ours an error", async () => {
    const naming = (supportedVersions: string[]) =>
      discovering((seen, response) =>
        json(response, result(seen.body.id, { supportedVersions, capabilities: {} })),
      );
    expect((await (await serve(naming(["2025-06-18"]))).upstream.open(CLIENT)).era).toBe("legacy");
    await expect((await serve(naming(["2031-01-01"]))).upstream.open(CLIENT)).rejects.toMatchObject({
      code: "upstream_protocol",
    });
  });

  it("a legacy verdict is asked anew after its time, and a server that became modern is found", async () => {
    let now = 0;
    let modern = false;
    const inner = modernHandler(echo);
    const old = legacyHandler(echo);
    const { upstream, methods } = await serve(
      (seen, response, request) => (modern ? inner(seen, response, request) : old(seen, response, request)),
      { legacyVerdictTtlMs: 1_000 },
      { now: () => now },
    );
    expect((await upstream.open(CLIENT)).era).toBe("legacy");
    modern = true;
    now = 1_001;
    expect((await upstream.open(CLIENT)).era).toBe("modern");
    expect(methods().filter((method) => method === "server/discover")).toHaveLength(2);
  });

  it("parallel opens share one probe; a configured era needs none", async () => {
    const { upstream, methods } = await serve(legacyHandler(echo));
    await Promise.all([upstream.open(CLIENT), upstream.open(CLIENT), upstream.open(CLIENT)]);
    expect(methods().filter((method) => method === "server/discover")).toHaveLength(1);
    const configured = await serve(legacyHandler(echo), { era: "legacy" });
    await configured.upstream.open(CLIENT);
    expect(configured.methods()).toEqual(["initialize", "notifications/initialized"]);
  });
});

describe("the legacy handshake", () => {
  it.each([
    ["refuses", (id: unknown) => failure(id, -32602, "unsupported")],
    [
      "picks an unknown revision",
      (id: unknown) => result(id, { protocolVersion: "1999-01-01", capabilities: {} }),
    ],
    ["names no revision", (id: unknown) => result(id, { capabilities: {} })],
  ])("fails when the server %s", async (_, answer) => {
    const { upstream } = await serve((seen, response) => json(response, answer(seen.body.id)), {
      era: "legacy",
    });
    await expect(upstream.open(CLIENT)).rejects.toMatchObject({ code: "upstream_protocol" });
  });

  it("asks for the revision that the caller wants", async () => {
    const { server, upstream } = await serve(legacyHandler(echo));
    const session = await upstream.open({ ...CLIENT, protocolVersion: "2025-03-26" });
    expect(session.protocolVersion).toBe("2025-03-26");
    expect(server.seen.at(-1)?.headers["mcp-protocol-version"]).toBe("2025-03-26");
  });

  it("gives the session back when its last step fails", async () => {
    const inner = legacyHandler(echo);
    const { server, upstream } = await serve((seen, response, request) =>
      seen.body.method === "notifications/initialized"
        ? response.writeHead(500).end()
        : inner(seen, response, request),
    );
    await expect(upstream.open(CLIENT)).rejects.toMatchObject({ httpStatus: 500 });
    await expect.poll(() => server.seen.at(-1)?.method).toBe("DELETE");
    expect(upstream.stats().sessionsOpen).toBe(0);
  });

  it("strips reserved _meta keys, and only those", async () => {
    const { server, upstream } = await serve(legacyHandler(echo));
    const session = await upstream.open(CLIENT);
    const cases: [string, object][] = [
      [`{"_meta":{"${META.protocolVersion}":"2026-07-28"}}`, {}],
      [`{"_meta":{"${META.protocolVersion}":"x", "traceparent":"t"}}`, { traceparent: "t" }],
      [`{"_meta":{"traceparent":"t","${META.protocolVersion}":"x"},"a":1}`, { traceparent: "t" }],
      [
        `{"_meta":{"${META.clientInfo}":{},"a":1,"${META.clientCapabilities}":{},"b":[2],"${META.logLevel}":"x","${META.protocolVersion}":1}}`,
        { a: 1, b: [2] },
      ],
      [`{"_meta":{"a":"${META.protocolVersion}"}}`, { a: META.protocolVersion }],
      [
        `{"_meta":{"${META.protocolVersion}":"x","progressToken":"t"}}`,
        { progressToken: expect.any(Number) as number },
      ],
      [`{"_meta":"${META.protocolVersion}"}`, META.protocolVersion as unknown as object],
      [`{"name":"${META.protocolVersion}"}`, undefined as unknown as object],
    ];
    for (const [params, meta] of cases) {
      await session.request({ method: "x", params });
      expect(server.seen.at(-1)?.body.params?.["_meta"]).toEqual(meta);
      expect(server.seen.at(-1)?.headers["mcp-protocol-version"]).toBe("2025-11-25");
    }
  });
});
