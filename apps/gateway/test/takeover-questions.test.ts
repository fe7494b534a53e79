import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually, startRedis } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { type LegacyCall, startLegacyServer } from "./support/legacy-server.ts";
import { openRaw, type RawCall } from "./support/raw-client.ts";
import { startReplicaSet } from "./support/replica-set.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** A client that can be asked; its calls at any gateway. */
async function join(at: TestGateway, path: string) {
  const capabilities = { elicitation: { form: {} } };
  const params = { protocolVersion: "2025-11-25", capabilities, clientInfo: { name: "c", version: "1" } };
  const opened = await at.rpc(path, { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const id = opened.headers.get("mcp-session-id") ?? "";
  const headers = { "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" };
  return {
    id,
    call: (gateway: TestGateway, name: string, args: object = {}) => {
      const body = { jsonrpc: "2.0", id: name, method: "tools/call", params: { name, arguments: args } };
      return openRaw(gateway, path, { headers, body });
    },
    /** Takes no stream with its call. */
    callPlainly: (gateway: TestGateway, name: string) => {
      const body = { jsonrpc: "2.0", id: name, method: "tools/call", params: { name, arguments: {} } };
      return gateway.rpc(path, body, { ...headers, accept: "application/json" });
    },
    answer: (gateway: TestGateway, question: unknown, username: string) => {
      const result = { action: "accept", content: { username, email: "e" } };
      return gateway.rpc(path, { jsonrpc: "2.0", id: question, result }, headers);
    },
  };
}

const messages = ({ events }: RawCall) => events.flatMap(({ data }) => (data === undefined ? [] : [data]));
const asked = async (call: RawCall) => {
  await eventually(() => messages(call).length === 1);
  return messages(call)[0].id as string;
};

it("the answer to a question of a former owner of the session is none to a question of the next one", async () => {
  const everything = await startEverythingServer({ era: "modern" });
  const redis = await startRedis();
  const set = await startReplicaSet(redis, 1, { server: { shutdownDeadlineMs: 100 } });
  const [first] = set.replicas as [TestGateway];
  const upstream = await set.register({ name: "everything", url: everything.url });
  const owner = await set.add();
  const client = await join(owner, `/servers/${upstream}/mcp`);
  const old = await asked(await client.call(owner, "test_elicitation", { message: "delete all?" }));
  await owner.close();
  const call = await client.call(first, "test_elicitation", { message: "your name?" });
  const question = await asked(call);
  expect((await client.answer(first, old, "meant for the old one")).status).toBe(202);
  expect((await client.answer(first, question, "meant for the new one")).status).toBe(202);
  await eventually(() => call.ended);
  expect(JSON.stringify(messages(call).at(-1).result)).toContain("meant for the new one");
  await set[Symbol.asyncDispose]();
  await Promise.all([everything.close(), redis.close()]);
});

it("a call that goes on when its session has left this replica asks nobody, and waits for no answer", async () => {
  const modern = await startScriptedServer();
  const calls: LegacyCall[] = [];
  const legacy = await startLegacyServer({ ask: (call) => void calls.push(call) });
  await using gateway = await startTestGateway({
    mcpServers: { modern: { url: modern.url }, legacy: { url: legacy.url } },
  });
  await gateway.core.refresher.ready();
  const client = await join(gateway, "/mcp");
  const params = { message: "who?", requestedSchema: { type: "object", properties: {} } };
  const question = (id: string) => ({ id, method: "elicitation/create", params });

  const waiting = Promise.withResolvers<() => void>();
  modern.script("tools/call", (response) => {
    const { id } = modern.seen("tools/call")[0] as { id: number };
    const inputRequests = { k: { method: "elicitation/create", params } };
    const result = { resultType: "input_required", inputRequests, requestState: "s" };
    response.setHeader("content-type", "application/json");
    waiting.resolve(() => void response.end(JSON.stringify({ jsonrpc: "2.0", id, result })));
  });
  const crossing = client.callPlainly(gateway, "modern_write");
  const relaying = client.call(gateway, "legacy_ask");
  const ask = await waiting.promise;
  await eventually(() => calls.length === 1);
  calls[0]?.say(question("before"));
  const relayed = await relaying;
  await asked(relayed);

  gateway.core.sessions.letGo(client.id);
  ask();
  calls[0]?.say(question("after"));
  const told = () => legacy.taken.filter(({ message }) => message.error !== undefined);
  await eventually(() => told().length === 2);
  expect(told().map(({ message }) => [message.id, message.error.code])).toEqual(
    expect.arrayContaining([
      ["before", -32_603],
      ["after", -32_601],
    ]),
  );
  calls[0]?.answer({ content: [] });
  expect((await crossing).body.error.data.code).toBe("outcome_unknown");
  await eventually(() => relayed.ended);
  expect(messages(relayed).map(({ id, result }) => [id, result])).toEqual([
    [expect.stringMatching(/^gw-/), undefined],
    ["legacy_ask", { content: [] }],
  ]);
  await Promise.all([modern.close(), legacy.close()]);
});
