import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { startEverythingServer } from "@gatewright/mcp-fixtures";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { callDigest } from "../src/bridge/call-digest.ts";
import {
  type Bridge,
  BridgeError,
  type BridgeOptions,
  completeModern,
  createBridge,
  type ForwardModern,
  localError,
  localResult,
} from "../src/bridge/index.ts";
import { questionKey } from "../src/bridge/question-key.ts";
import { META, parseMessage, type RequestMessage, textOf } from "../src/index.ts";
import {
  createHttpUpstream,
  type OpenOptions,
  type UpstreamAnswer,
  type UpstreamMessage,
} from "../src/upstream/index.ts";
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

const secret = randomBytes(32);
const all = { elicitation: { form: {} }, sampling: {}, roots: {} };

function bridgeWith(options: Partial<BridgeOptions> = {}) {
  const bridge = createBridge({ secret, ...options });
  cleanup.push(() => bridge.close());
  return bridge;
}

async function open(url: string, options: Partial<OpenOptions> = {}) {
  const upstream = createHttpUpstream({ url });
  cleanup.push(() => upstream.close());
  return await upstream.open({ clientInfo: CLIENT.clientInfo, capabilities: all, ...options });
}

async function serve(handler: Handler, options: Partial<OpenOptions> = {}) {
  const server = await startRawServer(handler);
  cleanup.push(server.close);
  return { server, session: await open(server.url, options) };
}

let nextId = 1;
function modernCall(
  name: string,
  more: object = {},
  meta: object = {},
  capabilities: object = all,
): RequestMessage {
  const envelope = { [META.protocolVersion]: "2026-07-28", [META.clientCapabilities]: capabilities, ...meta };
  return request("tools/call", { name, arguments: {}, ...more, _meta: envelope });
}

function request(method: string, params?: object): RequestMessage {
  const text = JSON.stringify({ jsonrpc: "2.0", id: `c${nextId++}`, method, ...(params && { params }) });
  const message = parseMessage(Buffer.from(text));
  if (message.kind !== "request") throw new Error("Expected a request.");
  return message;
}

const caller: ForwardModern = { principal: "u", timeoutMs: 5_000 };

interface Body {
  readonly id: unknown;
  readonly result: {
    readonly [key: string]: unknown;
    readonly requestState: string;
    readonly inputRequests: Record<string, { method: string; params: unknown }>;
  };
  readonly error: { readonly code: number; readonly data: unknown };
}
const bodyOf = (answer: UpstreamAnswer) => JSON.parse(answer.bytes.toString()) as Body;

/** A legacy server that asks `questions` before it answers with what it was told. */
async function serveAsking(questions: readonly object[], options: { readonly gap?: boolean } = {}) {
  const told: unknown[] = [];
  let finish: (() => void) | undefined;
  let ask: (() => void) | undefined;
  const calls: { closed: boolean; response: ServerResponse }[] = [];
  const inner = legacyHandler((seen, response) => {
    if (seen.body.method !== "tools/call") return json(response, result(seen.body.id, {}));
    const call = { closed: false, response };
    calls.push(call);
    response.on("close", () => {
      call.closed = true;
    });
    response.writeHead(200, { "content-type": "text/event-stream" });
    let asked = 0;
    ask = () => {
      const method = questions[asked++];
      if (method) response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", id: asked, ...method })}\n\n`);
    };
    finish = () => {
      if (told.length < questions.length) return options.gap ? ask?.() : undefined;
      response.write(`data: ${JSON.stringify(result(seen.body.id, { told }))}\n\n`);
      response.end();
      return undefined;
    };
    if (options.gap) ask();
    else for (const _ of questions) ask();
    return undefined;
  });
  const { server, session } = await serve((seen, response, r) => {
    if (seen.method !== "POST" || seen.body.method !== undefined) return inner(seen, response, r);
    told.push(JSON.parse(seen.text));
    response.writeHead(202).end();
    return finish?.();
  });
  return { server, session, told, calls };
}

/** Continues a parked call, or says which replica holds it. */
async function resume(bridge: Bridge, message: RequestMessage, options: Omit<ForwardModern, "timeoutMs">) {
  const claim = bridge.claim(message, options);
  if (claim.kind === "elsewhere") return claim;
  return { kind: "answer", answer: await claim.proceed(options) } as const;
}

const elicit = { method: "elicitation/create", params: { message: "name?", big: 1 } };
const accept = { action: "accept", content: { name: "n" } };

