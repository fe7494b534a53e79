import { createPluginPipeline, systemClock } from "@gatewright/plugin-framework";
import * as framework from "@gatewright/plugin-framework/redis";
import { createMemoryStore } from "@gatewright/rate-limiter";
import { rateLimiterPlugin } from "@gatewright/rate-limiter/plugin";
import { createRedisStore, laneOf } from "@gatewright/rate-limiter/redis";
import { eventually, startRedis } from "@gatewright/testkit";
import type { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { writeRecord } from "./support/control-record.ts";

const call = { name: "search", args: {}, headers: {} };

/** Of a fleet that has run for a while: in one that has just begun, a switch waits three seconds for its members. */
const asInOldFleet = (client: Redis) => client.zadd("gw:{bus}:members", -1, "~since");

describe("in a pipeline", () => {
  it("blocks under enforce, shadows under permissive and starts afresh after disabled", async () => {
    const definition = rateLimiterPlugin({ store: createMemoryStore() });
    const pipeline = await createPluginPipeline({
      plugins: [{ use: definition, config: { rules: { by_user: "1/m" } } }],
    });
    const invoke = async () => {
      const scope = pipeline.begin({ requestId: "r", user: "ann" });
      const result = await scope.invoke("tool_pre_invoke", call);
      scope.end();
      return result;
    };
    expect((await invoke()).headers).toMatchObject({ "X-RateLimit-Remaining": "0" });
    expect((await invoke()).violation).toMatchObject({
      code: "rate_limited",
      httpStatus: 429,
      mcpErrorCode: -31001,
    });
    await pipeline.setMode("rate_limiter", "permissive");
    const shadowed = await invoke();
    expect(shadowed.allowed).toBe(true);
    expect(shadowed.shadowViolations).toHaveLength(1);
    await pipeline.setMode("rate_limiter", "disabled");
    expect((await invoke()).headers).toEqual({});
    await pipeline.setMode("rate_limiter", "enforce");
    expect([(await invoke()).allowed, (await invoke()).allowed]).toEqual([true, false]);
    await pipeline.close();
  });

  it.each([
    ["the file", { mode: "disabled" as const }, []],
    ["a binding", {}, [{ plugin: "rate_limiter", tenant: "acme", mode: "disabled" as const }]],
  ])(
    "starts afresh after an override that was taken back where %s says disabled",
    async (_, entry, bindings) => {
      const use = rateLimiterPlugin({ store: createMemoryStore() });
      const plugins = [{ use, config: { rules: { by_user: "1/m" } }, ...entry }];
      const pipeline = await createPluginPipeline({ plugins, bindings });
      const allowed = async () => {
        using scope = pipeline.begin({ requestId: "r", user: "ann", tenantId: "acme" });
        return (await scope.invoke("tool_pre_invoke", call)).allowed;
      };
      await pipeline.setMode("rate_limiter", "enforce");
      expect([await allowed(), await allowed()]).toEqual([true, false]);
      await pipeline.clearMode("rate_limiter");
      expect([await allowed(), await allowed()]).toEqual([true, true]);
      await pipeline.setMode("rate_limiter", "enforce");
      expect([await allowed(), await allowed()]).toEqual([true, false]);
      await pipeline.close();
    },
  );

  it.each([
    ["off and on again", ["disabled"], {}, true],
    ["off and on again, wipe never", ["disabled"], { wipe: "never" }, false],
    ["to a mode that stays on, wipe always", [], { wipe: "always" }, true],
  ] as const)("without Redis, policy local, switched %s", async (_, modes, options, afresh) => {
    await using redis = await startRedis();
    const client = redis.client({ enableOfflineQueue: false });
    const subscriber = redis.client({ maxRetriesPerRequest: null });
    await eventually(() => client.status === "ready" && subscriber.status === "ready");
    await asInOldFleet(client);
    const use = rateLimiterPlugin({ store: createRedisStore({ client }) });
    const config = { rules: { by_user: "1/h" }, failurePolicy: "local" };
    const bus = framework.createRedisBus({ client, subscriber });
    await using pipeline = await createPluginPipeline({ plugins: [{ use, config }] }, { bus });
    const allowed = async () => {
      using scope = pipeline.begin({ requestId: "r", user: "ann", tenantId: "acme" });
      return (await scope.invoke("tool_pre_invoke", call)).allowed;
    };
    await redis.stop();
    expect([await allowed(), await allowed()]).toEqual([true, false]);
    for (const mode of [...modes, "enforce"] as const)
      await pipeline.setMode("rate_limiter", mode, { timeoutMs: 500, ...options });
    expect([await allowed(), await allowed()]).toEqual([afresh, false]);
  });

  it("over Redis a replica that missed the switch decides by the record all the same", async () => {
    await using redis = await startRedis();
    const client = redis.client({ enableOfflineQueue: false });
    await eventually(() => client.status === "ready");
    const pipeline = await createPluginPipeline({
      plugins: [
        {
          use: rateLimiterPlugin({ store: createRedisStore({ client }) }),
          config: { rules: { by_user: "1/m" } },
        },
      ],
    });
    const invoke = async () => {
      const scope = pipeline.begin({ requestId: "r", user: "ann", tenantId: "t" });
      const result = await scope.invoke("tool_pre_invoke", call);
      scope.end();
      return result;
    };
    expect([(await invoke()).allowed, (await invoke()).allowed]).toEqual([true, false]);
    await writeRecord(client, { mode: "permissive", rev: 5 });
    const shadowed = await invoke();
    expect(shadowed.allowed).toBe(true);
    expect(shadowed.shadowViolations).toHaveLength(1);
    await pipeline.close();
  });

  it.each([
    ["the file", { mode: "disabled" as const }, []],
    ["a binding", {}, [{ plugin: "rate_limiter", tenant: "acme", mode: "disabled" as const }]],
  ])(
    "over Redis clearMode back to %s that says disabled wipes as a switch does",
    async (_, entry, bindings) => {
      await using redis = await startRedis();
      const client = redis.client({ enableOfflineQueue: false });
      const subscriber = redis.client({ maxRetriesPerRequest: null });
      await eventually(() => client.status === "ready" && subscriber.status === "ready");
      await asInOldFleet(client);
      const use = rateLimiterPlugin({ store: createRedisStore({ client }) });
      const plugins = [{ use, config: { rules: { by_user: "1/h" } }, ...entry }];
      const bus = framework.createRedisBus({ client, subscriber });
      await using pipeline = await createPluginPipeline({ plugins, bindings }, { bus });
      const allowed = async () => {
        using scope = pipeline.begin({ requestId: "r", user: "ann", tenantId: "acme" });
        return (await scope.invoke("tool_pre_invoke", call)).allowed;
      };
      await pipeline.setMode("rate_limiter", "enforce");
      expect([await allowed(), await allowed()]).toEqual([true, false]);
      await pipeline.clearMode("rate_limiter");
      expect([await allowed(), await allowed()]).toEqual([true, true]);
      await eventually(async () => (await client.keys("gw:{l*}:rl:acme:*")).length === 0);
      await pipeline.setMode("rate_limiter", "enforce");
      expect([await allowed(), await allowed()]).toEqual([true, false]);
      await pipeline.setMode("rate_limiter", "disabled", { wipe: "never" });
      await pipeline.setMode("rate_limiter", "enforce");
      expect(await allowed()).toBe(false);
    },
  );

  it("PF-I2 with the breaker open a refusal needs the control lease: a switch that was not heard of counts", async () => {
    await using counters = await startRedis();
    await using control = await startRedis();
    const store = counters.client({ enableOfflineQueue: false });
    const client = control.client({ enableOfflineQueue: false });
    const subscriber = control.client({ maxRetriesPerRequest: null });
    await eventually(() => [store, client, subscriber].every(({ status }) => status === "ready"));
    const bus = framework.createRedisBus({ client, subscriber });
    const deaf = { ...bus, subscribe: async () => () => undefined };
    const use = rateLimiterPlugin({ store: createRedisStore({ client: store }) });
    const config = {
      rules: { by_user: "9/h" },
      failurePolicy: "closed",
      breaker: { failures: 1, openMs: 60_000 },
    };
    const plugins = [{ use, config }];
    const timing = { pollMinMs: 60_000, pollMaxMs: 60_000, leaseMs: 10_000, renewMs: 5_000 };
    let passedMs = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + passedMs };
    await using admin = await createPluginPipeline({ plugins }, { bus });
    await using pipeline = await createPluginPipeline({ plugins }, { bus: deaf, timing, clock });
    const invoke = async () => {
      using scope = pipeline.begin({ requestId: "r", user: "ann" });
      return await scope.invoke("tool_pre_invoke", call);
    };
    await counters.stop();
    await invoke();
    expect(await invoke()).toMatchObject({ allowed: false, violation: { code: "backend_unavailable" } });
    await admin.setMode("rate_limiter", "disabled", { waitFor: "none" });
    passedMs += timing.leaseMs + 1;
    expect(await invoke()).toMatchObject({ allowed: true, records: [{ mode: "disabled" }] });
    await admin.setMode("rate_limiter", "enforce", { waitFor: "none" });
    passedMs += timing.leaseMs + 1;
    expect(await invoke()).toMatchObject({ allowed: false, records: [{ mode: "enforce" }] });
    await control.stop();
    passedMs += timing.leaseMs + 1;
    expect(await invoke()).toMatchObject({ allowed: false, records: [{ mode: "enforce", degraded: true }] });
  });

  it("PF-I1 over Redis a lane's copy that was lost is put back, though the file says disabled", async () => {
    await using redis = await startRedis();
    const client = redis.client({ enableOfflineQueue: false });
    const subscriber = redis.client({ maxRetriesPerRequest: null });
    await eventually(() => client.status === "ready" && subscriber.status === "ready");
    await asInOldFleet(client);
    const use = rateLimiterPlugin({ store: createRedisStore({ client }) });
    const alerts: string[] = [];
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use, mode: "disabled", config: { rules: { by_user: "2/h" } } }] },
      {
        bus: framework.createRedisBus({ client, subscriber }),
        observer: { controlAlert: ({ kind }) => void alerts.push(kind) },
      },
    );
    const allowed = async () => {
      using scope = pipeline.begin({ requestId: "r", user: "ann", tenantId: "acme" });
      return (await scope.invoke("tool_pre_invoke", call)).allowed;
    };
    await pipeline.setMode("rate_limiter", "enforce");
    expect([await allowed(), await allowed(), await allowed()]).toEqual([true, true, false]);
    const copy = `gw:{l${laneOf("acme")}}:ctl:rate_limiter`;
    const whole = await client.get(copy);
    await client.del(copy);
    // Until it is back, the last known mode decides.
    expect(await allowed()).toBe(false);
    await eventually(async () => (await client.get(copy)) === whole && alerts.includes("record_lost"));
  });

  it("is refused at load under another name than the one whose records its store reads", async () => {
    const load = (plugin: string | undefined, name: string | undefined) => {
      const store = createRedisStore({ client: {} as never, ...(plugin === undefined ? {} : { plugin }) });
      const use = rateLimiterPlugin({ store });
      const plugins = [{ use, mode: "disabled" as const, ...(name === undefined ? {} : { name }) }];
      return createPluginPipeline({ plugins });
    };
    await expect(load(undefined, "limits")).rejects.toMatchObject({
      code: "validation_failed",
      issues: [{ path: "plugins[0].name", suggestion: "rate_limiter" }],
    });
    await expect(load("limits", undefined)).rejects.toMatchObject({ issues: [{ suggestion: "limits" }] });
    await (await load(undefined, undefined)).close();
    await (await load("limits", "limits")).close();
  });

  it("agrees with the framework on the lane of every tenant", () => {
    for (const tenant of [undefined, "", "a", "acme", "Ünïcode ✓", "x".repeat(200)]) {
      expect(laneOf(tenant)).toBe(framework.laneOf(tenant));
    }
  });
});
