import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  type ControlAlert,
  createInProcessBus,
  createPluginPipeline,
  definePlugin,
  type LifecycleFailure,
  type ModeChange,
  type ModeEvent,
  type PluginInstance,
} from "../src/index.ts";
import { deferred, fakeTime, toolCall, toolPlugin, violation } from "./support.ts";

/** A plugin that writes down what happens to its instances. */
function logged(name: string, log: string[], instance: Partial<PluginInstance> = {}) {
  let born = 0;
  return definePlugin({
    name,
    version: "1.0.0",
    description: "logs its life",
    hooks: { tool_pre_invoke: {} },
    configSchema: z.strictObject({ v: z.int().default(1), wait: z.custom<Promise<void>>().optional() }),
    create: ({ v, wait }) => {
      const id = `${name}#${++born}`;
      return {
        hooks: {
          tool_pre_invoke: async () => {
            await wait;
            return { headers: { id: `${id}v${v}` } };
          },
        },
        initialize: () => void log.push(`init ${id}`),
        shutdown: () => void log.push(`stop ${id}`),
        ...instance,
      };
    },
  });
}

describe("lifecycle", () => {
  it("PF-9 a reload with a call in flight: initialize, swap, the call ends on the old snapshot, then shutdown", async () => {
    const log: string[] = [];
    const hold = deferred();
    const [changing, steady] = [logged("changing", log), logged("steady", log)];
    const config = (v: number, wait?: Promise<void>) => ({
      plugins: [{ use: changing, config: { v, ...(wait === undefined ? {} : { wait }) } }, { use: steady }],
    });
    await using pipeline = await createPluginPipeline(config(1, hold.promise));
    const old = pipeline.begin({ requestId: "old" });
    let aborted = false;
    const inFlight = Promise.resolve(old.invoke("tool_pre_invoke", toolCall)).catch(() => {
      aborted = true;
    });
    const report = await pipeline.reload(config(2));
    expect(report).toMatchObject({ added: [], removed: [], replaced: ["changing"], kept: ["steady"] });
    expect(log).toEqual(["init changing#1", "init steady#1", "init changing#2"]);
    const fresh = pipeline.begin({ requestId: "new" });
    expect((await fresh.invoke("tool_pre_invoke", toolCall)).headers["id"]).toBe("steady#1v1");
    fresh.end();
    expect(log).toHaveLength(3);
    hold.resolve();
    expect(await inFlight).toMatchObject({
      allowed: true,
      records: [{ plugin: "changing" }, { plugin: "steady" }],
    });
    expect(aborted).toBe(false);
    expect(log).toHaveLength(3);
    old.end();
    await report.drained;
    expect(log).toEqual(["init changing#1", "init steady#1", "init changing#2", "stop changing#1"]);
  });

  it("PF-R9 force starts and stops everything; added and removed plugins are named", async () => {
    const log: string[] = [];
    const [a, b] = [logged("a", log), logged("b", log)];
    await using pipeline = await createPluginPipeline({ plugins: [{ use: a }] });
    const forced = await pipeline.reload({ plugins: [{ use: a }] }, { force: true });
    await forced.drained;
    expect(forced.replaced).toEqual(["a"]);
    expect(log).toEqual(["init a#1", "init a#2", "stop a#1"]);
    const swapped = await pipeline.reload({ plugins: [{ use: b }] });
    await swapped.drained;
    expect(swapped).toMatchObject({ added: ["b"], removed: ["a"] });
    expect(log.slice(3)).toEqual(["init b#1", "stop a#2"]);
    await expect(pipeline.reload({ plugins: [{ use: b, mod: 1 } as never] })).rejects.toThrow("mod");
    expect(pipeline.list().map(({ plugin }) => plugin)).toEqual(["b"]);
  });

  it("PF-R9 a disabled plugin is created only when it is first needed", async () => {
    const log: string[] = [];
    await using pipeline = await createPluginPipeline({
      plugins: [{ use: logged("lazy", log), mode: "disabled" }],
    });
    using scope = pipeline.begin({ requestId: "r" });
    await scope.invoke("tool_pre_invoke", toolCall);
    expect(pipeline.list()).toMatchObject([{ state: "idle" }]);
    await pipeline.setMode("lazy", "enforce");
    expect(log).toEqual(["init lazy#1"]);
    expect((await scope.invoke("tool_pre_invoke", toolCall)).headers).toEqual({ id: "lazy#1v1" });
    const unused: string[] = [];
    const never = await createPluginPipeline({
      plugins: [{ use: logged("never", unused), mode: "disabled" }],
    });
    await never.close();
    expect(unused).toEqual([]);
  });

  it("PF-R9 a plugin needed before it is ready is waited for", async () => {
    const gate = deferred();
    const use = logged("slow", [], { initialize: () => gate.promise });
    const bindings = [{ plugin: "slow", tenant: "t", mode: "enforce" as const }];
    await using pipeline = await createPluginPipeline({ plugins: [{ use, mode: "disabled" }], bindings });
    using scope = pipeline.begin({ requestId: "r", tenantId: "t" });
    const pending = scope.invoke("tool_pre_invoke", toolCall);
    expect(pending).toBeInstanceOf(Promise);
    gate.resolve();
    expect(await pending).toMatchObject({ headers: { id: "slow#1v1" } });
  });

  it("PF-R9 one that throws in create, initialize or shutdown is reported and does not break the swap", async () => {
    const failures: LifecycleFailure[] = [];
    const boom = () => {
      throw new Error("boom");
    };
    const observer = { lifecycleFailure: (failure: LifecycleFailure) => void failures.push(failure) };
    const unborn = toolPlugin("unborn", () => undefined, {}, { create: boom });
    const stillborn = logged("stillborn", [], { initialize: boom });
    const zombie = logged("zombie", [], { shutdown: boom, onModeChange: boom });
    const plugins = [
      { use: unborn, onError: "ignore" as const },
      { use: stillborn, onError: "ignore" as const },
      { use: zombie },
    ];
    await using pipeline = await createPluginPipeline({ plugins }, { observer });
    using scope = pipeline.begin({ requestId: "r" });
    const { records } = await scope.invoke("tool_pre_invoke", toolCall);
    expect(records.map(({ status }) => status)).toEqual(["error", "error", "completed"]);
    await pipeline.setMode("zombie", "disabled");
    scope.end();
    const { drained } = await pipeline.reload({ plugins: [] });
    await drained;
    expect(failures.map(({ plugin, step }) => `${plugin} ${step}`)).toEqual([
      "unborn create",
      "stillborn initialize",
      "zombie mode_change",
      "zombie shutdown",
    ]);
    await using strict = await createPluginPipeline({ plugins: [{ use: unborn }] });
    using other = strict.begin({ requestId: "r" });
    expect(() => other.invoke("tool_pre_invoke", toolCall)).toThrow("boom");
  });

  it("PF-R9 the drain has a deadline, initialize and shutdown too", async () => {
    const { fake, clock } = fakeTime();
    const log: string[] = [];
    const hang = () => new Promise<void>(() => undefined);
    const failures: string[] = [];
    const observer = { lifecycleFailure: ({ step }: LifecycleFailure) => void failures.push(step) };
    const stuck = logged("stuck", log, { initialize: hang });
    const opening = createPluginPipeline(
      { plugins: [{ use: stuck }], limits: { timeoutMs: 100 } },
      { clock, observer },
    );
    await fake.advance(101);
    const pipeline = await opening;
    expect(failures).toEqual(["initialize"]);
    const slow = logged("slow", log, { shutdown: hang });
    await pipeline.reload({ plugins: [{ use: slow }], limits: { timeoutMs: 100, drainMs: 1_000 } });
    pipeline.begin({ requestId: "never ended" });
    const closing = pipeline.close();
    expect(pipeline.close()).toBe(closing);
    expect(() => pipeline.begin({ requestId: "late" })).toThrow("closed");
    await fake.advance(1_001);
    await fake.advance(101);
    await closing;
    expect(failures).toEqual(["initialize", "shutdown"]);
    await expect(pipeline.reload({ plugins: [] })).rejects.toMatchObject({ code: "conflict" });
  });

  it("PF-R9 background handlers hold their snapshot until they end", async () => {
    const log: string[] = [];
    const hold = deferred();
    const use = definePlugin({
      name: "bg",
      version: "1",
      description: "",
      hooks: { tool_pre_invoke: { phase: "fire_and_forget" } },
      create: () => ({
        hooks: { tool_pre_invoke: () => hold.promise },
        shutdown: () => void log.push("stop"),
      }),
    });
    await using pipeline = await createPluginPipeline({ plugins: [{ use }] });
    const scope = pipeline.begin({ requestId: "r" });
    await scope.invoke("tool_pre_invoke", toolCall);
    scope.end();
    const { drained } = await pipeline.reload({ plugins: [] });
    expect(log).toEqual([]);
    hold.resolve();
    await drained;
    expect(log).toEqual(["stop"]);
  });
});