describe("a stateless client and a server with sessions", () => {
  it("gets resultType and cache hints added, and every other byte as it came", async () => {
    const { session } = await serve(
      legacyHandler((seen, response) =>
        json(response, `{"jsonrpc":"2.0","id":${seen.body.id},"result":{"x":1.0,"n":12345678901234567890}}`),
      ),
    );
    const bridge = bridgeWith();
    const call = await bridge.forwardModern(session, modernCall("x"), caller);
    expect(call.withId('"c"').toString()).toMatch(
      /^\{"jsonrpc":"2.0","id":"c","result":\{"resultType":"complete","x":1.0,"n":12345678901234567890\}\}$/,
    );
    const list = await bridge.forwardModern(session, request("tools/list", {}), caller);
    expect(bodyOf(list).result).toMatchObject({
      resultType: "complete",
      ttlMs: 0,
      cacheScope: "private",
      x: 1,
    });
  });

  it("keeps what the server already says", async () => {
    const value = { resultType: "task", ttlMs: 5, cacheScope: "public" };
    const { session } = await serve(
      legacyHandler((seen, response) => json(response, result(seen.body.id, value))),
    );
    expect(bodyOf(await bridgeWith().forwardModern(session, request("tools/list"), caller)).result).toEqual(
      value,
    );
  });

  it.each([
    [-32002, -32602, 200],
    [-32601, -32601, 404],
    [-32603, -32603, 200],
  ])("error %i becomes %i with HTTP %i", async (code, mapped, httpStatus) => {
    const { session } = await serve(
      legacyHandler((seen, response) => json(response, failure(seen.body.id, code, "m", { d: 1 }))),
    );
    const answer = await bridgeWith().forwardModern(
      session,
      request("resources/read", { uri: "a:b" }),
      caller,
    );
    expect(answer.httpStatus).toBe(httpStatus);
    expect(bodyOf(answer).error).toEqual({ code: mapped, message: "m", data: { d: 1 } });
  });

  it.each([
    ['{"resultType":"complete","x":1.0}', undefined],
    ['{"x":1.0,"resultType":"input_required"}', undefined],
    ['{"x":1.0}', '{"resultType":"complete","x":1.0}'],
    [
      '{"structuredContent":{"resultType":"mine"}}',
      '{"resultType":"complete","structuredContent":{"resultType":"mine"}}',
    ],
    [
      '{"content":[{"text":"\\"result\\":{\\"resultType\\""}]}',
      '{"resultType":"complete","content":[{"text":"\\"result\\":{\\"resultType\\""}]}',
    ],
    ["{}", '{"resultType":"complete"}'],
  ])("gets the type of a stateless server's result that lacks it: %s", (value, completed) => {
    const answer = localResult(value);
    const whole = completeModern(answer, "tools/call");
    if (completed === undefined) expect(whole).toBe(answer);
    expect(whole.withId("1").toString()).toBe(`{"jsonrpc":"2.0","id":1,"result":${completed ?? value}}`);
    expect(bodyOf(completeModern(localResult(value), "tools/list")).result).toMatchObject({
      ttlMs: 0,
      cacheScope: "private",
    });
  });

  it("gets a stateless server's error, and a result with all its hints, as they came", () => {
    const error = localError({ code: -32002, message: "m" }, 400);
    expect(completeModern(error, "resources/read")).toBe(error);
    const list = localResult('{"resultType":"complete","tools":[],"ttlMs":5,"cacheScope":"public"}');
    expect(completeModern(list, "tools/list")).toBe(list);
  });

  it("refuses methods that its revision does not have", async () => {
    const { server, session } = await serve(
      legacyHandler((seen, response) => json(response, result(seen.body.id, {}))),
    );
    const before = server.seen.length;
    for (const method of ["ping", "logging/setLevel", "resources/subscribe", "initialize"]) {
      let ended = 0;
      const answer = await bridgeWith().forwardModern(session, request(method), {
        ...caller,
        onEnd: () => ended++,
      });
      expect(answer.httpStatus).toBe(404);
      expect(bodyOf(answer).error.code).toBe(-32601);
      expect(ended).toBe(1);
    }
    expect(server.seen.slice(before).filter((seen) => seen.method === "POST")).toHaveLength(0);
  });

  it("is asked by input_required, and its answer reaches the call that waited", async () => {
    const { session, told } = await serveAsking([elicit]);
    const bridge = bridgeWith();
    let ended = 0;
    const first = bodyOf(
      await bridge.forwardModern(session, modernCall("x"), { ...caller, onEnd: () => ended++ }),
    );
    expect(first.result).toMatchObject({
      resultType: "input_required",
      inputRequests: { user_input: elicit },
    });
    expect(bridge.stats()).toMatchObject({ parked: 1 });
    expect(ended).toBe(0);
    const again = modernCall("x", {
      inputResponses: { user_input: accept },
      requestState: first.result.requestState,
    });
    const outcome = await resume(bridge, again, caller);
    if (outcome.kind !== "answer") throw new Error("Expected an answer.");
    expect(bodyOf(outcome.answer)).toMatchObject({ result: { resultType: "complete" } });
    expect(told).toEqual([result(1, accept)]);
    expect(ended).toBe(1);
    expect(bridge.stats()).toMatchObject({ parked: 0, parkedTotal: 1, expired: 0 });
  });

  it("whose answer the server refuses has lost its call: it had begun, whatever the refusal says", async () => {
    const asking = legacyHandler((_seen, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", id: 1, ...elicit })}\n\n`);
    });
    const { session } = await serve((seen, response, r) => {
      const answers = seen.method === "POST" && seen.body.method === undefined;
      return answers ? response.writeHead(404).end() : asking(seen, response, r);
    });
    const bridge = bridgeWith();
    const { requestState } = bodyOf(await bridge.forwardModern(session, modernCall("x"), caller)).result;
    const inputResponses = { user_input: accept };
    const lost = { code: "session_lost", phase: "sent_no_response" };
    await expect(
      resume(bridge, modernCall("x", { requestState, inputResponses }), caller),
    ).rejects.toMatchObject(lost);
    const { session: another } = await serve((seen, response, r) => {
      const answers = seen.method === "POST" && seen.body.method === undefined;
      return answers ? response.writeHead(404).end() : asking(seen, response, r);
    });
    await expect(
      bridge.forwardModern(another, modernCall("x", { inputResponses }), caller),
    ).rejects.toMatchObject(lost);
  });

  it("may be asked several things at once, and several times", async () => {
    const together = await serveAsking([elicit, { method: "roots/list" }]);
    const bridge = bridgeWith();
    const first = bodyOf(await bridge.forwardModern(together.session, modernCall("x"), caller)).result;
    expect(Object.values(first.inputRequests).map((entry) => entry.method)).toEqual([
      "elicitation/create",
      "roots/list",
    ]);
    const partial = modernCall("x", {
      inputResponses: { client_roots: { roots: [] }, q9: {} },
      requestState: first.requestState,
    });
    const second = await resume(bridge, partial, caller);
    if (second.kind !== "answer") throw new Error("Expected an answer.");
    expect(bodyOf(second.answer).result).toMatchObject({
      resultType: "input_required",
      inputRequests: { user_input: elicit },
    });
    const rest = modernCall("x", {
      inputResponses: { user_input: accept },
      requestState: bodyOf(second.answer).result.requestState,
    });
    const third = await resume(bridge, rest, caller);
    expect(third.kind === "answer" && bodyOf(third.answer).result["told"]).toHaveLength(2);
    const oneByOne = await serveAsking([elicit, elicit], { gap: true });
    const start = bodyOf(await bridge.forwardModern(oneByOne.session, modernCall("y"), caller)).result;
    const more = await resume(
      bridge,
      modernCall("y", { inputResponses: { user_input: accept }, requestState: start.requestState }),
      caller,
    );
    if (more.kind !== "answer") throw new Error("Expected an answer.");
    expect(bodyOf(more.answer).result.inputRequests).toEqual({ user_input_2: elicit });
  });

  it("cannot use a state twice, for another call, as somebody else, or forged", async () => {
    const { session } = await serveAsking([elicit]);
    const bridge = bridgeWith();
    const { requestState } = bodyOf(await bridge.forwardModern(session, modernCall("x"), caller)).result;
    const invalid = { rpcCode: -32602, code: "invalid_params" };
    await expect(resume(bridge, modernCall("other", { requestState }), caller)).rejects.toMatchObject(
      invalid,
    );
    await expect(resume(bridge, modernCall("x", { requestState }), { principal: "v" })).rejects.toMatchObject(
      invalid,
    );
    await expect(
      resume(bridge, modernCall("x", { requestState: `${requestState}A` }), caller),
    ).rejects.toMatchObject(invalid);
    await expect(resume(bridge, modernCall("x"), caller)).rejects.toMatchObject(invalid);
    const good = modernCall("x", { inputResponses: { user_input: accept }, requestState });
    expect((await resume(bridge, good, caller)).kind).toBe("answer");
    await expect(resume(bridge, good, caller)).rejects.toMatchObject(invalid);
  });

  it("is sent to the replica that holds the call", async () => {
    const { session } = await serveAsking([elicit]);
    const owner = bridgeWith({ replica: "r1" });
    const { requestState } = bodyOf(await owner.forwardModern(session, modernCall("x"), caller)).result;
    const other = bridgeWith({ replica: "r2" });
    expect(await resume(other, modernCall("x", { requestState }), caller)).toEqual({
      kind: "elsewhere",
      replica: "r1",
    });
    const restarted = bridgeWith({ replica: "r1" });
    await expect(resume(restarted, modernCall("x", { requestState }), caller)).rejects.toMatchObject({
      code: "outcome_unknown",
    });
  });

  it("a call whose client stays away is cancelled upstream, and its outcome unknown", async () => {
    const { server, session, calls } = await serveAsking([elicit]);
    const bridge = bridgeWith({ parkedTtlMs: 500 });
    let ended = 0;
    const options = { ...caller, onEnd: () => ended++ };
    const { requestState } = bodyOf(await bridge.forwardModern(session, modernCall("x"), options)).result;
    await eventually(() => calls[0]?.closed === true);
    await eventually(() => server.seen.some((seen) => seen.body.method === "notifications/cancelled"));
    const late = resume(
      bridge,
      modernCall("x", { inputResponses: { user_input: accept }, requestState }),
      caller,
    );
    await expect(late).rejects.toSatisfy(
      (error) => BridgeError.is(error) && error.code === "outcome_unknown" && !error.retryable,
    );
    expect(ended).toBe(1);
    expect(bridge.stats()).toMatchObject({ parked: 0, expired: 1 });
  });

  it("waiting calls are capped, per principal and in all", async () => {
    const { session } = await serveAsking([elicit]);
    const bridge = bridgeWith({ maxParkedPerPrincipal: 1, maxParked: 2 });
    const park = (principal: string) =>
      bridge.forwardModern(session, modernCall("x"), { ...caller, principal });
    await park("a");
    await expect(park("a")).rejects.toMatchObject({ code: "outcome_unknown", retryable: false });
    await park("b");
    await expect(park("c")).rejects.toMatchObject({ code: "outcome_unknown" });
    expect(bridge.stats().parked).toBe(2);
    bridge.close();
    expect(bridge.stats().parked).toBe(0);
  });

  it("a client that goes away while its call runs cancels it", async () => {
    const { session, calls } = await serveAsking([]);
    const bridge = bridgeWith();
    const controller = new AbortController();
    const running = bridge.forwardModern(session, modernCall("x"), {
      ...caller,
      signal: controller.signal,
      timeoutMs: 0,
    });
    await eventually(() => calls.length === 1);
    controller.abort();
    await expect(running).rejects.toMatchObject({ code: "aborted" });
    await eventually(() => calls[0]?.closed === true);
    const gone = bridge.forwardModern(session, modernCall("x"), { ...caller, signal: AbortSignal.abort() });
    await expect(gone).rejects.toMatchObject({ code: "aborted" });
  });

  it("that did not declare what the server needs gets -32021 with HTTP 400, and the call is cancelled", async () => {
    const { session, told, calls } = await serveAsking([{ method: "sampling/createMessage" }, elicit]);
    const call = modernCall("x", {}, {}, { elicitation: {} });
    const answer = await bridgeWith().forwardModern(session, call, caller);
    expect(answer.httpStatus).toBe(400);
    expect(bodyOf(answer).error).toMatchObject({
      code: -32021,
      data: { requiredCapabilities: { sampling: {} } },
    });
    await eventually(() => calls[0]?.closed === true);
    await eventually(() => told.length > 0);
  });

  it("is not asked what no client can be asked; the server is told no, and a ping is answered", async () => {
    const { session, told } = await serveAsking([{ method: "ping" }, { method: "x/y" }]);
    expect(bodyOf(await bridgeWith().forwardModern(session, modernCall("x"), caller)).result).toMatchObject({
      resultType: "complete",
    });
    expect(told).toMatchObject([
      { id: 1, result: {} },
      { id: 2, error: { code: -32601 } },
    ]);
    const many = await serveAsking([elicit, elicit]);
    const first = bodyOf(
      await bridgeWith({ maxQuestions: 1 }).forwardModern(many.session, modernCall("x"), caller),
    ).result;
    expect(Object.keys(first.inputRequests)).toEqual(["user_input"]);
  });

  it("gets progress under the token of the request that waits, and log messages only from the level it asked for", async () => {
    let say: ((method: string, params: object) => void) | undefined;
    let finish: (() => void) | undefined;
    const inner = legacyHandler((seen, response) => {
      if (seen.body.method === "logging/setLevel") return json(response, result(seen.body.id, {}));
      const meta = seen.body.params?.["_meta"] as { progressToken?: unknown } | undefined;
      response.writeHead(200, { "content-type": "text/event-stream" });
      const write = (value: object) =>
        response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...value })}\n\n`);
      say = (method, params) => write({ method, params: { progressToken: meta?.progressToken, ...params } });
      say("notifications/progress", { progress: 1 });
      say("notifications/message", { level: "info", data: "i" });
      say("notifications/message", { level: "error", data: "e" });
      write({ id: 1, ...elicit });
      finish = () => {
        say?.("notifications/progress", { progress: 2 });
        response.end(`data: ${JSON.stringify(result(seen.body.id, {}))}\n\n`);
      };
      return undefined;
    });
    const { server, session } = await serve((seen, response, r) => {
      if (seen.body.method === "initialize") {
        return json(
          response,
          result(seen.body.id, { protocolVersion: "2025-11-25", capabilities: { logging: {} } }),
        );
      }
      if (seen.method !== "POST" || seen.body.method !== undefined) return inner(seen, response, r);
      response.writeHead(202).end();
      return finish?.();
    });
    const bridge = bridgeWith();
    const heard: Body[] = [];
    const onNotification = (bytes: Buffer) => heard.push(JSON.parse(bytes.toString()) as Body);
    const level = { [META.logLevel]: "warning" };
    const call = modernCall("x", {}, { progressToken: "t1", ...level });
    const { requestState } = bodyOf(
      await bridge.forwardModern(session, call, { ...caller, onNotification }),
    ).result;
    const params = () =>
      heard.map((entry) => (entry as unknown as { params: Record<string, unknown> }).params);
    expect(params().map(({ progressToken, progress, data }) => [progressToken, progress, data])).toEqual([
      ["t1", 1, undefined],
      [expect.anything(), undefined, "e"],
    ]);
    const setLevel = server.seen.filter((seen) => seen.body.method === "logging/setLevel");
    expect(setLevel.map((seen) => seen.body.params)).toEqual([{ level: "warning" }]);
    const again = modernCall(
      "x",
      { inputResponses: { user_input: accept }, requestState },
      { progressToken: "t2" },
    );
    await resume(bridge, again, { ...caller, onNotification });
    expect(params().at(-1)).toMatchObject({ progressToken: "t2", progress: 2 });
    const silent = bodyOf(
      await bridge.forwardModern(session, modernCall("x", {}, level), { ...caller, onNotification }),
    ).result;
    await resume(
      bridge,
      modernCall("x", { inputResponses: { user_input: accept }, requestState: silent.requestState }),
      { ...caller, onNotification },
    );
    expect(server.seen.filter((seen) => seen.body.method === "logging/setLevel")).toHaveLength(1);
  });

  it.each(["the call's", "the session's"])(
    "is not asked any more what the server takes back, on %s stream",
    async (where) => {
      const bridge = bridgeWith();
      const offered: boolean[] = [];
      const notes: Buffer[] = [];
      let stream: ServerResponse | undefined;
      let call: { readonly say: (value: object) => void; readonly id: unknown } | undefined;
      const { server, session } = await serve(
        legacyHandler(
          (seen, response) => {
            response.writeHead(200, { "content-type": "text/event-stream" });
            const say = (value: object) =>
              void response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...value })}\n\n`);
            for (const asked of ["kept", "withdrawn"]) say({ id: asked, ...elicit });
            call = { say, id: seen.body.id };
          },
          {
            stream: (_seen, response) => {
              stream = response;
              response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
            },
          },
        ),
        { onMessage: (message) => offered.push(bridge.offer(session, message)) },
      );
      await eventually(() => stream !== undefined);
      const options = { ...caller, onNotification: (bytes: Buffer) => notes.push(bytes) };
      const first = bodyOf(await bridge.forwardModern(session, modernCall("x"), options)).result;
      const [kept = "", withdrawn = ""] = Object.keys(first.inputRequests);
      const cancel = (requestId: string) => {
        const value = { method: "notifications/cancelled", params: { requestId, reason: "late" } };
        if (where === "the call's") call?.say(value);
        else stream?.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...value })}\n\n`);
      };
      cancel("unknown");
      cancel("withdrawn");
      if (where === "the session's") await eventually(() => offered.length === 2);
      else await new Promise((resolve) => setTimeout(resolve, 50));
      expect(offered).toEqual(where === "the session's" ? [false, true] : []);
      const again = await resume(
        bridge,
        modernCall("x", { inputResponses: {}, requestState: first.requestState }),
        options,
      );
      if (again.kind !== "answer") throw new Error(again.kind);
      const second = bodyOf(again.answer).result;
      expect(Object.keys(second.inputRequests)).toEqual([kept]);
      const last = resume(
        bridge,
        modernCall("x", {
          inputResponses: { [kept]: accept, [withdrawn]: accept },
          requestState: second.requestState,
        }),
        options,
      );
      const answers = () =>
        server.seen
          .filter(({ body }) => body.method === undefined && body.id !== undefined)
          .map(({ body }) => body.id);
      await eventually(() => answers().length > 0);
      call?.say(result(call.id, { done: true }));
      const answered = await last;
      expect(answered.kind === "answer" && bodyOf(answered.answer).result).toMatchObject({ done: true });
      expect(answers()).toEqual(["kept"]);
      expect(notes).toEqual([]);
    },
  );

  it("is not told that a visit of its user's is over: its revision knows no such notice, and the gateway hears it", async () => {
    const { session } = await serve(
      legacyHandler((seen, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        const say = (value: object) =>
          response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...value })}\n\n`);
        say({ method: "notifications/elicitation/complete", params: { elicitationId: "e" } });
        say({ method: "notifications/x", params: {} });
        response.end(`data: ${JSON.stringify(result(seen.body.id, {}))}\n\n`);
      }),
    );
    const told: unknown[] = [];
    const heard: string[] = [];
    await bridgeWith().forwardModern(session, modernCall("x"), {
      ...caller,
      onNotification: (bytes) => told.push((JSON.parse(bytes.toString()) as { method: string }).method),
      onHeard: ({ method }) => heard.push(method),
    });
    expect(told).toEqual(["notifications/x"]);
    expect(heard).toEqual(["notifications/elicitation/complete", "notifications/x"]);
  });

  it("hears what the server says upon its answer and while nobody waits, bounded, the newest kept", async () => {
    let say: ((method: string, params: object) => void) | undefined;
    let answered: (() => void) | undefined;
    const inner = legacyHandler((seen, response) => {
      const meta = seen.body.params?.["_meta"] as { progressToken?: unknown } | undefined;
      response.writeHead(200, { "content-type": "text/event-stream" });
      const write = (value: object) =>
        response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", ...value })}\n\n`);
      say = (method, params) => write({ method, params: { progressToken: meta?.progressToken, ...params } });
      write({ id: 1, ...elicit });
      answered = () => response.end(`data: ${JSON.stringify(result(seen.body.id, {}))}\n\n`);
    });
    const { session } = await serve((seen, response, r) => {
      if (seen.method !== "POST" || seen.body.method !== undefined) return inner(seen, response, r);
      // The server goes on before it acknowledges the answer, and waits for the progress to be on its way.
      say?.("notifications/progress", { progress: 1_000 });
      setTimeout(() => response.writeHead(202).end(), 30);
      setTimeout(() => answered?.(), 60);
      return undefined;
    });
    const bridge = bridgeWith();
    const progress: number[] = [];
    const onNotification = (bytes: Buffer) => {
      const { params } = JSON.parse(bytes.toString()) as {
        params: { progress: number; progressToken: string };
      };
      expect(params.progressToken).toBe("t2");
      progress.push(params.progress);
    };
    const heard: string[] = [];
    const options = {
      ...caller,
      onNotification,
      onHeard: ({ method }: { method: string }) => heard.push(method),
    };
    const call = modernCall("x", {}, { progressToken: "t1" });
    const { requestState } = bodyOf(await bridge.forwardModern(session, call, options)).result;
    say?.("notifications/tools/list_changed", {});
    for (let step = 1; step <= 70; step++) say?.("notifications/progress", { progress: step });
    // A list that changed is heard of at once.
    await eventually(() => heard.length === 71);
    expect(progress).toEqual([]);
    await resume(
      bridge,
      modernCall("x", { inputResponses: { user_input: accept }, requestState }, { progressToken: "t2" }),
      options,
    );
    expect(progress).toEqual([...Array.from({ length: 64 }, (_, index) => index + 7), 1_000]);
    expect(heard).toHaveLength(72);
  });

  it("a level that the server did not take is asked for again after a while, one that it took is not", async () => {
    let refuse: number | undefined;
    const inner = legacyHandler((seen, response) => {
      const refused = seen.body.method === "logging/setLevel" && refuse !== undefined;
      json(response, refused ? failure(seen.body.id, refuse ?? 0) : result(seen.body.id, {}));
    });
    const { server, session } = await serve((seen, response, request) => {
      if (seen.body.method !== "initialize") return inner(seen, response, request);
      const capabilities = { logging: {} };
      return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
    });
    let now = 0;
    const bridge = createBridge({ secret }, { now: () => now });
    cleanup.push(() => bridge.close());
    const levels = async (level: string) => {
      await bridge.forwardModern(session, modernCall("x", {}, { [META.logLevel]: level }), caller);
      return server.seen
        .filter((seen) => seen.body.method === "logging/setLevel")
        .map((seen) => seen.body.params?.["level"]);
    };
    expect(await levels("error")).toEqual(["error"]);
    refuse = -32603;
    expect(await levels("info")).toEqual(["error", "info"]);
    expect(await levels("info")).toEqual(["error", "info"]);
    now = 30_001;
    refuse = undefined;
    expect(await levels("info")).toEqual(["error", "info", "info"]);
    now = 90_000;
    expect(await levels("info")).toEqual(["error", "info", "info"]);
    expect(await levels("warning")).toEqual(["error", "info", "info"]);
  });

  it("takes a question from the session's own stream when only one call can have caused it", async () => {
    const bridge = bridgeWith();
    const offered: boolean[] = [];
    let stream: ServerResponse | undefined;
    let finish: (() => void) | undefined;
    const inner = legacyHandler(
      (seen, response) => {
        stream?.write(`data: ${JSON.stringify({ jsonrpc: "2.0", id: "s", ...elicit })}\n\n`);
        finish = () => json(response, result(seen.body.id, { ok: true }));
      },
      {
        stream: (_seen, response) => {
          stream = response;
          response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
        },
      },
    );
    const { session } = await serve(
      (seen, response, r) => {
        if (seen.method !== "POST" || seen.body.method !== undefined) return inner(seen, response, r);
        response.writeHead(202).end();
        return finish?.();
      },
      {
        onMessage: (message: UpstreamMessage) =>
          offered.push(message.kind === "request" && bridge.offer(session, message)),
      },
    );
    await eventually(() => stream !== undefined);
    stream?.write(`data: ${JSON.stringify({ jsonrpc: "2.0", id: "early", ...elicit })}\n\n`);
    await eventually(() => offered.length === 1);
    expect(offered).toEqual([false]);
    const { requestState } = bodyOf(await bridge.forwardModern(session, modernCall("x"), caller)).result;
    const outcome = await resume(
      bridge,
      modernCall("x", { inputResponses: { user_input: accept }, requestState }),
      caller,
    );
    expect(outcome.kind === "answer" && bodyOf(outcome.answer).result).toMatchObject({ ok: true });
    expect(offered).toEqual([false, true]);
  });

  it("discovers a server that did a handshake", async () => {
    const { session } = await serve(legacyHandler(() => undefined));
    expect(bridgeWith().discoverResult(session)).toEqual({
      resultType: "complete",
      supportedVersions: ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
      capabilities: { tools: { listChanged: true } },
      instructions: "be kind",
      ttlMs: 0,
      cacheScope: "private",
      _meta: { [META.serverInfo]: { name: "raw", version: "7" } },
    });
  });

  it("completes an elicitation with a server on the official SDK that knows only sessions", async () => {
    const server = await startEverythingServer({ era: "legacy" });
    cleanup.push(() => server.close());
    const session = await open(server.url);
    const bridge = bridgeWith();
    const args = { arguments: { message: "who?" } };
    const first = bodyOf(
      await bridge.forwardModern(session, modernCall("test_elicitation", args), caller),
    ).result;
    expect(first.inputRequests["user_input"]).toMatchObject({
      method: "elicitation/create",
      params: { message: "who?" },
    });
    const inputResponses = { user_input: { action: "accept", content: { username: "u", email: "u@x" } } };
    const again = modernCall("test_elicitation", {
      ...args,
      inputResponses,
      requestState: first.requestState,
    });
    const outcome = await resume(bridge, again, caller);
    expect(JSON.stringify(outcome.kind === "answer" && bodyOf(outcome.answer))).toContain("accept");
  });
});

