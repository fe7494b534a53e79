import { randomInt } from "node:crypto";
import {
  buildCounterServer,
  createLedger,
  type SdkFixture,
  startEverythingServer,
  startSdkServer,
} from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEvents } from "./support/events-client.ts";
import { modern } from "./support/modern-client.ts";
import { openRaw } from "./support/raw-client.ts";
import { openSession, quickOwners, type ReplicaSet, startReplicaSet } from "./support/replica-set.ts";
import type { TestGateway } from "./support/test-gateway.ts";

let redis: RedisServer;
let everything: Awaited<ReturnType<typeof startEverythingServer>>;
let counter: SdkFixture;
/** Credentials that the counter refuses once. */
const refusedOnce = new Set<string>();
let set: ReplicaSet;
let a: TestGateway;
let b: TestGateway;
const paths = { everything: "", counter: "", virtual: "" };

beforeAll(async () => {
  const ledger = createLedger();
  [redis, everything, counter] = await Promise.all([
    startRedis(),
    startEverythingServer(),
    startSdkServer(({ sessionId }) => buildCounterServer(ledger, sessionId ?? "none"), {
      era: "legacy",
      guard: ({ headers }) => {
        const shown = headers.get("authorization") ?? "";
        return refusedOnce.delete(shown) ? new Response("no", { status: 401 }) : undefined;
      },
    }),
  ]);
  // Nothing dies here, and the machine may be busy.
  set = await startReplicaSet(redis, 2, {
    sessions: { owners: { ...quickOwners, deadAfterMs: 60_000, silenceMs: 20_000 } },
  });
  [a, b] = set.replicas as [TestGateway, TestGateway];
  const everythingId = await set.register({ name: "everything", url: everything.url });
  const bearer = (token: string) => ({ type: "bearer", token });
  const auth = { type: "per_user", users: { ann: bearer("ann") }, default: bearer("default") };
  const counterId = await set.register({ name: "counter", url: counter.url, auth });
  const { body } = await a.rest("POST", "/servers", { name: "both", gatewayIds: [everythingId, counterId] });
  await eventually(() => b.core.snapshots.current?.servers.has(body.id));
  Object.assign(paths, {
    everything: `/servers/${everythingId}/mcp`,
    counter: `/servers/${counterId}/mcp`,
    virtual: `/servers/${body.id}/mcp`,
  });
});

afterAll(async () => {
  await set?.[Symbol.asyncDispose]();
  await Promise.all([everything.close(), counter.close(), redis.close()]);
});

const call = (name: string, args: object = {}, id: number | string = 1) => ({
  ...{ jsonrpc: "2.0", id, method: "tools/call" },
  params: { name, arguments: args },
});

/** Shakes hands as a client that can be asked; the headers of its session. */
async function open(at: TestGateway, path: string, token: string): Promise<Record<string, string>> {
  const params = {
    protocolVersion: "2025-11-25",
    capabilities: { elicitation: {} },
    clientInfo: { name: "asked", version: "1" },
  };
  const authorization = `Bearer ${token}`;
  const hello = await at.rpc(
    path,
    { jsonrpc: "2.0", id: 0, method: "initialize", params },
    { authorization },
  );
  const id = hello.headers.get("mcp-session-id") ?? "";
  return { authorization, "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" };
}

