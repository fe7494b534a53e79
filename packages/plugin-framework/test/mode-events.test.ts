import { describe, expect, it } from "vitest";
import {
  type ControlBus,
  createInProcessBus,
  createPluginPipeline,
  type ModeChange,
  type ModeEvent,
  type PipelineConfig,
  type PipelineDeps,
} from "../src/index.ts";
import { fakeTime, toolCall, toolPlugin } from "./support.ts";

/** A pipeline that writes down its events, and what its plugin `guard` is told. */
async function watched(config: Omit<PipelineConfig, "plugins">, deps: PipelineDeps = {}) {
  const events: string[] = [];
  const told: Partial<ModeChange>[] = [];
  const onModeChange = ({ tenant, previous, next, wipe, cause }: ModeChange) =>
    void told.push({ ...(tenant && { tenant }), previous, next, wipe, cause });
  const use = toolPlugin("guard", () => undefined, {}, { modeAuthority: true, instance: { onModeChange } });
  const observer = {
    modeChange: ({ scope, previous, next, rev, setBy }: ModeEvent) =>
      void events.push(`${scope} ${previous} ${next} ${rev} ${setBy}`),
  };
  const pipeline = await createPluginPipeline({ plugins: [{ use }], ...config }, { observer, ...deps });
  return { pipeline, events, told };
}

const acme = { plugin: "guard", tenant: "acme" };

describe("changes of a mode that only some feel", () => {
  it("PF-R12 a global override that hides a tenant's binding, or lets it show again, is an event for that tenant", async () => {
    const { pipeline, events, told } = await watched({
      bindings: [
        { ...acme, mode: "disabled" },
        { ...acme, tenant: "b", mode: "enforce" },
      ],
    });
    await using _ = pipeline;
    const setBy = "ann";
    expect(await pipeline.setMode("guard", "enforce", { setBy })).toMatchObject({ wipe: false });
    expect(await pipeline.clearMode("guard", { setBy })).toMatchObject({ wipe: true });
    expect(events).toEqual(["guard:t:acme disabled enforce 1 ann", "guard:t:acme enforce disabled 2 ann"]);
    expect(told).toEqual([
      { tenant: "acme", previous: "disabled", next: "enforce", wipe: false, cause: "set" },
      { tenant: "acme", previous: "enforce", next: "disabled", wipe: false, cause: "clear" },
      { tenant: "acme", previous: "disabled", next: "disabled", wipe: true, cause: "clear" },
    ]);
    // What everyone feels is said once, and a tenant with an override of its own feels nothing.
    await pipeline.setMode("guard", "disabled", { setBy });
    expect(events.slice(2)).toEqual(["guard enforce disabled 3 ann"]);
    await pipeline.setMode("guard", "permissive", { tenant: "acme", setBy });
    await pipeline.clearMode("guard", { setBy });
    expect(events.slice(3)).toEqual([
      "guard:t:acme disabled permissive 2 ann",
      "guard disabled enforce 4 ann",
    ]);
  });

  it("no wipe where the operator says never", async () => {
    const { pipeline, told } = await watched({ bindings: [{ ...acme, mode: "disabled" }] });
    await using _ = pipeline;
    await pipeline.setMode("guard", "enforce");
    expect(await pipeline.clearMode("guard", { wipe: "never" })).toMatchObject({ wipe: false });
    expect(told.some(({ wipe }) => wipe)).toBe(false);
  });

  it("the end of an override lets a binding show, too", async () => {
    const { fake, clock } = fakeTime();
    const { pipeline, events, told } = await watched(
      { bindings: [{ ...acme, mode: "disabled" }] },
      { clock },
    );
    await using _ = pipeline;
    await pipeline.setMode("guard", "enforce", { ttlMs: 1_000 });
    await fake.advance(1_002);
    expect(pipeline.explainMode("guard", { tenantId: "acme" }).mode).toBe("disabled");
    expect(events).toEqual(["guard:t:acme disabled enforce 1 api", "guard:t:acme enforce disabled 2 api"]);
    expect(told.slice(1)).toMatchObject([
      { tenant: "acme", previous: "enforce", next: "disabled", cause: "expiry" },
      { tenant: "acme", next: "disabled", wipe: true },
    ]);
  });
});