// These mostly wait, each for a server of its own.
describe.concurrent("the time of a stateless client and a server with sessions", () => {
  it("a question waits its time once, however often the client comes back without an answer; the next one has its own", async () => {
    const { session, calls } = await serveAsking([elicit, { ...elicit, id: 2 }], { gap: true });
    const bridge = bridgeWith({ parkedTtlMs: 3_000 });
    const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    const again = async (requestState: string, inputResponses: object) => {
      const { answer } = (await resume(
        bridge,
        modernCall("x", { inputResponses, requestState }),
        caller,
      )) as { readonly answer: UpstreamAnswer };
      return bodyOf(answer).result;
    };
    const first = bodyOf(await bridge.forwardModern(session, modernCall("x"), caller)).result;
    await pause(1_600);
    const [key = ""] = Object.keys(first.inputRequests);
    const second = await again(first.requestState, { [key]: accept });
    await pause(1_600);
    let { requestState } = await again(second.requestState, {});
    const unanswered = async () => {
      for (;;) {
        await pause(100);
        ({ requestState } = await again(requestState, {}));
      }
    };
    const before = performance.now();
    await expect(unanswered()).rejects.toMatchObject({ code: "outcome_unknown" });
    // Less than half is left of the second question's time.
    expect(performance.now() - before).toBeLessThan(2_900);
    await eventually(() => calls[0]?.closed === true);
    expect(bridge.stats()).toMatchObject({ parked: 0, expired: 1 });
  });

  it("time stands still while a call waits for its client, and only then", async () => {
    const { session } = await serveAsking([elicit]);
    const bridge = bridgeWith();
    const { requestState } = bodyOf(
      await bridge.forwardModern(session, modernCall("x"), { ...caller, timeoutMs: 1_000 }),
    ).result;
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const outcome = await resume(
      bridge,
      modernCall("x", { inputResponses: { user_input: accept }, requestState }),
      caller,
    );
    expect(outcome.kind).toBe("answer");
    const hanging = await serveAsking([]);
    await expect(
      bridge.forwardModern(hanging.session, modernCall("x"), { ...caller, timeoutMs: 500 }),
    ).rejects.toMatchObject({
      code: "upstream_timeout",
      phase: "sent_no_response",
    });
  });

  it("a server that never answers logging/setLevel holds a call up for half its time at most; who leaves meanwhile is not called for", async () => {
    const inner = legacyHandler((seen, response) => {
      if (seen.body.method !== "logging/setLevel") json(response, result(seen.body.id, {}));
    });
    const { server, session } = await serve((seen, response, request) => {
      if (seen.body.method !== "initialize") return inner(seen, response, request);
      const capabilities = { logging: {} };
      return json(response, result(seen.body.id, { protocolVersion: "2025-11-25", capabilities }));
    });
    const calls = () => server.seen.filter((seen) => seen.body.method === "tools/call").length;
    const bridge = bridgeWith();
    const call = (level: string) => modernCall("x", {}, { [META.logLevel]: level });
    const before = performance.now();
    const answer = await bridge.forwardModern(session, call("error"), { ...caller, timeoutMs: 2_000 });
    expect(bodyOf(answer).result).toMatchObject({ resultType: "complete" });
    expect(performance.now() - before).toBeLessThan(2_000);
    expect(calls()).toBe(1);
    const leaving = new AbortController();
    const ended: unknown[] = [];
    const left = bridge.forwardModern(session, call("debug"), {
      ...caller,
      signal: leaving.signal,
      onEnd: (outcome) => ended.push(outcome),
    });
    await eventually(
      () => server.seen.filter((seen) => seen.body.method === "logging/setLevel").length === 2,
    );
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: "aborted", phase: "not_sent" });
    expect(ended).toHaveLength(1);
    const gone = bridge.forwardModern(session, modernCall("x"), { ...caller, signal: leaving.signal });
    await expect(gone).rejects.toMatchObject({ code: "aborted", phase: "not_sent" });
    expect(calls()).toBe(1);
  });
});