describe("another user who knows the id of a session", () => {
  it.each(["everything", "virtual"] as const)(
    "SP-12 is refused on every method and for every message, at the owner and elsewhere, and disturbs nothing: %s",
    async (where) => {
      const path = paths[where];
      const name = where === "virtual" ? "everything_test_elicitation" : "test_elicitation";
      const own = await open(a, path, await a.mint({ user: "victim" }));
      const running = await openRaw(a, path, { body: call(name, { message: "who?" }, 7), headers: own });
      await eventually(() => running.events.some(({ data }) => data?.method === "elicitation/create"));
      const question = running.events.find(({ data }) => data?.method === "elicitation/create")?.data;
      const foreign = { ...own, authorization: `Bearer ${await a.mint({ user: "mallory" })}` };
      const answer = (word: string) => {
        const result = { action: "accept", content: { username: word, email: `${word}@example.com` } };
        return { jsonrpc: "2.0", id: question.id, result };
      };
      const cancelled = { method: "notifications/cancelled", params: { requestId: 7 } };
      const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
      for (const at of [a, b]) {
        for (const body of [ping, { jsonrpc: "2.0", ...cancelled }, answer("mallory"), [ping]]) {
          // Batches belong to one revision alone.
          const revision = Array.isArray(body) ? { "mcp-protocol-version": "2025-03-26" } : {};
          const refused = await at.rpc(path, body, { ...foreign, ...revision });
          expect([refused.status, refused.body.error.data.code]).toEqual([403, "forbidden"]);
        }
        for (const [method, more] of [
          ["GET", {}],
          ["GET", { "last-event-id": running.events[0]?.id ?? "1-1" }],
          ["DELETE", {}],
        ] as const) {
          const headers = { ...foreign, accept: "text/event-stream", ...more };
          const refused = await fetch(`${at.url}${path}`, { method, headers });
          expect([refused.status, await refused.text()]).toEqual([403, expect.stringContaining("forbidden")]);
        }
        // Nor does it open anything at another endpoint, to the user whose it is.
        const elsewhere = await at.rpc(paths.counter, call("read"), own);
        expect(elsewhere.status).toBe(404);
      }
      expect(running.ended).toBe(false);
      expect((await b.rpc(path, answer("victim"), own)).status).toBe(202);
      await eventually(() => running.ended);
      const { result } = running.events.at(-1)?.data ?? {};
      expect(JSON.stringify(result)).toContain("victim@example.com");
      expect(JSON.stringify(running.events)).not.toContain("mallory");
    },
  );

  it("of the transport of 2024-11-05 gets nothing by streamable HTTP either", async () => {
    await using client = await openEvents(a, "/sse", { token: await a.mint({ user: "victim" }) });
    await client.ask({
      ...{ jsonrpc: "2.0", id: 1, method: "initialize" },
      params: {
        protocolVersion: "2024-11-05",
        capabilities: {},
        clientInfo: { name: "old", version: "1" },
      },
    });
    const id = new URL(client.endpoint, a.url).searchParams.get("sessionId") ?? "";
    const foreign = {
      authorization: `Bearer ${await a.mint({ user: "mallory" })}`,
      accept: "text/event-stream",
      "mcp-session-id": id,
    };
    for (const at of [a, b]) {
      for (const method of ["GET", "DELETE"]) {
        const refused = await fetch(`${at.url}/mcp`, { method, headers: foreign });
        expect([refused.status, await refused.text()]).toEqual([403, expect.stringContaining("forbidden")]);
      }
    }
    expect(await client.ask({ jsonrpc: "2.0", id: 2, method: "ping" })).toMatchObject({ id: 2, result: {} });
    expect(client.ended()).toBe(false);
  });
});

describe("a session of one user", () => {
  it("SP-6 that an upstream refuses for its credentials (401) is the only one that is opened anew", async () => {
    const [ann, carl] = await Promise.all(["ann", "carl"].map((user) => a.mint({ user })));
    const [hers, his] = [await openSession(a, paths.counter, ann), await openSession(a, paths.counter, carl)];
    await hers.tool(a, "add", { amount: 5 });
    await his.tool(a, "add", { amount: 3 });
    refusedOnce.add("Bearer ann");
    expect(await hers.tool(a, "read")).toMatchObject({ value: 0 });
    expect(refusedOnce.size).toBe(0);
    expect(await his.tool(a, "read")).toMatchObject({ value: 3 });
  });

  it("SP-1 is never met by a call of another, whatever the calls come by", async () => {
    const users = ["ann", "carl", "dora", "emil"];
    const tokens = await Promise.all(users.map((user) => a.mint({ user })));
    const sessions = await Promise.all(tokens.map((token) => openSession(a, paths.virtual, token)));
    const usersOf = new Map<string, Set<string>>();
    const kinds = new Map<string, Set<number>>();
    const rounds = Array.from({ length: 160 }, async (_, round) => {
      const who = round % users.length;
      const at = randomInt(2) === 0 ? a : b;
      const [user = "", token = "", session] = [users[who], tokens[who], sessions[who]];
      const kind = (round >> 2) % 3;
      const name = "counter_add";
      const args = { amount: 1 };
      const content = await [
        async () => session?.tool(at, name, args),
        async () => {
          const answer = await at.rpc("/mcp/http", call(name, args), { authorization: `Bearer ${token}` });
          return answer.body.result?.structuredContent;
        },
        async () => {
          const params = { name, arguments: args };
          const answer = await modern(at, { path: paths.virtual, method: "tools/call", params, token });
          return answer.body.result?.structuredContent;
        },
      ][kind]?.();
      expect(content).toBeDefined();
      usersOf.set(content.session, (usersOf.get(content.session) ?? new Set()).add(user));
      kinds.set(content.session, (kinds.get(content.session) ?? new Set()).add(kind));
    });
    await Promise.all(rounds);
    expect(usersOf.size).toBeGreaterThanOrEqual(12);
    for (const [session, met] of usersOf) expect([...met], session).toHaveLength(1);
    // A client's session has one behind it, and nobody else's calls are in it.
    const own = [...kinds.values()].filter((met) => met.has(0));
    expect(own).toHaveLength(users.length);
    for (const met of own) expect([...met]).toEqual([0]);
  });
});