describe("a plugin that onError switched off", () => {
  it("PF-R12 is told, and said, to be on again; a switch reports that it was off", async () => {
    const events: string[] = [];
    const told: string[] = [];
    const observer = {
      modeChange: ({ previous, next, setBy }: ModeEvent) => void events.push(`${previous} ${next} ${setBy}`),
    };
    const onModeChange = ({ cause, next }: ModeChange) => void told.push(`${cause} ${next}`);
    const boom = () => {
      throw new Error("x");
    };
    const use = toolPlugin("frail", boom, {}, { instance: { onModeChange } });
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use, onError: "disable" }] },
      { observer },
    );
    const fail = async () => {
      using scope = pipeline.begin({ requestId: "r" });
      await scope.invoke("tool_pre_invoke", toolCall);
    };
    await fail();
    expect([pipeline.enable("frail"), pipeline.enable("frail")]).toEqual([true, false]);
    await fail();
    expect(await pipeline.setMode("frail", "enforce")).toMatchObject({
      previousMode: "disabled",
      mode: "enforce",
    });
    await fail();
    expect(await pipeline.clearMode("frail")).toMatchObject({ previousMode: "disabled" });
    expect(pipeline.explainMode("frail")).toMatchObject({ mode: "disabled", layer: "on_error" });
    expect(events).toEqual([
      "enforce disabled onError",
      "disabled enforce enable",
      "enforce disabled onError",
      "disabled enforce api",
      "enforce disabled onError",
    ]);
    expect(told).toEqual([
      "on_error disabled",
      "enable enforce",
      "on_error disabled",
      "set enforce",
      "on_error disabled",
    ]);
  });
});

describe("switches at the same time", () => {
  it("each reports the mode that the one before it left", async () => {
    const { pipeline, events } = await watched({});
    await using _ = pipeline;
    const reports = await Promise.all([
      pipeline.setMode("guard", "disabled"),
      pipeline.setMode("guard", "permissive"),
      pipeline.clearMode("guard"),
      pipeline.setMode("guard", "disabled"),
    ]);
    const turns = reports.map(({ previousMode, mode, wipe }) => [previousMode, mode, wipe]);
    expect(turns).toEqual([
      ["enforce", "disabled", true],
      ["disabled", "permissive", false],
      ["permissive", "enforce", false],
      ["enforce", "disabled", true],
    ]);
    expect(events.map((event) => event.split(" ", 3).slice(1))).toEqual(
      turns.map(([previous, next]) => [previous, next]),
    );
  });

  it("one that another process has made, and this one has not read yet, is the one before", async () => {
    const bus: ControlBus = { ...createInProcessBus(), synchronous: false, publish: async () => undefined };
    const deaf: ControlBus = { ...bus, subscribe: async () => () => undefined };
    const timing = { pollMinMs: 60_000, pollMaxMs: 60_000 };
    await using one = (await watched({}, { bus: deaf, timing, replica: "one" })).pipeline;
    await using two = (await watched({}, { bus: deaf, timing, replica: "two" })).pipeline;
    await one.setMode("guard", "permissive", { waitFor: "none" });
    expect(two.explainMode("guard").mode).toBe("enforce");
    expect(await two.setMode("guard", "disabled", { waitFor: "none" })).toMatchObject({
      previousMode: "permissive",
      mode: "disabled",
      rev: 2,
    });
  });

  it("a tenant whom its binding switches off again is wiped by the switch that let the binding show", async () => {
    const { pipeline, told } = await watched({ bindings: [{ ...acme, mode: "disabled" }] });
    await using _ = pipeline;
    const reports = await Promise.all([pipeline.setMode("guard", "enforce"), pipeline.clearMode("guard")]);
    expect(reports.map(({ wipe }) => wipe)).toEqual([false, true]);
    expect(told.filter(({ wipe }) => wipe)).toMatchObject([{ tenant: "acme", next: "disabled" }]);
  });
});

describe("tenants' overrides", () => {
  it("are counted while they are in force", async () => {
    const { pipeline } = await watched({ limits: { tenantOverrides: 2 } });
    await using _ = pipeline;
    for (const tenant of ["a", "b", "c"]) {
      await pipeline.setMode("guard", "disabled", { tenant });
      await pipeline.clearMode("guard", { tenant });
    }
    await pipeline.setMode("guard", "disabled", { tenant: "a" });
    await pipeline.setMode("guard", "disabled", { tenant: "d" });
    await pipeline.setMode("guard", "permissive", { tenant: "d" });
    await expect(pipeline.setMode("guard", "disabled", { tenant: "b" })).rejects.toMatchObject({
      code: "conflict",
      details: { plugin: "guard", limit: 2 },
    });
    await pipeline.clearMode("guard", { tenant: "b" });
  });
});