describe("a client with a session and a stateless server", () => {
  const client = { clientInfo: { name: "old", version: "1" }, capabilities: all };
  const legacyCall = (name: string, more: object = {}) =>
    request("tools/call", { name, arguments: {}, ...more });
  const never = () => Promise.reject(new Error("asked"));

  it("speaks with an envelope of its own, at the log level it set", async () => {
    const { server, session } = await serve(
      modernHandler((seen, response) => json(response, result(seen.body.id, { resultType: "complete" }))),
    );
    const bridge = bridgeWith();
    const options = { client, ask: never, timeoutMs: 1_000, logLevel: "error" };
    const message = legacyCall("x", { _meta: { progressToken: 3 } });
    const answer = await bridge.forwardLegacy(session, message, options);
    expect(bodyOf(answer).result).toEqual({ resultType: "complete" });
    expect(server.seen.at(-1)?.body.params?.["_meta"]).toEqual({
      [META.protocolVersion]: "2026-07-28",
      [META.clientInfo]: client.clientInfo,
      [META.clientCapabilities]: all,
      [META.logLevel]: "error",
      progressToken: expect.any(Number) as number,
    });
    await bridge.forwardLegacy(session, request("tools/list"), { client, ask: never, timeoutMs: 1_000 });
    expect(server.seen.at(-1)?.body.params?.["_meta"]).toMatchObject({
      [META.clientInfo]: client.clientInfo,
    });
  });

  it("is asked over its stream, round by round, and the state goes back unchanged", async () => {
    const { server, session } = await serve(
      modernHandler((seen, response) => {
        const round = Number(seen.body.params?.["requestState"] ?? 0);
        if (round === 2)
          return json(
            response,
            result(seen.body.id, { resultType: "complete", got: seen.body.params?.["inputResponses"] }),
          );
        const inputRequests = round === 0 ? { a: elicit, "b b": { method: "roots/list" } } : undefined;
        return json(
          response,
          result(seen.body.id, {
            resultType: "input_required",
            inputRequests,
            requestState: String(round + 1),
          }),
        );
      }),
    );
    const asked: unknown[] = [];
    const ask = async (question: { method: string; params: string | undefined }) => {
      asked.push([question.method, question.params]);
      return `{"from":"${question.method}","n":1.0}`;
    };
    const answer = await bridgeWith().forwardLegacy(session, legacyCall("x"), {
      client,
      ask,
      timeoutMs: 5_000,
    });
    expect(bodyOf(answer).result).toEqual({ resultType: "complete" });
    expect(asked).toEqual([
      ["elicitation/create", JSON.stringify(elicit.params)],
      ["roots/list", undefined],
    ]);
    const rounds = server.seen.filter((seen) => seen.body.method === "tools/call");
    expect(rounds.map((seen) => seen.body.params?.["requestState"])).toEqual([undefined, "1", "2"]);
    expect(rounds[1]?.text).toContain(
      '"inputResponses":{"a":{"from":"elicitation/create","n":1.0},"b b":{"from":"roots/list","n":1.0}}',
    );
    expect(rounds[2]?.body.params).not.toHaveProperty("inputResponses");
  });

  it.each([
    ["asks nothing, and has no state", {}],
    ["asks nothing in an object, and has no state", { inputRequests: {} }],
    ["has null for questions", { inputRequests: null, requestState: "s" }],
    ["has an array for questions", { inputRequests: [] }],
    ["has a text for questions", { inputRequests: "x", requestState: "s" }],
    ["has a state that is no text", { inputRequests: { a: elicit }, requestState: {} }],
    ["asks null", { inputRequests: { a: null } }],
    ["asks a number", { inputRequests: { b: elicit, a: 3 } }],
    ["asks without a method", { inputRequests: { a: {} } }],
    ["asks by a method of servers", { inputRequests: { a: { method: "tools/call" } } }],
    ["asks what only connections are asked", { inputRequests: { a: { method: "ping" } } }],
    ["tells instead of asking", { inputRequests: { a: { method: "notifications/x" } } }],
    ["asks with params that are no object", { inputRequests: { a: { ...elicit, params: [] } } }],
  ])("a server that %s breaks the protocol: nobody is asked, and the call is made once", async (_, more) => {
    const { server, session } = await serve(
      modernHandler((seen, response) =>
        json(response, result(seen.body.id, { resultType: "input_required", ...more })),
      ),
    );
    const options = { client, ask: never, timeoutMs: 2_000 };
    await expect(bridgeWith().forwardLegacy(session, legacyCall("x"), options)).rejects.toMatchObject({
      code: "upstream_protocol",
      phase: "response_received",
      retryable: false,
    });
    expect(server.seen.filter(({ body }) => body.method === "tools/call")).toHaveLength(1);
  });

  it.each([
    [{}, elicit, { elicitation: {} }],
    [
      { elicitation: {} },
      { ...elicit, params: { mode: "url", url: "https://x" } },
      { elicitation: { url: {} } },
    ],
    [{ elicitation: {} }, { method: "sampling/createMessage", params: { messages: [] } }, { sampling: {} }],
    [{ sampling: {} }, { method: "roots/list" }, { roots: {} }],
  ])(
    "that declared %j is not asked what it did not: its call ends",
    async (capabilities, question, needed) => {
      const inputRequests = { ...("elicitation" in capabilities && { fine: elicit }), a: question };
      const { server, session } = await serve(
        modernHandler((seen, response) =>
          json(response, result(seen.body.id, { resultType: "input_required", inputRequests })),
        ),
      );
      const answer = await bridgeWith().forwardLegacy(session, legacyCall("x"), {
        client: { ...client, capabilities },
        ask: never,
        timeoutMs: 1_000,
      });
      expect(bodyOf(answer).error).toMatchObject({ code: -32600, data: { requiredCapabilities: needed } });
      expect(answer.httpStatus).toBe(200);
      expect(server.seen.filter(({ body }) => body.method === "tools/call")).toHaveLength(1);
    },
  );

  it("a server that only wants its call made again has a while, within the call's time", async () => {
    const at: number[] = [];
    const { session } = await serve(
      modernHandler((seen, response) => {
        at.push(performance.now());
        const more = at.length < 3 ? { resultType: "input_required", requestState: "s" } : {};
        return json(response, result(seen.body.id, { resultType: "complete", ...more }));
      }),
    );
    const options = { client, ask: never, timeoutMs: 5_000 };
    const answer = await bridgeWith().forwardLegacy(session, legacyCall("x"), options);
    expect(bodyOf(answer).result).toEqual({ resultType: "complete" });
    expect(at.map((ms, index) => index === 0 || ms - (at[index - 1] ?? 0) > 240)).toEqual([true, true, true]);
    at.length = 0;
    const leaving = AbortSignal.timeout(50);
    await expect(
      bridgeWith().forwardLegacy(session, legacyCall("x"), { ...options, signal: leaving }),
    ).rejects.toMatchObject({ code: "aborted" });
    expect(at).toHaveLength(1);
  });

  it("a server that never stops asking, and a client that does not answer, end the call", async () => {
    const { session } = await serve(
      modernHandler((seen, response) =>
        json(response, result(seen.body.id, { resultType: "input_required", inputRequests: { a: elicit } })),
      ),
    );
    const options = { client, timeoutMs: 1_000, ask: async () => "{}" };
    await expect(
      bridgeWith({ maxRounds: 2 }).forwardLegacy(session, legacyCall("x"), options),
    ).rejects.toMatchObject({ code: "outcome_unknown" });
    await expect(
      bridgeWith().forwardLegacy(session, legacyCall("x"), { ...options, ask: never }),
    ).rejects.toThrow("asked");
  });

  it.each([
    ["resources/read", -32602, -32002],
    ["tools/call", -32602, -32602],
    ["tools/call", -32021, -32600],
    ["tools/call", -32020, -32603],
    ["tools/call", -32022, -32603],
    ["tools/call", -32601, -32601],
  ])("%s: error %i becomes %i", async (method, code, mapped) => {
    const { session } = await serve(
      modernHandler((seen, response) => json(response, failure(seen.body.id, code, "m"), 400)),
    );
    const answer = await bridgeWith().forwardLegacy(session, request(method, { uri: "a:b", name: "x" }), {
      client,
      ask: never,
      timeoutMs: 1_000,
    });
    expect(answer.httpStatus).toBe(200);
    expect(bodyOf(answer).error.code).toBe(mapped);
  });

  it("a text that merely mentions input_required is an answer", async () => {
    const value = {
      resultType: "complete",
      content: [{ type: "text", text: "input_required" }],
      x: { resultType: "input_required" },
    };
    const { session } = await serve(
      modernHandler((seen, response) => json(response, result(seen.body.id, value))),
    );
    expect(
      bodyOf(
        await bridgeWith().forwardLegacy(session, legacyCall("x"), { client, ask: never, timeoutMs: 1_000 }),
      ).result,
    ).toEqual(value);
  });

  it("gets a handshake with a server that has none", async () => {
    const { session } = await serve(modernHandler(() => undefined));
    const bridge = bridgeWith();
    expect(bridge.initializeResult(session, "2025-06-18")).toEqual({
      protocolVersion: "2025-06-18",
      capabilities: { tools: {} },
      serverInfo: { name: "raw", version: "8" },
    });
    expect(bridge.initializeResult(session, "1999-01-01")["protocolVersion"]).toBe("2025-11-25");
    const bare = {
      ...session,
      serverInfo: undefined,
      capabilities: { tasks: {} },
      instructions: undefined,
    } as never;
    expect(bridge.initializeResult(bare, undefined)).toMatchObject({
      serverInfo: { name: "unknown" },
      capabilities: {},
    });
  });

  it("completes every round of a server on the official SDK that knows no sessions", async () => {
    const server = await startEverythingServer({ era: "modern" });
    cleanup.push(() => server.close());
    const session = await open(server.url);
    const ask = async ({ method, params }: { method: string; params: string | undefined }) => {
      if (method === "roots/list") return '{"roots":[{"uri":"file:///r"}]}';
      if (method === "sampling/createMessage")
        return '{"role":"assistant","model":"m","content":{"type":"text","text":"hi"}}';
      const { requestedSchema } = JSON.parse(params ?? "{}") as { requestedSchema: { properties: object } };
      const content = Object.fromEntries(
        Object.keys(requestedSchema.properties).map((key) => [key, key === "ok" ? true : "v"]),
      );
      return JSON.stringify({ action: "accept", content });
    };
    for (const name of [
      "elicitation",
      "sampling",
      "list_roots",
      "request_state",
      "multiple_inputs",
      "multi_round",
      "capabilities",
    ]) {
      const answer = await bridgeWith().forwardLegacy(
        session,
        legacyCall(`test_input_required_result_${name}`),
        { client, ask, timeoutMs: 5_000 },
      );
      expect(bodyOf(answer).result, name).toMatchObject({ resultType: "complete" });
      expect(bodyOf(answer).result, name).not.toHaveProperty("isError", true);
    }
  });
});

