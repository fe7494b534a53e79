import { randomBytes } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { createBridge } from "../src/bridge/index.ts";
import { META, parseMessage, type RequestMessage } from "../src/index.ts";
import { createHttpUpstream, type UpstreamAnswer } from "../src/upstream/index.ts";
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
afterEach(async () => {
  for (const run of cleanup.splice(0).reverse()) await run();
});

const visits = { elicitation: { url: {} } };
const caller = { principal: "u", timeoutMs: 5_000 };

async function serve(handler: Handler) {
  const server = await startRawServer(handler);
  const upstream = createHttpUpstream({ url: server.url });
  const bridge = createBridge({ secret: randomBytes(32), maxQuestions: 2 });
  cleanup.push(
    server.close,
    () => upstream.close(),
    () => bridge.close(),
  );
  const session = await upstream.open({ ...CLIENT, capabilities: visits });
  return { server, session, bridge };
}

function call(more: object = {}, capabilities: object = visits, method = "tools/call"): RequestMessage {
  const _meta = { [META.protocolVersion]: "2026-07-28", [META.clientCapabilities]: capabilities };
  const params = { name: "pay", arguments: { amount: 1 }, ...more, _meta };
  const message = parseMessage(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params })));
  if (message.kind !== "request") throw new Error("Expected a request.");
  return message;
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
const bodyOf = (answer: UpstreamAnswer) => JSON.parse(answer.bytes.toString()) as any;

const visit = (name: string) => ({
  mode: "url",
  elicitationId: `id-${name}`,
  url: `https://example.test/${name}`,
  message: `Go to ${name}`,
});

/** Refuses calls with −32042 until `open` says otherwise. */
async function serveBehindUrls(elicitations: unknown) {
  const state = { open: false };
  const served = await serve(
    legacyHandler((seen, response) =>
      json(
        response,
        state.open
          ? result(seen.body.id, { content: [] })
          : failure(seen.body.id, -32042, "first pay", { elicitations, more: 1 }),
      ),
    ),
  );
  return { ...served, state };
}

describe("a stateless client whose server with sessions needs its user to visit a URL (-32042)", () => {
  it("is told to by input_required, and its call is made anew when it comes back", async () => {
    const { server, session, bridge, state } = await serveBehindUrls([visit("a"), visit("b"), visit("c")]);
    const asked = bodyOf(await bridge.forwardModern(session, call(), caller)).result;
    // No more than may be asked at once, and no ids, which its revision does not have.
    expect(asked).toEqual({
      resultType: "input_required",
      inputRequests: {
        user_visit: {
          method: "elicitation/create",
          params: { mode: "url", url: "https://example.test/a", message: "Go to a" },
        },
        user_visit_2: {
          method: "elicitation/create",
          params: { mode: "url", url: "https://example.test/b", message: "Go to b" },
        },
      },
    });
    expect(bridge.stats().parked).toBe(0);
    const inputResponses = { user_visit: { action: "accept" }, user_visit_2: { action: "accept" } };
    const still = bodyOf(await bridge.forwardModern(session, call({ inputResponses }), caller)).result;
    expect(still).toEqual(asked);
    state.open = true;
    const done = await bridge.forwardModern(session, call({ inputResponses }), caller);
    expect(bodyOf(done).result).toEqual({ resultType: "complete", content: [] });
    const sent = server.seen.filter(({ body }) => body.method === "tools/call");
    expect(sent).toHaveLength(3);
    for (const { body } of sent) expect(body.params).not.toHaveProperty("inputResponses");
  });

  it("gets an error of its own revision once its user declined, or where there is nowhere to go", async () => {
    const { session, bridge } = await serveBehindUrls([visit("a")]);
    for (const action of ["decline", "cancel"]) {
      const declined = call({ inputResponses: { user_visit: { action } } });
      const { error } = bodyOf(await bridge.forwardModern(session, declined, caller));
      expect(error).toMatchObject({ code: -32603, message: "first pay", data: { more: 1 } });
    }
    // A question of another kind that was declined has nothing to do with it.
    const other = call({
      inputResponses: { user_input: { action: "decline" }, user_visit: { action: "accept" } },
    });
    expect(bodyOf(await bridge.forwardModern(session, other, caller)).result.resultType).toBe(
      "input_required",
    );
    for (const elicitations of [undefined, [], [null, { url: 7 }], "x"]) {
      const nowhere = await serveBehindUrls(elicitations);
      const { error } = bodyOf(await nowhere.bridge.forwardModern(nowhere.session, call(), caller));
      expect(error.code).toBe(-32603);
    }
  });

  it("that cannot be sent to URLs is refused with -32021, and a list is not asked for", async () => {
    const { session, bridge } = await serveBehindUrls([visit("a")]);
    for (const capabilities of [{}, { elicitation: {} }, { elicitation: { form: {} } }]) {
      const answer = await bridge.forwardModern(session, call({}, capabilities), caller);
      expect(answer.httpStatus).toBe(400);
      expect(bodyOf(answer).error).toMatchObject({
        code: -32021,
        data: { requiredCapabilities: { elicitation: { url: {} } } },
      });
    }
    const list = await bridge.forwardModern(session, call({}, visits, "tools/list"), caller);
    expect(bodyOf(list).error.code).toBe(-32603);
  });

  it("is sent there by a question of its call, too, without the id that its revision does not have", async () => {
    const asking = (params: object) =>
      serve((seen, response, request) => {
        const inner = legacyHandler((call, answer) => {
          answer.writeHead(200, { "content-type": "text/event-stream" });
          const question = { jsonrpc: "2.0", id: 7, method: "elicitation/create", params };
          answer.write(`data: ${JSON.stringify(question)}\n\n`);
          answer.once("close", () => void call);
        });
        return inner(seen, response, request);
      });
    const { session, bridge } = await asking(visit("a"));
    const asked = bodyOf(await bridge.forwardModern(session, call(), caller)).result;
    expect(asked.inputRequests).toEqual({
      user_visit: {
        method: "elicitation/create",
        params: { mode: "url", url: "https://example.test/a", message: "Go to a" },
      },
    });
    expect(asked.requestState).toEqual(expect.any(String));
    // What was not declared is not asked: neither this mode, nor forms where only this one was declared.
    const undeclared = await asking(visit("a"));
    const refused = await undeclared.bridge.forwardModern(
      undeclared.session,
      call({}, { elicitation: { form: {} } }),
      caller,
    );
    expect(bodyOf(refused).error.data).toEqual({ requiredCapabilities: { elicitation: { url: {} } } });
    const form = await asking({ message: "name?", requestedSchema: { type: "object", properties: {} } });
    const noForms = await form.bridge.forwardModern(form.session, call(), caller);
    expect(bodyOf(noForms).error.data).toEqual({ requiredCapabilities: { elicitation: {} } });
  });
});