describe("modes over time", () => {
  const guard = (instance: Partial<PluginInstance> = {}) =>
    toolPlugin("guard", () => ({ block: violation }), {}, { instance });

  it("PF-R12 every change of mode is an event with plugin, scope, previous, next, rev, setBy and at", async () => {
    const { clock } = fakeTime();
    const events: ModeEvent[] = [];
    const observer = { modeChange: (event: ModeEvent) => void events.push(event) };
    const use = toolPlugin("frail", () => {
      throw new Error("x");
    });
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use: guard() }, { use, onError: "disable" }] },
      { observer, clock },
    );
    await pipeline.setMode("guard", "disabled", { setBy: "ann" });
    await pipeline.setMode("guard", "disabled", { setBy: "bob" });
    await pipeline.setMode("guard", "permissive", { tenant: "a:b", setBy: "eve" });
    await pipeline.clearMode("guard", { setBy: "ann" });
    await pipeline.reload({
      plugins: [
        { use: guard(), mode: "permissive" },
        { use, onError: "disable" },
      ],
    });
    using scope = pipeline.begin({ requestId: "r" });
    await scope.invoke("tool_pre_invoke", toolCall);
    const at = clock.wallNow();
    expect(events).toEqual([
      { plugin: "guard", scope: "guard", previous: "enforce", next: "disabled", rev: 1, setBy: "ann", at },
      {
        plugin: "guard",
        scope: "guard:t:a%3Ab",
        previous: "disabled",
        next: "permissive",
        rev: 1,
        setBy: "eve",
        at,
      },
      { plugin: "guard", scope: "guard", previous: "disabled", next: "enforce", rev: 3, setBy: "ann", at },
      {
        plugin: "guard",
        scope: "guard",
        previous: "enforce",
        next: "permissive",
        rev: 3,
        setBy: "reload",
        at,
      },
      {
        plugin: "frail",
        scope: "frail",
        previous: "enforce",
        next: "disabled",
        rev: 0,
        setBy: "onError",
        at,
      },
    ]);
    await pipeline.setMode("frail", "enforce");
    expect(pipeline.explainMode("frail")).toMatchObject({ mode: "enforce", layer: "global_override" });
  });

  it("PF-I4 toggling rebuilds nothing and tells the plugin, with a wipe when it goes off", async () => {
    const log: string[] = [];
    const changes: ModeChange[] = [];
    const use = logged("one", log, {
      onModeChange: (change) => void changes.push(change),
      stats: () => ({ n: 1 }),
    });
    await using pipeline = await createPluginPipeline({ plugins: [{ use }] });
    await pipeline.setMode("one", "disabled");
    await pipeline.setMode("one", "enforce", { wipe: "always" });
    await pipeline.setMode("one", "permissive", { wipe: "never" });
    await pipeline.setMode("one", "permissive");
    await pipeline.setMode("one", "disabled", { tenant: "t", wipe: "never" });
    expect(log).toEqual(["init one#1"]);
    expect(changes).toMatchObject([
      { previous: "enforce", next: "disabled", rev: 1, wipeSeq: 1, wipe: true, cause: "set" },
      { previous: "disabled", next: "enforce", rev: 2, wipeSeq: 2, wipe: true },
      { previous: "enforce", next: "permissive", rev: 3, wipeSeq: 2, wipe: false },
      { previous: "permissive", next: "disabled", rev: 1, wipeSeq: 0, wipe: false, tenant: "t" },
    ]);
    expect(pipeline.list()).toMatchObject([
      { mode: "permissive", rev: 4, wipeSeq: 2, setBy: "api", stats: { n: 1 } },
    ]);
  });

  it("PF-8 an override without ttl holds after 25 hours, one with a ttl reverts once and tells", async () => {
    const { fake, clock } = fakeTime();
    const alerts: ControlAlert[] = [];
    const events: ModeEvent[] = [];
    const bus = createInProcessBus({ clock });
    const observer = {
      controlAlert: (alert: ControlAlert) => void alerts.push(alert),
      modeChange: (event: ModeEvent) => void events.push(event),
    };
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use: guard() }] },
      { bus, clock, observer },
    );
    await pipeline.setMode("guard", "disabled");
    await fake.advance(25 * 3_600_000);
    expect(pipeline.explainMode("guard").mode).toBe("disabled");
    await pipeline.setMode("guard", "permissive", { ttlMs: 60_000 });
    expect(pipeline.list()[0]?.expiresAt).toBe(clock.wallNow() + 60_000);
    await fake.advance(59_000);
    expect(pipeline.explainMode("guard").mode).toBe("permissive");
    await fake.advance(1_100);
    expect(pipeline.explainMode("guard")).toMatchObject({ mode: "enforce", layer: "file", rev: 3 });
    await fake.advance(3_600_000);
    expect(alerts.filter(({ kind }) => kind === "override_expired")).toHaveLength(1);
    expect(events.map(({ next, rev }) => [next, rev])).toEqual([
      ["disabled", 1],
      ["permissive", 2],
      ["enforce", 3],
    ]);
  });

  it("PF-8 a tenant's override with a ttl ends by itself though nobody calls", async () => {
    const { fake, clock } = fakeTime();
    const ended: (string | undefined)[] = [];
    const observer = {
      controlAlert: ({ kind, scope }: ControlAlert) =>
        void (kind === "override_expired" && ended.push(scope)),
    };
    await using pipeline = await createPluginPipeline({ plugins: [{ use: guard() }] }, { clock, observer });
    await pipeline.setMode("guard", "disabled", { tenant: "acme", ttlMs: 1_000 });
    await fake.advance(1_002);
    expect(ended).toEqual(["guard:t:acme"]);
    expect(pipeline.explainMode("guard", { tenantId: "acme" })).toMatchObject({ mode: "enforce", rev: 0 });
  });

  it("PF-I6 waits for none, a quorum or all, and names who is missing", async () => {
    const bus = createInProcessBus();
    await using one = await createPluginPipeline({ plugins: [{ use: guard() }] }, { bus, replica: "one" });
    const hold = deferred();
    const stuck = guard({ onModeChange: () => hold.promise });
    await using two = await createPluginPipeline({ plugins: [{ use: stuck }] }, { bus, replica: "two" });
    await bus.beat("ghost");
    const report = await one.setMode("guard", "disabled", { timeoutMs: 30 });
    expect(report).toMatchObject({
      converged: false,
      missing: ["two", "ghost"],
      acked: [{ replica: "one" }],
      guarantee: "fenced",
    });
    expect(report.reason).toBe("no acknowledgement from 2 of 3 replicas");
    expect(report.committedAt).toBeGreaterThan(0);
    expect(two.explainMode("guard").mode).toBe("disabled");
    hold.resolve();
    const quorum = await one.setMode("guard", "enforce", { waitFor: "quorum", timeoutMs: 5_000 });
    expect(quorum.acked.length).toBeGreaterThanOrEqual(2);
    const none = await one.setMode("guard", "disabled", { waitFor: "none" });
    expect(none.maxMs).toBeLessThan(2_500);
    await eventually(() => two.explainMode("guard").rev === 3);
  });

  it("PF-I5 clearMode returns to the file and keeps the rev rising", async () => {
    await using pipeline = await createPluginPipeline({ plugins: [{ use: guard(), mode: "permissive" }] });
    expect(await pipeline.setMode("guard", "enforce")).toMatchObject({
      rev: 1,
      previousMode: "permissive",
      mode: "enforce",
    });
    expect(await pipeline.clearMode("guard")).toMatchObject({
      rev: 2,
      previousMode: "enforce",
      mode: "permissive",
      wipe: false,
    });
    expect(pipeline.explainMode("guard")).toMatchObject({ mode: "permissive", layer: "file", rev: 2 });
    expect(await pipeline.clearMode("guard")).toMatchObject({ rev: 3 });
  });
});
