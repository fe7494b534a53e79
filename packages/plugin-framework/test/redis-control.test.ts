import { eventually, startRedisCluster } from "@gatewright/testkit";
import { describe, expect } from "vitest";
import {
  type ControlAlert,
  type ControlBus,
  createPluginPipeline,
  definePlugin,
  type ModeChange,
  type ModeEvent,
  packRecord,
  unpackRecord,
} from "../src/index.ts";
import { ALL_LANES, controlKey, createRedisBus, laneOf } from "../src/redis/index.ts";
import { quotaPlugin } from "./fenced-plugin.ts";
import { itOverRedis as it } from "./redis-stage.ts";
import { movableTime, toolCall, toolPlugin, violation } from "./support.ts";

const itOnDisk = it.extend({ persist: true });

const guard = () => toolPlugin("guard", () => ({ block: violation }));

describe.concurrent("the control record in Redis", () => {
  it("PF-15 a frame from the real channel makes a second replica follow and wipe; channel and keys are pinned", async ({
    stage: { redis, raw, connect, replica },
  }) => {
    const heard: [string, string][] = [];
    const spy = redis.client();
    await spy.subscribe("gw:bus");
    spy.on("message", (channel, message) => heard.push([channel, message]));
    const one = await replica(guard(), { replica: "one" });
    const changes: ModeChange[] = [];
    const wiped = toolPlugin(
      "guard",
      () => undefined,
      {},
      {
        instance: { onModeChange: (change) => void changes.push(change) },
      },
    );
    // The second replica hears nothing but what the test feeds it.
    let feed: (frame: { scope: string; rev: number }) => void = () => undefined;
    const bus: ControlBus = {
      ...createRedisBus(await connect()),
      subscribe: async (onFrame) => {
        feed = onFrame;
        return () => undefined;
      },
    };
    // What it is fed is read once, however busy the machine.
    const timing = { pollMinMs: 60_000, pollMaxMs: 60_000, leaseMs: 120_000, storeMs: 10_000 };
    const two = await replica(wiped, { replica: "two", bus, timing });
    const { rev } = await one.setMode("guard", "disabled", { waitFor: "none" });
    await eventually(() => heard.length > 0);
    expect(heard).toEqual([["gw:bus", '{"scope":"guard","rev":1}']]);
    expect(two.explainMode("guard").mode).toBe("enforce");
    feed(JSON.parse(heard[0]![1]));
    await eventually(() => two.explainMode("guard").mode === "disabled");
    await eventually(() => changes.length === 1);
    expect(changes).toMatchObject([
      { previous: "enforce", next: "disabled", rev, wipe: true, wipeSeq: 1, cause: "set" },
    ]);
    const keys = await raw.keys("*");
    const lanes = ["_", ...Array.from({ length: 64 }, (_, lane) => String(lane))];
    expect(ALL_LANES).toEqual(lanes);
    const pinned = ["gw:{bus}:acks:guard", "gw:{bus}:members", "gw:{bus}:scopes"];
    expect(keys.sort()).toEqual([...pinned, ...lanes.map((lane) => `gw:{l${lane}}:ctl:guard`)].sort());
    const copies = new Set(await Promise.all(lanes.map((lane) => raw.get(`gw:{l${lane}}:ctl:guard`))));
    expect([...copies]).toEqual([expect.stringMatching(/^1\|1\|[0-9a-f-]{36}\|disabled\|1\|0\|api$/)]);
  });

  it("PF-15 the packed string is version, rev, uuid, mode, wipeSeq, expiresAt, setBy; lanes are FNV-1a modulo 64", () => {
    const record = {
      mode: "permissive",
      rev: 12,
      uuid: "u-1",
      wipeSeq: 3,
      expiresAt: 1700,
      setBy: "a|b",
    } as const;
    expect(packRecord(record)).toBe("1|12|u-1|permissive|3|1700|a%7Cb");
    expect(unpackRecord("1|12|u-1|permissive|3|1700|a%7Cb")).toEqual(record);
    expect(unpackRecord("1|2|u|inherit|0|0|x")).toEqual({
      mode: "inherit",
      rev: 2,
      uuid: "u",
      wipeSeq: 0,
      setBy: "x",
    });
    const bad = [
      "",
      "2|1|u|enforce|0|0|x",
      "1|1|u|of|0|0|x",
      "1|-1|u|enforce|0|0|x",
      "1|1||enforce|0|0|x",
      "1|1|u|enforce|0|0",
    ];
    expect(bad.map(unpackRecord)).toEqual(bad.map(() => undefined));
    expect(unpackRecord("1|1|u|enforce|0|0|%zz")?.setBy).toBe("%zz");
    expect([laneOf(undefined), laneOf(""), laneOf("acme"), laneOf("zürich")]).toEqual(["_", "5", "47", "0"]);
    expect(controlKey("gw", "rate_limiter", "47", "acme corp")).toBe(
      "gw:{l47}:ctl:rate_limiter:t:acme%20corp",
    );
  });

  it("a tenant's record lies in the tenant's lane only and leaves other tenants alone", async ({
    stage: { raw, replica, call },
  }) => {
    const pipeline = await replica(guard());
    await pipeline.setMode("guard", "disabled", { tenant: "acme" });
    expect(await raw.keys("*ctl*")).toEqual([`gw:{l${laneOf("acme")}}:ctl:guard:t:acme`]);
    expect((await call(pipeline, "acme")).allowed).toBe(true);
    expect((await call(pipeline, "other")).allowed).toBe(false);
    expect((await call(pipeline)).allowed).toBe(false);
    const late = await replica(guard());
    expect((await call(late, "acme")).allowed).toBe(true);
  });

  it("PF-7 unreachable at boot: serves the file's mode as best effort and heals by itself", async ({
    stage: { redis, raw, replica, call },
  }) => {
    await redis.stop();
    const alerts: string[] = [];
    const observer = { controlAlert: ({ kind }: ControlAlert) => void alerts.push(kind) };
    const client = redis.client({ enableOfflineQueue: false, commandTimeout: 5_000 });
    const bus = createRedisBus({ client, subscriber: redis.client({ maxRetriesPerRequest: null }) });
    const pipeline = await replica(guard(), { bus, observer, replica: "lone" });
    const refused = await call(pipeline);
    expect(refused).toMatchObject({ allowed: false, records: [{ status: "blocked", degraded: true }] });
    expect(pipeline.list()).toMatchObject([{ mode: "enforce", degraded: true }]);
    const report = await pipeline.setMode("guard", "disabled");
    expect(report).toMatchObject({
      rev: 1,
      converged: false,
      guarantee: "best-effort",
      acked: [{ replica: "lone" }],
    });
    expect(report.reason).toContain("out of reach");
    expect(await call(pipeline)).toMatchObject({
      allowed: true,
      records: [{ status: "disabled", degraded: true }],
    });
    await redis.restart();
    await eventually(async () => {
      expect(unpackRecord((await raw.get("gw:{l_}:ctl:guard")) ?? "")).toMatchObject({
        mode: "disabled",
        rev: 1,
      });
    });
    await eventually(() => pipeline.explainMode("guard").degraded === false);
    await eventually(() => {
      expect(alerts).toEqual(
        expect.arrayContaining(["store_unreachable", "store_reachable", "record_reasserted"]),
      );
    });
    await eventually(async () => {
      expect(await pipeline.setMode("guard", "enforce")).toMatchObject({
        converged: true,
        guarantee: "leased",
      });
    });
  });

  itOnDisk(
    "PF-8 an override without ttl has no expiry, and a restart of all replicas and of Redis keeps it",
    async ({ stage: { redis, raw, replica, call } }) => {
      const first = await replica(guard());
      await first.setMode("guard", "disabled");
      const lanes = await raw.keys("*ctl*");
      expect(lanes).toHaveLength(65);
      expect(await Promise.all(lanes.map((key) => raw.pttl(key)))).toEqual(lanes.map(() => -1));
      await first.close();
      await redis.restart();
      await eventually(() => raw.status === "ready");
      const second = await replica(guard());
      expect(second.explainMode("guard")).toMatchObject({
        mode: "disabled",
        layer: "global_override",
        rev: 1,
      });
      expect((await call(second)).allowed).toBe(true);
    },
  );

  it("PF-8 with a ttl it reverts once, in every copy, and tells", async ({
    stage: { raw, replica, call },
  }) => {
    const events: ModeEvent[] = [];
    const alerts: string[] = [];
    const observer = {
      modeChange: (event: ModeEvent) => void events.push(event),
      controlAlert: ({ kind }: ControlAlert) => void alerts.push(kind),
    };
    const pipeline = await replica(guard(), { observer });
    const other = await replica(guard());
    await pipeline.setMode("guard", "disabled", { ttlMs: 5_000, setBy: "ann" });
    expect(pipeline.list()[0]?.expiresAt).toBeGreaterThan(0);
    expect((await call(other)).allowed).toBe(true);
    await eventually(() => pipeline.explainMode("guard").mode === "enforce", { timeoutMs: 15_000 });
    await eventually(() => other.explainMode("guard").mode === "enforce", { timeoutMs: 15_000 });
    expect((await call(other)).allowed).toBe(false);
    expect(events).toMatchObject([
      { previous: "enforce", next: "disabled", rev: 1, setBy: "ann" },
      { previous: "disabled", next: "enforce", rev: 2 },
    ]);
    expect(alerts.filter((kind) => kind === "override_expired")).toHaveLength(1);
    const copies = await Promise.all(ALL_LANES.map((lane) => raw.get(controlKey("gw", "guard", lane))));
    expect(new Set(copies).size).toBe(1);
    expect(unpackRecord(copies[0] ?? "")).toMatchObject({ mode: "inherit", rev: 2 });
  });

  it("PF-I1 a fenced plugin's own reading decides over the local mode and teaches the replica the new rev", async ({
    stage: { redis, connect, replica, call },
  }) => {
    const deaf: ControlBus = { ...createRedisBus(await connect()), subscribe: async () => () => undefined };
    const timing = { pollMinMs: 60_000, pollMaxMs: 60_000, leaseMs: 120_000 };
    const admin = await replica(quotaPlugin(redis.client(), 0));
    const stale = await replica(quotaPlugin(redis.client(), 0), { bus: deaf, timing });
    expect(await call(stale)).toMatchObject({ allowed: false });
    const report = await admin.setMode("quota", "permissive", { waitFor: "none" });
    expect(report.guarantee).toBe("fenced");
    expect(stale.explainMode("quota").mode).toBe("enforce");
    const decided = await call(stale);
    expect(decided).toMatchObject({ allowed: true, records: [{ mode: "permissive", effectiveAllow: true }] });
    expect(decided.shadowViolations).toHaveLength(1);
    await eventually(() => stale.explainMode("quota").rev === report.rev);
    await admin.setMode("quota", "enforce", { waitFor: "none", tenant: "acme" });
    expect(await call(stale, "acme")).toMatchObject({ allowed: false });
    expect(await call(stale, "other")).toMatchObject({ allowed: true });
  });

  it("PF-I1 a reading older than what is known here is not honoured, and the lagging copy is repaired", async ({
    stage: { redis, raw, replica, call },
  }) => {
    const pipeline = await replica(quotaPlugin(redis.client(), 0));
    await pipeline.setMode("quota", "permissive");
    const old = await raw.get("gw:{l_}:ctl:quota");
    await pipeline.setMode("quota", "enforce");
    const lane = `gw:{l${laneOf("acme")}}:ctl:quota`;
    await raw.set(lane, old ?? "");
    expect(await call(pipeline, "acme")).toMatchObject({ allowed: false, records: [{ mode: "enforce" }] });
    await eventually(async () => {
      expect(await raw.get(lane)).toBe(await raw.get("gw:{l_}:ctl:quota"));
    });
  });

  it("PF-I2 an expired lease is renewed by reading the record before the decision", async ({
    stage: { connect, replica, call },
  }) => {
    let reads = 0;
    const real = createRedisBus(await connect());
    const bus: ControlBus = {
      ...real,
      subscribe: async () => () => undefined,
      read: (scopes) => {
        reads++;
        return real.read(scopes);
      },
    };
    const { clock, pass } = movableTime();
    const timing = { pollMinMs: 120_000, pollMaxMs: 120_000, leaseMs: 60_000 };
    const pipeline = await replica(guard(), { bus, clock, timing });
    const admin = await replica(guard());
    const before = reads;
    await call(pipeline);
    expect(reads).toBe(before);
    await admin.setMode("guard", "disabled", { waitFor: "none" });
    expect((await call(pipeline)).allowed).toBe(false);
    expect(reads).toBe(before);
    pass(timing.leaseMs);
    await eventually(async () => (await call(pipeline)).allowed);
    expect(reads).toBeGreaterThan(before);
  });

  it("PF-I2 when the store hangs, a call waits at most for one short read and goes on degraded", async ({
    stage: { redis, replica, call },
  }) => {
    const pipeline = await replica(guard(), { timing: { leaseMs: 30 } }, "disabled");
    redis.pause();
    try {
      await eventually(async () => (await call(pipeline)).records[0]?.degraded === true);
      const startedAt = performance.now();
      const results = await Promise.all(Array.from({ length: 50 }, () => call(pipeline)));
      expect(performance.now() - startedAt).toBeLessThan(750);
      expect(results.every(({ allowed }) => allowed)).toBe(true);
      expect(results.every(({ records }) => records[0]?.status === "disabled")).toBe(true);
    } finally {
      redis.resume();
    }
    await eventually(async () => (await call(pipeline)).records[0]?.degraded === undefined);
  });

  it("PF-I5 after a failover a record of the same rev but another uuid gives way to the stored one at rev + 1", async ({
    stage: { raw, replica },
  }) => {
    const pipeline = await replica(guard());
    await pipeline.setMode("guard", "permissive");
    const elsewhere = packRecord({ mode: "disabled", rev: 1, uuid: "other", wipeSeq: 0, setBy: "bob" });
    for (const lane of ALL_LANES) await raw.set(controlKey("gw", "guard", lane), elsewhere);
    await eventually(() => pipeline.explainMode("guard").rev === 2);
    expect(pipeline.explainMode("guard").mode).toBe("disabled");
    expect(unpackRecord((await raw.get("gw:{l_}:ctl:guard")) ?? "")).toMatchObject({ rev: 2, uuid: "other" });
  });

  it("PF-I4 a fenced plugin that a reload or an expiry switches off gets a new wipeSeq, once", async ({
    stage: { redis, replica },
  }) => {
    const use = quotaPlugin(redis.client(), 5);
    const pipeline = await replica(use);
    await pipeline.reload({ plugins: [{ use, mode: "disabled" }] });
    await eventually(() => pipeline.list()[0]?.wipeSeq === 1);
    await pipeline.setMode("quota", "enforce", { ttlMs: 100, wipe: "never" });
    await eventually(() => pipeline.list()[0]?.wipeSeq === 2);
    expect(pipeline.explainMode("quota")).toMatchObject({ mode: "disabled", layer: "file" });
  });

  it("PF-I4 a binding that switches a fenced plugin off for a tenant wipes that tenant's state", async ({
    stage: { redis, replica, call },
  }) => {
    const use = quotaPlugin(redis.client(), 5);
    const pipeline = await replica(use);
    expect((await call(pipeline, "acme")).headers["x-quota-used"]).toBe("1");
    expect((await call(pipeline, "other")).headers["x-quota-used"]).toBe("1");
    await pipeline.reload({
      plugins: [{ use }],
      bindings: [{ plugin: "quota", tenant: "acme", mode: "disabled" }],
    });
    expect((await call(pipeline, "acme")).records).toMatchObject([{ status: "disabled" }]);
    await pipeline.reload({ plugins: [{ use }] });
    expect((await call(pipeline, "acme")).headers["x-quota-used"]).toBe("1");
    expect((await call(pipeline, "other")).headers["x-quota-used"]).toBe("2");
  });

  it("PF-I4 an override's end that lets a binding switch a tenant off wipes that tenant's state, once", async ({
    stage: { redis, raw, replica, call },
  }) => {
    const use = quotaPlugin(redis.client(), 5);
    const bindings = [{ plugin: "quota", tenant: "acme", mode: "disabled" as const }];
    const pipeline = await replica(use);
    const other = await replica(quotaPlugin(redis.client(), 5));
    await pipeline.reload({ plugins: [{ use }], bindings });
    await other.reload({ plugins: [{ use }], bindings });
    const used = async (tenant: string) => (await call(pipeline, tenant)).headers["x-quota-used"];
    const wipes = async () =>
      unpackRecord((await raw.get(controlKey("gw", "quota", laneOf("acme"), "acme"))) ?? "")?.wipeSeq ?? 0;
    await pipeline.setMode("quota", "enforce");
    const before = await wipes();
    expect([await used("acme"), await used("other")]).toEqual(["1", "1"]);
    expect(await pipeline.clearMode("quota")).toMatchObject({ wipe: true, converged: true });
    expect((await call(pipeline, "acme")).records).toMatchObject([{ status: "disabled" }]);
    await pipeline.setMode("quota", "enforce", { ttlMs: 3_000 });
    expect([await used("acme"), await used("other")]).toEqual(["1", "2"]);
    await eventually(async () => (await wipes()) === before + 2);
    await pipeline.setMode("quota", "enforce");
    expect([await used("acme"), await used("other")]).toEqual(["1", "3"]);
    expect(await wipes()).toBe(before + 2);
  });

  it("PF-I4 toggling opens and closes no connection", async ({ stage: { redis, raw, replica, call } }) => {
    const pipeline = await replica(quotaPlugin(redis.client(), 1_000));
    const connections = async () => ({
      received: /total_connections_received:(\d+)/.exec(await raw.info("stats"))?.[1],
      open: String(await raw.client("LIST"))
        .match(/^id=\d+/gm)
        ?.sort(),
    });
    await call(pipeline, "acme");
    await pipeline.setMode("quota", "disabled");
    const before = await connections();
    for (const mode of ["enforce", "permissive", "disabled", "enforce"] as const) {
      await pipeline.setMode("quota", mode);
      await call(pipeline, "acme");
    }
    await pipeline.clearMode("quota");
    expect(await connections()).toEqual(before);
  });

  it("a switch takes the next rev after the highest seen, though the store went back to a lower one", async ({
    stage: { raw, replica },
  }) => {
    const pipeline = await replica(guard());
    for (const mode of ["permissive", "disabled", "permissive", "disabled", "permissive"] as const)
      await pipeline.setMode("guard", mode);
    const old = packRecord({ mode: "enforce", rev: 2, uuid: "old", wipeSeq: 0, setBy: "ann" });
    await raw.mset(Object.fromEntries(ALL_LANES.map((lane) => [controlKey("gw", "guard", lane), old])));
    const report = await pipeline.setMode("guard", "disabled");
    expect(report).toMatchObject({ rev: 6, previousMode: "permissive", mode: "disabled", converged: true });
    const copies = await raw.mget(ALL_LANES.map((lane) => controlKey("gw", "guard", lane)));
    expect(copies.map((copy) => unpackRecord(copy ?? "")?.rev)).toEqual(ALL_LANES.map(() => 6));
  });

  it("seeds the bus with overrides that a registry kept", async ({ stage: { raw, replica, call } }) => {
    const record = { mode: "disabled", rev: 9, uuid: "kept", wipeSeq: 4, setBy: "ann" } as const;
    const pipeline = await replica(guard(), {
      overrides: [{ scope: { plugin: "guard" }, record }],
    });
    expect((await call(pipeline)).allowed).toBe(true);
    expect(await raw.get("gw:{l7}:ctl:guard")).toBe(packRecord(record));
    expect((await pipeline.setMode("guard", "enforce")).rev).toBe(10);
  });

  it("goes on when scripts are flushed and listens again when its connection was cut", async ({
    stage: { raw, replica },
  }) => {
    const one = await replica(guard(), { replica: "one" });
    const two = await replica(guard(), { replica: "two" });
    await raw.script("FLUSH");
    expect(await one.setMode("guard", "disabled")).toMatchObject({ converged: true });
    await raw.call("CLIENT", "KILL", "TYPE", "pubsub");
    await eventually(async () => {
      expect(await two.setMode("guard", "enforce", { timeoutMs: 1_000 })).toMatchObject({ converged: true });
    });
  });

  // Keeps the manifest's type honest: a definition without `modeAuthority` is told it is only leased.
  it("PF-I6 promises a lease, not a fence, to a plugin without modeAuthority", async ({
    stage: { replica },
  }) => {
    const use = definePlugin({
      name: "p",
      version: "1",
      description: "",
      hooks: {},
      create: () => ({ hooks: {} }),
    });
    const pipeline = await replica(use);
    expect(await pipeline.setMode("p", "disabled", { waitFor: "quorum" })).toMatchObject({
      guarantee: "leased",
    });
    expect(await pipeline.clearMode("p")).toMatchObject({ mode: "enforce", rev: 2, converged: true });
  });
});

