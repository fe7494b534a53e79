import { startRawServer } from "@gatewright/mcp-fixtures";
import { eventually, startRedisCluster, startRedisSentinel } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConfigError } from "../src/config/config-error.ts";
import { loadConfig } from "../src/config/load-config.ts";
import { addressOf } from "../src/config/redis.ts";
import { callTool, modeAt, putMode } from "./support/plugin-calls.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let upstream: Awaited<ReturnType<typeof startRawServer>>;

beforeAll(async () => {
  upstream = await startRawServer();
});

afterAll(() => upstream.close());

const nodesOf = (servers: readonly { readonly host: string; readonly port: number }[]) =>
  servers.map(({ host, port }) => `${host}:${port}`);

const start = (redis: object, more: object = { auth: { required: false } }) =>
  startTestGateway({
    ...more,
    redis: { ...redis, commandTimeoutMs: 5_000 },
    mcpServers: { raw: { url: upstream.url } },
    // A busy machine is not taken for a Redis that is away.
    plugins: [
      {
        name: "rate_limiter",
        config: { rules: { by_user: "4/m" }, failurePolicy: "closed", timeoutMs: 5_000 },
      },
    ],
  });

describe("where Redis is", () => {
  const problemsOf = async (env: Record<string, string>) => {
    const error = await loadConfig({ env }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  };

  it("is read from the environment too, lists separated by commas", async () => {
    const sentinel = {
      GATEWRIGHT_REDIS__SENTINEL__NAME: "main",
      GATEWRIGHT_REDIS__SENTINEL__NODES: "a.example:26379, [::1]:26380",
    };
    const { redis } = await loadConfig({ env: sentinel });
    expect(redis.sentinel).toMatchObject({ name: "main", nodes: ["a.example:26379", "[::1]:26380"], db: 0 });
    expect(redis.sentinel?.nodes.map(addressOf)).toEqual([
      { host: "a.example", port: 26379 },
      { host: "::1", port: 26380 },
    ]);
  });

  it("is named in one way only, and every mistake has its path", async () => {
    expect(await problemsOf({ REDIS_URL: "redis://a", GATEWRIGHT_REDIS__CLUSTER__NODES: "a:1" })).toContain(
      "redis.cluster: is one way to name Redis, and redis.url another: leave one out",
    );
    for (const nodes of ["a", "a:0", "redis://a:1", "a:70000", "::1:6379"]) {
      expect(await problemsOf({ GATEWRIGHT_REDIS__CLUSTER__NODES: nodes })).toContain(
        "redis.cluster.nodes.0",
      );
    }
    expect(await problemsOf({ GATEWRIGHT_REDIS__SENTINEL__NODES: "a:1" })).toContain("redis.sentinel.name");
    expect(
      await problemsOf({ GATEWRIGHT_REDIS__SENTINEL: JSON.stringify({ name: "m", node: ["a:1"] }) }),
    ).toContain('redis.sentinel.node: unknown key; did you mean "nodes"?');
  });
});

describe.concurrent("two gateways over Redis Sentinel", () => {
  it("limit and switch together, and go on after the master is killed", async () => {
    await using sentinel = await startRedisSentinel();
    const redis = { sentinel: { name: sentinel.name, nodes: nodesOf(sentinel.addresses) } };
    await using first = await start(redis);
    await using second = await start(redis);
    await eventually(() => [first, second].every(({ core }) => core.control.board.count === 2));
    const statuses = (count: number) =>
      Promise.all(
        Array.from({ length: count }, async (_, index) => {
          const { status } = await callTool((index % 2 === 0 ? first : second).url, index);
          return status;
        }),
      );
    expect((await statuses(6)).sort()).toEqual([200, 200, 200, 200, 429, 429]);
    const off = (await putMode(first.url, { mode: "disabled" })).body;
    expect(off).toMatchObject({ converged: true, guarantee: "fenced" });
    expect(await statuses(6)).toEqual(Array(6).fill(200));

    const killed = await sentinel.master();
    await killed.kill();
    const on = await eventually(
      async () => {
        const { body } = await putMode(second.url, { mode: "enforce" });
        // The new master may not have heard of a replica before that one's next heartbeat.
        return body.converged && body.acked.length === 2 && body;
      },
      { timeoutMs: 30_000, intervalMs: 200 },
    );
    expect(on).toMatchObject({ guarantee: "fenced", acked: [expect.anything(), expect.anything()] });
    expect(on.rev).toBeGreaterThan(off.rev);
    expect((await sentinel.master()).port).not.toBe(killed.port);
    // The limiter's breaker looks again within a second.
    await eventually(async () => (await callTool(first.url, 1)).headers.get("x-ratelimit-limit") === "4");
    await eventually(async () => (await callTool(second.url, 1)).headers.get("x-ratelimit-limit") === "4");
    await putMode(first.url, { mode: "disabled" });
    await putMode(first.url, { mode: "enforce" });
    expect((await statuses(6)).sort()).toEqual([200, 200, 200, 200, 429, 429]);
    const { mode, layer, rev } = await modeAt(first.url);
    expect(await modeAt(second.url)).toMatchObject({ mode, layer, rev });
  }, 90_000);
});

describe.concurrent("two gateways over a Redis Cluster of three masters", () => {
  it("RL-7 limit every tenant together whatever its lane, and switch all of them and one alone", async () => {
    await using cluster = await startRedisCluster();
    const redis = { cluster: { nodes: nodesOf(cluster.nodes.slice(0, 1)) } };
    await using first = await start(redis, {});
    await using second = await start(redis, {});
    await eventually(() => [first, second].every(({ core }) => core.control.board.count === 2));
    const tenants = Array.from({ length: 12 }, (_, index) => `tenant-${index}`);
    const callAs = async (gateway: TestGateway, tenant: string) => {
      const call = {
        jsonrpc: "2.0",
        id: 1,
        method: "tools/call",
        params: { name: "raw_echo", arguments: {} },
      };
      const token = await gateway.mint({ tenant });
      return (await gateway.rpc("/mcp/http", call, { authorization: `Bearer ${token}` })).status;
    };
    const statuses = async (tenant: string) =>
      (
        await Promise.all([first, second, first, second, first, second].map((at) => callAs(at, tenant)))
      ).sort();
    const limited = [200, 200, 200, 200, 429, 429];
    const free = Array(6).fill(200);
    expect(await Promise.all(tenants.map(statuses))).toEqual(tenants.map(() => limited));

    const off = await first.rest("PUT", "/admin/plugins/rate_limiter/mode", { mode: "disabled" });
    expect(off.body).toMatchObject({ converged: true, guarantee: "fenced" });
    expect(await Promise.all(tenants.map(statuses))).toEqual(tenants.map(() => free));

    const on = await second.rest("PUT", "/admin/plugins/rate_limiter/mode", { mode: "enforce" });
    expect(on.body).toMatchObject({ converged: true, rev: off.body.rev + 1 });
    const one = { mode: "permissive", tenant: tenants[3] };
    expect((await first.rest("PUT", "/admin/plugins/rate_limiter/mode", one)).body.converged).toBe(true);
    expect(await Promise.all(tenants.map(statuses))).toEqual(
      tenants.map((tenant) => (tenant === tenants[3] ? free : limited)),
    );
    expect([...first.logs, ...second.logs].filter((line) => line.includes("CROSSSLOT"))).toEqual([]);
  }, 90_000);
});