describe("answers that come with the call", () => {
  it("spare the client the question, once; what else the server asks is asked", async () => {
    const told: unknown[] = [];
    let proceed: (() => void) | undefined;
    const ask = (id: number) => ({
      jsonrpc: "2.0",
      id,
      method: "elicitation/create",
      params: { message: "?", requestedSchema: { type: "object", properties: { name: { type: "string" } } } },
    });
    const inner = legacyHandler((seen, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify(ask(1))}\n\n`);
      proceed = () => response.write(`data: ${JSON.stringify(ask(2))}\n\n`);
      void seen;
    });
    const { session, bridge } = await serve((seen, response, request) => {
      if (seen.method !== "POST" || seen.body.method !== undefined) return inner(seen, response, request);
      told.push(JSON.parse(seen.text));
      response.writeHead(202).end();
      return proceed?.();
    });
    const inputResponses = { user_name: { action: "accept", content: { name: "n" } }, extra: 1 };
    const asking = call({ inputResponses }, { elicitation: {} });
    const asked = bodyOf(await bridge.forwardModern(session, asking, caller)).result;
    expect(told).toEqual([{ jsonrpc: "2.0", id: 1, result: inputResponses.user_name }]);
    expect(Object.keys(asked.inputRequests)).toEqual(["user_name_2"]);
  });
});

describe("answers to questions that nobody asked", () => {
  it.each([{ inputResponses: { a: { action: "accept" } } }, { requestState: "forged", inputResponses: {} }])(
    "are not sent to a server with sessions: %o",
    async (more) => {
      const { server, session, bridge } = await serve(
        legacyHandler((seen, response) => json(response, result(seen.body.id, { content: [] }))),
      );
      await bridge.forwardModern(session, call(more), caller);
      expect(server.seen.at(-1)?.body.params).toEqual({ name: "pay", arguments: { amount: 1 }, _meta: {} });
      // Arguments of that name are the tool's own.
      await bridge.forwardModern(session, call({ arguments: { inputResponses: 1 } }), caller);
      expect(server.seen.at(-1)?.body.params).toMatchObject({ arguments: { inputResponses: 1 } });
    },
  );
});

describe("a client with a session whose stateless server sends its user to a URL", () => {
  it("is asked with an id, which its revision wants", async () => {
    const { session, bridge } = await serve(
      modernHandler((seen, response) => {
        const responses = seen.body.params?.["inputResponses"];
        const { elicitationId: _, ...params } = visit("a");
        const inputRequests = {
          go: { method: "elicitation/create", params },
          named: { method: "elicitation/create", params: visit("b") },
          form: { method: "elicitation/create", params: { message: "url?" } },
          bare: { method: "elicitation/create" },
        };
        const value = responses
          ? { resultType: "complete", responses }
          : { resultType: "input_required", inputRequests };
        return json(response, result(seen.body.id, value));
      }),
    );
    const asked: unknown[] = [];
    const answer = await bridge.forwardLegacy(session, call(), {
      client: { clientInfo: CLIENT.clientInfo, capabilities: { elicitation: { form: {}, url: {} } } },
      ask: async ({ params }) => {
        asked.push(params === undefined ? undefined : JSON.parse(params));
        return '{"action":"accept"}';
      },
      timeoutMs: 1_000,
    });
    expect(bodyOf(answer).result.resultType).toBe("complete");
    expect(asked).toEqual([
      { ...visit("a"), elicitationId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string },
      visit("b"),
      { message: "url?" },
      undefined,
    ]);
  });
});
