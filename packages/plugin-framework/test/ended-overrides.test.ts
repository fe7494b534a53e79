import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ControlBus, type ControlRecord, createPluginPipeline } from "../src/index.ts";
import { ModeState } from "../src/mode-state.ts";
import { controlKey, createRedisBus, laneOf } from "../src/redis/index.ts";
import { emptyWithOldList, toolPlugin, violation } from "./support.ts";

const SCOPES = "gw:{bus}:scopes";
const guard = () => toolPlugin("guard", () => ({ block: violation }));
const record = (mode: ControlRecord["mode"], rev: number): ControlRecord => ({
  mode,
  rev,
  uuid: `uuid-${rev}`,
  wipeSeq: 0,
  setBy: "ann",
});

describe("tenants whose override has ended, over Redis", () => {
  let redis: RedisServer;
  let raw: ReturnType<RedisServer["client"]>;
  const open: (() => unknown)[] = [];
  beforeAll(async () => {
    redis = await startRedis();
    raw = redis.client();
  });
  beforeEach(() => emptyWithOldList(raw));
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });
  afterAll(() => redis?.close());

  async function busOf(more: Partial<ControlBus> = {}): Promise<ControlBus> {
    const client = redis.client({ enableOfflineQueue: false });
    const subscriber = redis.client({ maxRetriesPerRequest: null });
    open.push(
      () => client.disconnect(),
      () => subscriber.disconnect(),
    );
    await eventually(() => client.status === "ready" && subscriber.status === "ready");
    return { ...createRedisBus({ client, subscriber }), ...more };
  }

  async function replica(bus: ControlBus) {
    const pipeline = await createPluginPipeline({ plugins: [{ use: guard() }] }, { bus });
    open.push(() => pipeline.close());
    return pipeline;
  }

  const tenants = Array.from({ length: 100 }, (_, index) => `tenant-${index}`);

  it("PF-I5 are polled no more, but for a few at a time, by those who knew the override and by a new replica", async () => {
    const reads: number[] = [];
    const counted = async () => {
      const bus = await busOf();
      const read: ControlBus["read"] = (scopes) => {
        reads.push(scopes.length);
        return bus.read(scopes);
      };
      return { ...bus, read };
    };
    const pipeline = await replica(await counted());
    await Promise.all(
      tenants.map(async (tenant) => {
        await pipeline.setMode("guard", "disabled", { tenant, waitFor: "none" });
        await pipeline.clearMode("guard", { tenant, waitFor: "none" });
      }),
    );
    await pipeline.setMode("guard", "disabled", { tenant: "ends", ttlMs: 50, waitFor: "none" });
    await eventually(async () => (await raw.smembers(SCOPES)).length === 0);
    reads.length = 0;
    await eventually(() => reads.length > 2);
    expect(Math.max(...reads)).toBeLessThanOrEqual(1 + 16);
    reads.length = 0;
    await replica(await counted());
    expect(reads[0]).toBe(1);
  });

  it("PF-I5 are followed again when an override is set anew, without any message", async () => {
    const publish = async () => undefined;
    const [one, two] = [await replica(await busOf({ publish })), await replica(await busOf({ publish }))];
    await one.setMode("guard", "disabled", { tenant: "acme" });
    await two.clearMode("guard", { tenant: "acme" });
    await eventually(async () => (await raw.smembers(SCOPES)).length === 0);
    expect(await one.setMode("guard", "permissive", { tenant: "acme" })).toMatchObject({
      rev: 3,
      converged: true,
      missing: [],
    });
    expect(two.explainMode("guard", { tenantId: "acme" }).mode).toBe("permissive");
    expect(await raw.smembers(SCOPES)).toEqual(["guard:t:acme"]);
  });

  it("PF-I5 stay on the list when one who takes them off it finds another override, and when one is set meanwhile", async () => {
    const bus = await busOf();
    await bus.write("guard:t:acme", record("disabled", 1), 0);
    await bus.unlist?.(["guard:t:acme"]);
    expect(await bus.scopes()).toEqual(["guard:t:acme"]);
    // Taken off between the two steps of a switch: just before the record was written.
    const client = redis.client();
    open.push(() => client.disconnect());
    const slow = new Proxy(client, {
      get(target, name) {
        const member = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return async (...args: unknown[]) => {
          // What was sent before has arrived.
          if (name === "evalsha") await client.ping().then(() => raw.del(SCOPES));
          return member.apply(target, args);
        };
      },
    });
    const writer = createRedisBus({ client: slow, subscriber: client });
    expect(await writer.write("guard:t:acme", record("enforce", 2), 1)).toMatchObject({ written: true });
    expect(await bus.scopes()).toEqual(["guard:t:acme"]);
  });

  it("PF-I5 are put back in their turn when the store lost them, so that their rev never falls", async () => {
    const pipeline = await replica(await busOf());
    await Promise.all(
      tenants.slice(0, 40).map(async (tenant) => {
        await pipeline.setMode("guard", "disabled", { tenant, waitFor: "none" });
        await pipeline.clearMode("guard", { tenant, waitFor: "none" });
      }),
    );
    await raw.flushall();
    const keys = tenants.slice(0, 40).map((tenant) => controlKey("gw", "guard", laneOf(tenant), tenant));
    await eventually(async () => {
      for (const key of keys) expect(await raw.get(key)).toMatch(/^1\|2\|[^|]+\|inherit\|/);
    });
  });

  it("PF-I2 records of tenants are read with one command a lane; one of a wrong type is told", async () => {
    const bus = await busOf();
    const scopes = tenants.map((tenant) => `guard:t:${tenant}`);
    for (const scope of scopes) await bus.write(scope, record("disabled", 1), 0);
    const commands = async () => Number(/commands_processed:(\d+)/.exec(await raw.info("stats"))?.[1]);
    const before = await commands();
    const records = await bus.read(["guard", ...scopes, "guard:t:unknown"]);
    expect(records).toEqual([undefined, ...scopes.map(() => record("disabled", 1)), undefined]);
    const lanes = new Set(tenants.map(laneOf)).size;
    // And GET for the two without a record, and the INFO itself.
    expect((await commands()) - before).toBeLessThanOrEqual(lanes + 3);
    const key = controlKey("gw", "guard", laneOf("tenant-7"), "tenant-7");
    await raw.del(key);
    await raw.lpush(key, "no record");
    await expect(bus.read(scopes)).rejects.toThrow("WRONGTYPE");
  });
});

it("PF-I5 what is known of tenants whose override has ended is bounded; overrides in force are all kept", () => {
  const state = new ModeState("guard");
  state.store("stands", record("disabled", 1));
  for (let tenant = 0; tenant < 10_100; tenant++) {
    state.store(`t${tenant}`, record("disabled", 1));
    state.store(`t${tenant}`, record("inherit", 2));
  }
  state.store("t200", record("enforce", 3));
  expect(state.tenants?.size).toBe(10_001);
  expect(state.overriddenTenants).toBe(2);
  expect(state.tenantRecord("t0")).toBeUndefined();
  expect(state.tenantRecord("t10099")).toMatchObject({ rev: 2 });
  expect(state.overrideFor("stands")).toMatchObject({ mode: "disabled" });
});
