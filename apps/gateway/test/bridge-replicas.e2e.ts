import { startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Balancer, startBalancer } from "./support/balancer.ts";
import { askable, modern } from "./support/modern-client.ts";
import { type ReplicaSet, startReplicaProcess, startReplicaSet } from "./support/replica-set.ts";
import type { TestGateway } from "./support/test-gateway.ts";

type Everything = Awaited<ReturnType<typeof startEverythingServer>>;

let redis: RedisServer;
let legacyOnly: Everything;
let modernOnly: Everything;
let set: ReplicaSet;
let balancer: Balancer;
let paths: { readonly legacyOnly: string; readonly modernOnly: string };

beforeAll(async () => {
  redis = await startRedis();
  [legacyOnly, modernOnly] = await Promise.all([
    startEverythingServer({ era: "legacy" }),
    startEverythingServer({ era: "modern" }),
  ]);
  set = await startReplicaSet(redis, 3, {
    plugins: [{ name: "rate_limiter", config: { rules: { by_tool: { test_sampling: "1/m" } } } }],
  });
  balancer = await startBalancer(set.replicas.map(({ url }) => url));
  paths = {
    legacyOnly: `/servers/${await set.register({ name: "legacy", url: legacyOnly.url })}/mcp`,
    modernOnly: `/servers/${await set.register({ name: "modern", url: modernOnly.url })}/mcp`,
  };
});

afterAll(async () => {
  await balancer?.[Symbol.asyncDispose]();
  await set?.[Symbol.asyncDispose]();
  await Promise.all([legacyOnly.close(), modernOnly.close(), redis.close()]);
});

const answered = { action: "accept" as const, content: { username: "u", email: "u@x" } };

/** An official client behind a balancer that gives every request to the next replica. */
async function connect(path: string, mode: "legacy" | "auto") {
  const asked: unknown[] = [];
  const client = new Client(
    { name: "anywhere", version: "1" },
    { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
  );
  client.setRequestHandler("elicitation/create", ({ params }) => {
    asked.push(params.message);
    return answered;
  });
  const transport = new StreamableHTTPClientTransport(new URL(`${balancer.url}${path}`), {
    requestInit: { headers: { authorization: `Bearer ${set.replicas[0]?.token}` } },
  });
  await client.connect(transport);
  return { client, asked };
}

describe("three replicas, every request at another one", () => {
  it.each([
    { mode: "legacy", server: "modernOnly" },
    { mode: "auto", server: "legacyOnly" },
  ] as const)(
    "a client in mode $mode completes elicitations with a $server server",
    async ({ mode, server }) => {
      const { client, asked } = await connect(paths[server], mode);
      for (let round = 1; round <= 6; round++) {
        const message = `who? ${round}`;
        const result = await client.callTool({ name: "test_elicitation", arguments: { message } });
        expect(JSON.stringify(result.content)).toContain("u@x");
        expect(asked).toHaveLength(round);
        expect(asked.at(-1)).toBe(message);
      }
      await client.close();
      expect(Math.min(...balancer.counts())).toBeGreaterThan(0);
    },
  );

  it("a call that waits is charged where it began, and goes on at its owner whoever is asked", async () => {
    const [a, b, c] = set.replicas as [TestGateway, TestGateway, TestGateway];
    const request = {
      path: paths.legacyOnly,
      method: "tools/call",
      capabilities: askable,
      params: { name: "test_sampling", arguments: { prompt: "p" } },
    };
    const { requestState } = (await modern(a, request)).body.result;
    const text = { type: "text", text: "sampled" };
    const inputResponses = { model_message: { role: "assistant", model: "m", content: text } };
    const params = { ...request.params, inputResponses, requestState };
    const mallory = await b.mint({ user: "mallory" });
    const stolen = await modern(b, { ...request, params, token: mallory });
    expect(stolen.body.error.code).toBe(-32602);
    const done = await modern(b, { ...request, params });
    expect(JSON.stringify(done.body.result)).toContain("sampled");
    for (const at of [a, b, c]) {
      expect((await modern(at, { ...request, params })).body.error.code).toBe(-32602);
    }
    expect((await modern(c, request)).body.error.data.code).toBe("rate_limited");
  });

  it("a call whose owner is killed is lost: outcome unknown, and its upstream sees the connection end", async () => {
    const owner = await startReplicaProcess(redis, set);
    const request = {
      path: paths.legacyOnly,
      method: "tools/call",
      capabilities: askable,
      params: { name: "test_elicitation", arguments: { message: "m" } },
    };
    await eventually(async () => (await modern(owner, { ...request, id: 9 })).body.result !== undefined);
    const { requestState } = (await modern(owner, request)).body.result;
    const open = legacyOnly.stats().connections;
    await owner.kill();
    await eventually(() => legacyOnly.stats().connections < open);
    const params = { ...request.params, inputResponses: { user_input: answered }, requestState };
    const [a] = set.replicas as [TestGateway];
    await eventually(async () => {
      const { error } = (await modern(a, { ...request, params })).body;
      // Until the owner counts as dead it may come back.
      if (error.data.code === "session_owner_unreachable") return false;
      expect(error).toMatchObject({ code: -31004, data: { code: "outcome_unknown", retryable: false } });
      return true;
    });
  });
});
