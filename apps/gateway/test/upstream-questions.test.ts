import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LegacyCall, type LegacyServer, startLegacyServer } from "./support/legacy-server.ts";
import { openRaw } from "./support/raw-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const question = (id: string | number, progressToken?: string | number) => ({
  id,
  method: "elicitation/create",
  params: {
    ...(progressToken !== undefined && { _meta: { progressToken } }),
    message: "who?",
    requestedSchema: { type: "object", properties: {} },
  },
});
const withdrawal = (requestId: string | number) => ({
  method: "notifications/cancelled",
  params: { requestId, reason: "late" },
});

const calls: LegacyCall[] = [];
const servers: LegacyServer[] = [];
let gateway: TestGateway;

beforeAll(async () => {
  for (let count = 0; count < 2; count++) {
    servers.push(
      await startLegacyServer({
        ask: (call) => {
          calls.push(call);
          call.say(question("q", 7));
        },
        withdraw: (call) => {
          call.say(question("w"));
          call.say(withdrawal("never-asked"));
          call.say(withdrawal("w"));
          call.answer();
        },
        abandon: (call) => {
          call.say(question(`left-${call.params.arguments.number}`));
          call.answer();
        },
      }),
    );
  }
  gateway = await startTestGateway({
    mcpServers: { one: { url: servers[0]?.url }, two: { url: servers[1]?.url } },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  for (const server of servers) await server.close();
});

/** A client with a session. */
async function join() {
  const clientInfo = { name: "c", version: "1" };
  const params = { protocolVersion: "2025-11-25", capabilities: { elicitation: {} }, clientInfo };
  const opened = await gateway.rpc("/mcp", { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
  const post = (message: object) => gateway.rpc("/mcp", { jsonrpc: "2.0", ...message }, headers);
  const call = (name: string, id: number, args: object = {}) => {
    const message = { id, method: "tools/call", params: { name, arguments: args } };
    return openRaw(gateway, "/mcp", { headers, body: { jsonrpc: "2.0", ...message } });
  };
  return { post, call };
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape.
const messages = ({ events }: { readonly events: readonly { readonly data: any }[] }) =>
  events.flatMap(({ data }) => (data === undefined ? [] : [data]));

describe("a question of an upstream, put to a client with a session", () => {
  it("is taken back under the id that the client knows; what was never asked is not", async () => {
    const client = await join();
    const call = await client.call("one_withdraw", 1);
    await eventually(() => call.ended);
    const [asked, withdrawn, answer, ...rest] = messages(call);
    expect(asked).toMatchObject({ id: expect.stringMatching(/^gw-/), method: "elicitation/create" });
    expect(withdrawn).toEqual({ jsonrpc: "2.0", ...withdrawal(asked.id) });
    expect(answer).toMatchObject({ id: 1, result: {} });
    expect(rest).toEqual([]);
    // An answer that comes too late all the same is nobody's.
    expect((await client.post({ id: asked.id, result: { action: "accept" } })).status).toBe(202);
    expect(servers[0]?.taken.filter(({ message }) => message.id !== undefined)).toEqual([]);
  });

  it("that nobody answers makes room when its call has ended, the oldest first, which its asker is told", async () => {
    const client = await join();
    const asked: boolean[] = [];
    for (let number = 0; number < 103; number++) {
      const call = await client.call("one_abandon", 1_000 + number, { number });
      await eventually(() => call.ended);
      asked.push(messages(call).some(({ method }) => method === "elicitation/create"));
      // The last one is still answered, and its asker told, though its call has ended.
      const [{ id }] = messages(call);
      if (number === 102) await client.post({ id, result: { action: "decline" } });
    }
    expect(asked).toEqual(asked.map(() => true));
    const told = () => (servers[0]?.taken ?? []).filter(({ message }) => message.id !== undefined);
    await eventually(() => told().length === 4);
    const error = { code: -32_603, message: "The client has not answered since its call ended." };
    const givenUp = ["left-0", "left-1", "left-2"].map((id) => ({ jsonrpc: "2.0", id, error }));
    const answered = { jsonrpc: "2.0", id: "left-102", result: { action: "decline" } };
    expect(told().map(({ message }) => message)).toEqual([...givenUp, answered]);
  });

  it("has its progress told to its asker, under the asker's token, and to no other upstream", async () => {
    const client = await join();
    const [one, two] = await Promise.all([client.call("one_ask", 1), client.call("two_ask", 2)]);
    await eventually(() => messages(one).length === 1 && messages(two).length === 1);
    const tokens = [one, two].map((call) => messages(call)[0].params._meta.progressToken);
    expect(new Set(tokens).size).toBe(2);
    const progress = (progressToken: unknown, value: number) =>
      client.post({ method: "notifications/progress", params: { progress: value, progressToken } });
    for (const [index, token] of [...tokens, "unknown", 7].entries()) await progress(token, index + 1);
    const told = servers.map(({ taken }) =>
      taken.map(({ message }) => message).filter(({ method }) => method === "notifications/progress"),
    );
    const params = (value: number) => ({ progress: value, progressToken: 7 });
    expect(told.map((each) => each.map((message) => message.params))).toEqual([[params(1)], [params(2)]]);
    for (const call of calls) call.answer();
    await eventually(() => one.ended && two.ended);
  });
});