describe.concurrent("the control record in a Redis Cluster", () => {
  it("keeps a copy in every lane of three masters and toggles a fenced plugin for every tenant", async () => {
    await using cluster = await startRedisCluster();
    const [client, subscriber] = [cluster.client(), cluster.client()];
    try {
      await eventually(() => client.status === "ready" && subscriber.status === "ready", {
        timeoutMs: 30_000,
      });
      const bus = createRedisBus({
        client: client,
        subscriber: subscriber,
      });
      await using pipeline = await createPluginPipeline(
        { plugins: [{ use: quotaPlugin(client, 0) }] },
        { bus },
      );
      const allowed = async (tenantId: string) => {
        const scope = pipeline.begin({ requestId: "r", user: "ann", tenantId });
        const result = await scope.invoke("tool_pre_invoke", toolCall);
        scope.end();
        return result.allowed;
      };
      const tenants = Array.from({ length: 20 }, (_, index) => `tenant-${index}`);
      expect(await Promise.all(tenants.map(allowed))).toEqual(tenants.map(() => false));
      const report = await pipeline.setMode("quota", "permissive");
      expect(report).toMatchObject({ converged: true, guarantee: "fenced" });
      expect(await Promise.all(tenants.map(allowed))).toEqual(tenants.map(() => true));
      const copies = await Promise.all(ALL_LANES.map((lane) => client.get(controlKey("gw", "quota", lane))));
      expect(new Set(copies).size).toBe(1);
    } finally {
      client.disconnect();
      subscriber.disconnect();
    }
  });
});