describe("the key of a question", () => {
  it("says who is asked for what, and is used once", () => {
    const form = (...properties: string[]) => ({
      requestedSchema: { properties: Object.fromEntries(properties.map((name) => [name, {}])) },
    });
    const taken = new Set<string>();
    const key = (method: string, params?: object) => {
      const made = questionKey(method, params as never, taken);
      taken.add(made);
      return made;
    };
    expect(key("elicitation/create", form("name"))).toBe("user_name");
    expect(key("elicitation/create", form("name"))).toBe("user_name_2");
    expect(key("elicitation/create", form("e-mail é"))).toBe("user_e_mail__");
    expect(key("elicitation/create", form("a", "b"))).toBe("user_input");
    expect(key("elicitation/create", { requestedSchema: { properties: null } })).toBe("user_input_2");
    expect(key("sampling/createMessage")).toBe("model_message");
    expect(key("roots/list")).toBe("client_roots");
    expect(key("other")).toBe("input");
  });
});

describe("the digest of a call", () => {
  it("does not depend on the order of keys, metadata or answers, and on nothing else", () => {
    const make = (params: object, method = "tools/call") => callDigest(request(method, params));
    const base = make({ name: "x", arguments: { a: 1, b: [{ c: 2, d: 3 }] } });
    expect(
      make({
        arguments: { b: [{ d: 3, c: 2 }], a: 1 },
        name: "x",
        _meta: { z: 1 },
        requestState: "s",
        inputResponses: {},
      }),
    ).toBe(base);
    for (const other of [
      { name: "y" },
      { name: "x" },
      { name: "x", arguments: { a: 1, b: [{ c: 2, d: 4 }] } },
    ]) {
      expect(make(other)).not.toBe(base);
    }
    expect(make({ name: "x" }, "prompts/get")).not.toBe(make({ name: "x" }));
    expect(callDigest(request("tools/list"))).toBe(make({}, "tools/list"));
    const hidden = parseMessage(
      Buffer.from(
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"__proto__":1}}}',
      ),
    );
    const plain = request("tools/call", { name: "x", arguments: {} });
    expect(hidden.kind === "request" && callDigest(hidden)).not.toBe(callDigest(plain));
  });

  it("differs for different arguments", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
        const of = (value: unknown) => callDigest(request("tools/call", { arguments: value }));
        const same = JSON.stringify(left) === JSON.stringify(right);
        if (same) expect(of(left)).toBe(of(right));
      }),
    );
    expect(textOf(Buffer.from("abc"), { start: 1, end: 2 })).toBe("b");
  });
});
