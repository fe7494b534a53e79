import { eventually } from "@gatewright/testkit";
import { describe, expect } from "vitest";
import { HEARTBEAT_MS } from "../src/control/control-bus.ts";
import { type Clock, type ControlAlert, type PluginPipeline, packRecord, systemClock } from "../src/index.ts";
import { ALL_LANES, controlKey, createRedisBus, laneOf } from "../src/redis/index.ts";
import { quotaPlugin } from "./fenced-plugin.ts";
import { itOverRedis as it } from "./redis-stage.ts";
import { deferred, toolPlugin, violation } from "./support.ts";

const guard = (name = "guard") => toolPlugin(name, () => ({ block: violation }));

/** A poll and a lease so long that nothing but what a test does can teach a replica anything. */
const still = { pollMinMs: 60_000, pollMaxMs: 60_000, leaseMs: 120_000 };

/** Longer than a switch waits for members that may come back, however busy the machine. */
const patient = { timeoutMs: 20_000 };

describe.concurrent("what Redis has lost or refuses", () => {
  describe("the list of members", () => {
    it("PF-I6 is waited for when the store lost it: a report converges with all that live, none stale after it", async ({
      stage: { raw, connect, replica, call },
    }) => {
      const bus = async () => ({ ...createRedisBus(await connect()), publish: async () => undefined });
      const [one, two] = [
        await replica(guard(), { replica: "one", bus: await bus() }),
        await replica(guard(), { replica: "two", bus: await bus() }),
      ];
      await one.setMode("guard", "enforce");
      await raw.flushall();
      const report = await one.setMode("guard", "disabled", patient);
      expect(report).toMatchObject({ converged: true, missing: [] });
      expect([...report.expected].sort()).toEqual(["one", "two"]);
      expect((await call(two)).allowed).toBe(true);
    });

    it("PF-I6 is waited for by whoever came back first, too", async ({ stage: { raw, replica } }) => {
      const pipelines = new Map<string, PluginPipeline>();
      for (const name of ["one", "two", "three"]) {
        // So that their beats are apart.
        const startedAt = performance.now();
        await eventually(() => pipelines.size === 0 || performance.now() - startedAt > 400);
        pipelines.set(name, await replica(guard(), { replica: name }));
      }
      await raw.del("gw:{bus}:members");
      const first = await eventually(async () => {
        const [, name = ""] = await raw.zrange("gw:{bus}:members", "0", "-1");
        return pipelines.get(name) ?? false;
      });
      const report = await first.setMode("guard", "disabled", patient);
      expect(report).toMatchObject({ converged: true });
      expect([...report.expected].sort()).toEqual(["one", "three", "two"]);
    });

    it("PF-I6 a quorum is one of all that live, not of those that came back first", async ({
      stage: { raw, replica },
    }) => {
      const one = await replica(guard(), { replica: "one" });
      await Promise.all(["two", "three"].map((name) => replica(guard(), { replica: name })));
      await raw.del("gw:{bus}:members");
      const report = await one.setMode("guard", "disabled", { ...patient, waitFor: "quorum" });
      expect([...report.expected].sort()).toEqual(["one", "three", "two"]);
      expect(report.acked.length).toBeGreaterThanOrEqual(2);
    });

    it("PF-I6 is not whole for a replica that joins after it was lost: it waits for those that were there before", async ({
      stage: { raw, connect, replica, call },
    }) => {
      const deaf = async () => ({ ...createRedisBus(await connect()), publish: async () => undefined });
      const [one, two] = [
        await replica(guard(), { replica: "one", bus: await deaf() }),
        await replica(guard(), { replica: "two", bus: await deaf() }),
      ];
      const bus = await deaf();
      await raw.flushall();
      const late = await replica(guard(), { replica: "late", bus });
      const report = await late.setMode("guard", "disabled", patient);
      expect(report).toMatchObject({ converged: true, missing: [] });
      expect([...report.expected].sort()).toEqual(["late", "one", "two"]);
      for (const pipeline of [one, two]) expect((await call(pipeline)).allowed).toBe(true);
    });

    it("PF-I6 is begun anew when all that were in it have been away for too long, not by one that joins or leaves", async ({
      stage: { raw, connect },
    }) => {
      const bus = createRedisBus(await connect());
      expect((await bus.beat("one")).keptMs).toBeGreaterThan(1_000_000);
      expect(await bus.beat("two")).toMatchObject({ known: false, keptMs: expect.any(Number) });
      await bus.leave("one");
      await bus.leave("two");
      expect((await bus.beat("one")).keptMs).toBeGreaterThan(1_000_000);
      await raw.zadd("gw:{bus}:members", Date.now() - 7_000, "one");
      const { known, keptMs } = await bus.beat("two");
      expect(known).toBe(false);
      expect(keptMs).toBeLessThan(1_000);
    });

    it("PF-I6 until it is whole, a report that does not wait is not converged and says why", async ({
      stage: { raw, replica },
    }) => {
      const one = await replica(guard(), { replica: "one" });
      await raw.del("gw:{bus}:members");
      for (const options of [
        { waitFor: "none" },
        { waitFor: "quorum", timeoutMs: 50 },
        { timeoutMs: 50 },
      ] as const) {
        expect(await one.setMode("guard", "disabled", options)).toMatchObject({
          converged: false,
          reason: expect.stringContaining("list of replicas"),
        });
      }
      await eventually(async () => (await one.setMode("guard", "enforce", { waitFor: "quorum" })).converged);
    });

    it("PF-I6 is made anew at once when Redis is back, not at the next beat", async ({
      stage: { redis, raw, replica },
    }) => {
      // There is no next beat: what is back has come back by itself.
      const setTimer: Clock["setTimer"] = (callback, delayMs, options) =>
        delayMs === HEARTBEAT_MS
          ? { cancel: () => undefined }
          : systemClock.setTimer(callback, delayMs, options);
      const clock = { ...systemClock, setTimer };
      const names = ["one", "two", "three"];
      const pipelines = await Promise.all(names.map((name) => replica(guard(), { replica: name, clock })));
      await pipelines[0]!.setMode("guard", "enforce");
      await redis.restart();
      await eventually(async () => (await raw.zcount("gw:{bus}:members", 0, "+inf")) === 3);
      await eventually(async () => (await pipelines[0]!.setMode("guard", "disabled")).converged);
    });
  });

  describe("messages", () => {
    it("PF-I6 a SUBSCRIBE that is refused leaves nothing behind, is told once, and is made when it is allowed", async ({
      stage: { raw, connect, replica },
    }) => {
      await raw.call("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "+@all", "resetchannels");
      const alerts: ControlAlert[] = [];
      const connection = await connect({ username: "deaf", password: "pw" });
      const { subscriber } = connection;
      const listeners = () => subscriber.listenerCount("message") + subscriber.listenerCount("ready");
      const before = listeners();
      const deaf = await replica(guard(), {
        bus: createRedisBus(connection),
        timing: { pollMinMs: 10, pollMaxMs: 20 },
        observer: { controlAlert: (alert) => void alerts.push(alert) },
      });
      const refused = () => alerts.filter(({ kind }) => kind === "subscription_failed");
      const tried = async () => Number(/NOPERM:count=(\d+)/.exec(await raw.info("errorstats"))?.[1] ?? 0);
      await eventually(async () => (await tried()) > 10);
      // Those of the attempt that may be under way.
      expect(listeners()).toBeLessThanOrEqual(before + 2);
      expect(refused()).toHaveLength(1);
      expect(refused()[0]?.detail).toContain("NOPERM");
      await raw.call("ACL", "SETUSER", "deaf", "&gw:bus");
      await eventually(() => alerts.some(({ kind }) => kind === "subscription_restored"));
      expect(listeners()).toBe(before + 2);
      expect((await deaf.setMode("guard", "disabled")).converged).toBe(true);
    });

    it("PF-I6 a subscription refused after a reconnect is told and made again, too", async ({
      stage: { raw, connect, replica },
    }) => {
      await raw.call("ACL", "SETUSER", "half", "on", ">pw", "~*", "+@all", "allchannels");
      const kinds: string[] = [];
      // Nobody would hear of the refusal of a SUBSCRIBE that ioredis makes by itself.
      const connection = await connect({ username: "half", password: "pw", autoResubscribe: false });
      await replica(guard(), {
        bus: createRedisBus(connection),
        timing: { pollMinMs: 10, pollMaxMs: 20 },
        observer: { controlAlert: ({ kind }) => void kinds.push(kind) },
      });
      await raw.call("ACL", "SETUSER", "half", "resetchannels");
      await raw.call("CLIENT", "KILL", "TYPE", "pubsub");
      await eventually(() => kinds.includes("subscription_failed"));
      await raw.call("ACL", "SETUSER", "half", "allchannels");
      await eventually(() => kinds.includes("subscription_restored"));
    });

    it("PF-I2 a SUBSCRIBE that hangs makes no call wait, and is the only one", async ({
      stage: { connect, replica, call },
    }) => {
      const real = createRedisBus(await connect());
      let attempts = 0;
      const alerts: string[] = [];
      const bus = {
        ...real,
        subscribe: () => {
          attempts++;
          return new Promise<never>(() => undefined);
        },
      };
      // Leases end between two polls, so that calls renew them; a busy machine answers well within them.
      const timing = { pollMinMs: 1_100, pollMaxMs: 1_200, leaseMs: 1_000, renewMs: 2_000, storeMs: 1_000 };
      const observer = { controlAlert: ({ kind }: ControlAlert) => void alerts.push(kind) };
      const pipeline = await replica(guard(), { bus, timing, observer });
      const degraded: unknown[] = [];
      const startedAt = performance.now();
      await eventually(async () => {
        degraded.push((await call(pipeline)).records[0]?.degraded);
        return performance.now() - startedAt > 2_500;
      });
      expect(degraded.filter(Boolean)).toEqual([]);
      expect(attempts).toBe(1);
      expect(alerts).toEqual(["subscription_failed"]);
    });
  });

  it("a store that answers from the start is not told of, only that it is gone and is back", async ({
    stage: { redis, replica },
  }) => {
    const alerts: string[] = [];
    const pipeline = await replica(guard(), {
      timing: { pollMinMs: 10, pollMaxMs: 20, storeMs: 5_000 },
      observer: { controlAlert: ({ kind }) => void alerts.push(kind) },
    });
    expect(pipeline.list()).toMatchObject([{ degraded: false }]);
    expect(alerts).toEqual([]);
    const told = () => alerts.filter((kind) => kind.startsWith("store_"));
    await redis.stop();
    await eventually(() => told().length > 0);
    expect(told()).toEqual(["store_unreachable"]);
    await redis.restart();
    await eventually(() => told().length > 1);
    expect(told()).toEqual(["store_unreachable", "store_reachable"]);
  });

  describe("records", () => {
    it("PF-I5 a tenant's override is listed again when the index of scopes was lost, so a new replica follows it", async ({
      stage: { raw, replica },
    }) => {
      const old = await replica(guard());
      await old.setMode("guard", "disabled", { tenant: "acme" });
      await raw.del("gw:{bus}:scopes");
      await eventually(async () => (await raw.smembers("gw:{bus}:scopes")).includes("guard:t:acme"));
      const late = await replica(guard());
      expect(late.explainMode("guard", { tenantId: "acme" })).toMatchObject({
        mode: "disabled",
        layer: "tenant_override",
      });
    });

    it("PF-I2 a server that takes no writes is read from: an override that ended has ended, others stand", async ({
      stage: { raw, replica, call, stored },
    }) => {
      const names = ["ended", "stands"];
      const pipeline = await replica(names.map(guard));
      await pipeline.setMode("stands", "disabled");
      await pipeline.setMode("ended", "disabled", { ttlMs: 2_000, waitFor: "none" });
      await raw.config("SET", "maxmemory", "1");
      await eventually(() => pipeline.explainMode("ended").mode === "enforce");
      const startedAt = performance.now();
      await eventually(() => performance.now() - startedAt > 1_500);
      expect(names.map((name) => pipeline.explainMode(name))).toMatchObject([
        { mode: "enforce", degraded: false },
        { mode: "disabled", degraded: false },
      ]);
      const { records } = await call(pipeline);
      expect(records.map(({ degraded }) => degraded)).toEqual([undefined]);
      expect(await stored("_", "ended")).toMatchObject({ mode: "disabled", rev: 1 });
      await raw.config("SET", "maxmemory", "0");
      await eventually(async () => (await stored("_", "ended"))?.rev === 2);
    });

    it("PF-I2 a record that cannot be read leaves the others readable and its own plugin degraded", async ({
      stage: { raw, replica, call },
    }) => {
      const pipeline = await replica(["broken", "sound"].map(guard), { timing: { leaseMs: 600 } });
      await pipeline.setMode("sound", "disabled");
      await raw.del(controlKey("gw", "broken", "_"));
      await raw.lpush(controlKey("gw", "broken", "_"), "no record");
      await eventually(() => pipeline.explainMode("broken").degraded);
      const startedAt = performance.now();
      await eventually(() => performance.now() - startedAt > 1_000);
      expect(pipeline.explainMode("sound")).toMatchObject({ mode: "disabled", degraded: false });
      expect((await call(pipeline)).records).toMatchObject([{ plugin: "broken", degraded: true }]);
    });

    it("PF-I2 calls do not wait again and again for a record that cannot be read", async ({
      stage: { raw, connect, replica, call },
    }) => {
      const real = createRedisBus(await connect());
      let reads = 0;
      const bus = {
        ...real,
        read: (scopes: readonly string[]) => {
          reads++;
          return real.read(scopes);
        },
      };
      const pipeline = await replica(["broken", "sound"].map(guard), {
        bus,
        timing: { ...still, leaseMs: 5 },
      });
      await raw.lpush(controlKey("gw", "broken", "_"), "no record");
      await eventually(async () => (await call(pipeline)).records[0]?.degraded === true);
      const before = reads;
      for (let i = 0; i < 50; i++) expect((await call(pipeline)).allowed).toBe(false);
      expect(reads).toBe(before);
    });

    it("PF-I3 a switch is newer than the highest rev seen here, when the store fell back to an older record", async ({
      stage: { raw, replica, stored },
    }) => {
      const pipeline = await replica(guard(), { timing: still });
      for (const mode of ["disabled", "enforce", "permissive"] as const)
        await pipeline.setMode("guard", mode);
      const old = packRecord({ mode: "disabled", rev: 1, uuid: "old", wipeSeq: 1, setBy: "api" });
      for (const lane of ALL_LANES) await raw.set(controlKey("gw", "guard", lane), old);
      expect(await pipeline.setMode("guard", "enforce")).toMatchObject({
        rev: 4,
        previousMode: "permissive",
        converged: true,
      });
      expect(await stored("_")).toMatchObject({ mode: "enforce", rev: 4 });
      await raw.flushall();
      expect(await pipeline.setMode("guard", "disabled", { waitFor: "none" })).toMatchObject({ rev: 5 });
    });

    it("PF-I5 an override of a fraction of a millisecond, made while the store was away, can be read when it is back", async ({
      stage: { connect, replica, stored },
    }) => {
      const { client, subscriber } = await connect();
      const shared = createRedisBus({ client, subscriber });
      let away = true;
      const refuse = () => Promise.reject(new Error("Connection is closed."));
      const bus = {
        ...shared,
        read: (scopes: readonly string[]) => (away ? refuse() : shared.read(scopes)),
        write: (...args: Parameters<typeof shared.write>) => (away ? refuse() : shared.write(...args)),
      };
      const one = await replica(guard(), { bus });
      const report = await one.setMode("guard", "permissive", { ttlMs: 3_600_000.4, waitFor: "none" });
      expect(report).toMatchObject({ guarantee: "best-effort", mode: "permissive" });
      away = false;
      const record = await eventually(async () => (await stored("_")) ?? false);
      expect(record).toMatchObject({ mode: "permissive", rev: 1 });
      expect(Number.isSafeInteger(record.expiresAt)).toBe(true);
      expect((await replica(guard())).explainMode("guard").mode).toBe("permissive");
      expect(await shared.read(["guard"])).toMatchObject([{ mode: "permissive", rev: 1 }]);
    });

    it("PF-I4 toggling opens and closes no connection", async ({ stage: { redis, raw, replica, call } }) => {
      const pipeline = await replica(quotaPlugin(redis.client(), 5));
      const connections = async () => {
        const list = String(await raw.client("LIST"));
        const opened = /total_connections_received:(\d+)/.exec(await raw.info("stats"))?.[1];
        return [opened, ...list.matchAll(/^id=\d+/gm)].map(String).sort();
      };
      await call(pipeline);
      const before = await connections();
      for (const mode of ["disabled", "permissive", "enforce", "disabled", "enforce"] as const) {
        expect((await pipeline.setMode("quota", mode)).converged).toBe(true);
        await call(pipeline);
      }
      await pipeline.clearMode("quota");
      expect(await connections()).toEqual(before);
    });

    it("PF-I6 an acknowledgement that the store did not take is given again", async ({
      stage: { raw, connect, replica },
    }) => {
      const one = await replica(guard(), { replica: "one" });
      const real = createRedisBus(await connect());
      let refuse = true;
      const bus = {
        ...real,
        ack: (...args: Parameters<typeof real.ack>) =>
          refuse ? Promise.reject(new Error("OOM")) : real.ack(...args),
      };
      await replica(guard(), { replica: "two", bus });
      const first = await one.setMode("guard", "disabled", { timeoutMs: 300 });
      expect(first).toMatchObject({ converged: false, missing: ["two"] });
      refuse = false;
      await eventually(async () => {
        const [, at] =
          Object.entries(await raw.hgetall("gw:{bus}:acks:guard")).find(([name]) => name === "two") ?? [];
        return at?.startsWith(`${first.rev}|`) === true;
      });
    });
  });

  describe("copies in the lanes", () => {
    it("PF-I3 a switch is newer than a copy that outlived a failover ahead of the record", async ({
      stage: { raw, replica, stored },
    }) => {
      const pipeline = await replica(guard());
      await pipeline.setMode("guard", "permissive");
      const ahead = packRecord({ mode: "disabled", rev: 7, uuid: "lost", wipeSeq: 3, setBy: "bob" });
      await raw.set(controlKey("gw", "guard", "12"), ahead);
      const report = await pipeline.setMode("guard", "enforce");
      expect(report).toMatchObject({ rev: 8, mode: "enforce", converged: true });
      const copies = await Promise.all(ALL_LANES.map((lane) => stored(lane)));
      expect(copies).toEqual(ALL_LANES.map(() => copies[0]));
      expect(copies[0]).toMatchObject({ mode: "enforce", rev: 8, wipeSeq: 3 });
    });

    it("PF-I6 committedAt is after the last of them was written", async ({
      stage: { connect, replica, stored },
    }) => {
      const connection = await connect();
      const { client } = connection;
      const last = controlKey("gw", "guard", "63");
      const [held, reached] = [deferred(), deferred()];
      const slow = new Proxy(client, {
        get(target, name) {
          const member = Reflect.get(target, name);
          if (typeof member !== "function") return member;
          return async (...args: unknown[]) => {
            if (args.includes(last)) {
              reached.resolve();
              await held.promise;
            }
            return member.apply(target, args);
          };
        },
      });
      const pipeline = await replica(guard(), { bus: createRedisBus({ ...connection, client: slow }) });
      const switching = pipeline.setMode("guard", "disabled");
      await reached.promise;
      await eventually(async () => (await stored("62"))?.rev === 1);
      const releasedAt = Date.now();
      held.resolve();
      const { committedAt } = await switching;
      expect(committedAt).toBeGreaterThanOrEqual(releasedAt);
      expect(await stored("63")).toMatchObject({ rev: 1 });
    });

    it("PF-I1 a reading from a copy that is ahead brings the record up to it", async ({
      stage: { redis, raw, replica, call, stored },
    }) => {
      const alerts: string[] = [];
      const observer = { controlAlert: ({ kind }: ControlAlert) => void alerts.push(kind) };
      const pipeline = await replica(quotaPlugin(redis.client(), 0), { observer });
      await pipeline.setMode("quota", "permissive");
      const ahead = packRecord({ mode: "disabled", rev: 7, uuid: "lost", wipeSeq: 0, setBy: "bob" });
      await raw.set(controlKey("gw", "quota", laneOf("acme")), ahead);
      expect(await call(pipeline, "acme")).toMatchObject({ allowed: true, shadowViolations: [] });
      await eventually(() => pipeline.explainMode("quota").rev === 7);
      expect(pipeline.explainMode("quota").mode).toBe("disabled");
      for (const lane of ALL_LANES)
        expect(await stored(lane, "quota")).toMatchObject({ rev: 7, uuid: "lost" });
      expect(alerts).toContain("record_reasserted");
    });

    it("PF-I1 where a copy was lost the last known mode decides, though the file says disabled", async ({
      stage: { redis, raw, replica, call, stored },
    }) => {
      // So slow that it is not repaired meanwhile.
      const pipeline = await replica(quotaPlugin(redis.client(), 2), { timing: still }, "disabled");
      await pipeline.setMode("quota", "enforce");
      await raw.del(controlKey("gw", "quota", laneOf("acme")));
      const answers = [await call(pipeline, "acme"), await call(pipeline, "acme")];
      for (const answer of answers) {
        expect(answer.allowed).toBe(true);
        expect(answer.records).toMatchObject([{ mode: "enforce", status: "completed" }]);
      }
      const third = await call(pipeline, "acme");
      expect(third).toMatchObject({ allowed: false, violation: { code: "rate_limited" } });
      expect(third.records[0]?.degraded).toBeUndefined();
      expect(await stored(laneOf("acme"), "quota")).toBeUndefined();
    });

    it("PF-I1 what is let through because a copy lags is marked degraded", async ({
      stage: { redis, raw, replica, call, stored },
    }) => {
      const pipeline = await replica(quotaPlugin(redis.client(), 0), { timing: still });
      await pipeline.setMode("quota", "disabled");
      const old = packRecord((await stored("_", "quota"))!);
      await pipeline.setMode("quota", "enforce");
      await raw.set(controlKey("gw", "quota", laneOf("acme")), old);
      expect((await call(pipeline, "acme")).records).toMatchObject([{ mode: "enforce", degraded: true }]);
      expect(await call(pipeline, "umbrella")).toMatchObject({ allowed: false });
    });

    it("PF-I1 a copy that was lost is put back at once and told", async ({
      stage: { redis, raw, replica, call, stored },
    }) => {
      const alerts: string[] = [];
      const observer = { controlAlert: ({ kind }: ControlAlert) => void alerts.push(kind) };
      const pipeline = await replica(quotaPlugin(redis.client(), 0), { observer, timing: still }, "disabled");
      for (const mode of ["permissive", "enforce"] as const) await pipeline.setMode("quota", mode);
      await raw.del(controlKey("gw", "quota", laneOf("acme")));
      expect(await call(pipeline, "acme")).toMatchObject({ allowed: false });
      await eventually(() => alerts.includes("record_lost") && alerts.includes("record_reasserted"));
      expect(await stored(laneOf("acme"), "quota")).toMatchObject({ mode: "enforce", rev: 2 });
    });

    it("PF-I1 the first copy of all may be on its way: it is looked for again before it is put back", async ({
      stage: { redis, raw, replica, call, stored },
    }) => {
      const timing = { ...still, pollMinMs: 20 };
      const pipeline = await replica(quotaPlugin(redis.client(), 0), { timing }, "disabled");
      await pipeline.setMode("quota", "enforce");
      await raw.del(controlKey("gw", "quota", laneOf("acme")));
      expect(await call(pipeline, "acme")).toMatchObject({ allowed: false });
      await eventually(async () => (await stored(laneOf("acme"), "quota"))?.rev === 1);
    });
  });
});
