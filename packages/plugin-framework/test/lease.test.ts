import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import {
  type ControlBus,
  createInProcessBus,
  createPluginPipeline,
  DEFAULT_TIMING,
  type HookDeclaration,
  type HookRecord,
  type PluginDefinition,
} from "../src/index.ts";
import { fakeTime, movableTime, toolCall, toolPlugin, violation } from "./support.ts";

const timing = { pollMinMs: 60_000, pollMaxMs: 60_000, leaseMs: 10_000, renewMs: 5_000 };
const { clock, pass } = movableTime();

/** A bus that is read only when a lease has run out: no frames arrive, the poll is far off. */
function deafBus(): {
  readonly bus: ControlBus;
  readonly shared: ControlBus;
  break(how: () => Promise<never>): void;
} {
  const shared = createInProcessBus();
  let broken: (() => Promise<never>) | undefined;
  const bus: ControlBus = {
    ...shared,
    synchronous: false,
    subscribe: async () => () => undefined,
    read: (scopes) => broken?.() ?? shared.read(scopes),
  };
  return {
    bus,
    shared,
    break: (how) => {
      broken = how;
    },
  };
}

const fenced = (handler: Parameters<typeof toolPlugin>[1], hook: HookDeclaration = {}): PluginDefinition =>
  toolPlugin("local", handler, hook, { modeAuthority: true });

const expire = () => pass(timing.leaseMs + 1);

describe("PF-I2 decisions without the store need a lease", () => {
  const refuse = () => ({ block: violation });
  const handlers = {
    "a synchronous refusal": fenced(refuse),
    "an asynchronous refusal": fenced(async () => refuse()),
    "a concurrent refusal": fenced(async () => refuse(), { phase: "concurrent" }),
  };

  for (const [title, use] of Object.entries(handlers)) {
    it(`PF-I2 ${title} of a fenced plugin without authority is judged by the mode after one read`, async () => {
      const { bus, shared } = deafBus();
      await using admin = await createPluginPipeline(
        { plugins: [{ use }] },
        { bus: shared, replica: "admin" },
      );
      await using pipeline = await createPluginPipeline(
        { plugins: [{ use }] },
        { bus, replica: "deaf", timing, clock },
      );
      await admin.setMode("local", "permissive", { waitFor: "none" });
      expire();
      using scope = pipeline.begin({ requestId: "r" });
      const result = await scope.invoke("tool_pre_invoke", toolCall);
      expect(result).toMatchObject({ allowed: true, records: [{ mode: "permissive", status: "blocked" }] });
      expect(result.shadowViolations).toHaveLength(1);
    });
  }

  it("PF-I2 an error of a fenced plugin is judged by the mode after one read, too", async () => {
    const { bus, shared } = deafBus();
    const use = fenced(() => {
      throw new Error("the store is away");
    });
    await using admin = await createPluginPipeline({ plugins: [{ use }] }, { bus: shared, replica: "admin" });
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use }] },
      { bus, replica: "deaf", timing, clock },
    );
    await admin.setMode("local", "permissive", { waitFor: "none" });
    expire();
    using scope = pipeline.begin({ requestId: "r" });
    expect(await scope.invoke("tool_pre_invoke", toolCall)).toMatchObject({
      allowed: true,
      records: [{ status: "error" }],
    });
  });

  it("PF-I2 a fenced reply renews the lease, so that a local decision right after it reads nothing", async () => {
    const { bus } = deafBus();
    let reads = 0;
    const counted: ControlBus = {
      ...bus,
      read: (scopes) => {
        reads++;
        return bus.read(scopes);
      },
    };
    const answers = [{ authority: { mode: "enforce", rev: 0 } }, undefined, undefined] as const;
    let call = 0;
    const use = fenced(() => answers[call++]);
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use }] },
      { bus: counted, timing, clock },
    );
    expire();
    const before = reads;
    using scope = pipeline.begin({ requestId: "r" });
    await scope.invoke("tool_pre_invoke", toolCall);
    await scope.invoke("tool_pre_invoke", toolCall);
    expect(reads).toBe(before);
    expire();
    await scope.invoke("tool_pre_invoke", toolCall);
    expect(reads).toBe(before + 1);
  });

  it("PF-I2 with the record unreadable the last known mode decides, marked degraded", async () => {
    const { bus, break: breakBus } = deafBus();
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use: fenced(refuse) }] },
      { bus, timing, clock },
    );
    breakBus(() => Promise.reject(new Error("away")));
    expire();
    using scope = pipeline.begin({ requestId: "r" });
    const results = [
      await scope.invoke("tool_pre_invoke", toolCall),
      await scope.invoke("tool_pre_invoke", toolCall),
    ];
    for (const result of results) {
      expect(result).toMatchObject({ allowed: false, records: [{ mode: "enforce", degraded: true }] });
    }
    expect(pipeline.explainMode("local").degraded).toBe(true);
  });

  it("PF-I2 background handlers renew the lease before they run", async () => {
    const { bus, shared } = deafBus();
    const records: HookRecord[] = [];
    const use = toolPlugin("local", () => undefined, { phase: "fire_and_forget" });
    await using admin = await createPluginPipeline({ plugins: [{ use }] }, { bus: shared, replica: "admin" });
    const observer = { record: (record: HookRecord) => void records.push(record) };
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use }] },
      { bus, replica: "deaf", timing, clock, observer },
    );
    await admin.setMode("local", "disabled", { waitFor: "none" });
    expire();
    using scope = pipeline.begin({ requestId: "r" });
    await scope.invoke("tool_pre_invoke", toolCall);
    await eventually(() => records.length === 1);
    expect(records).toMatchObject([{ status: "disabled" }]);
  });

  it("PF-I2 a read that takes longer than its bound counts as unreadable", async () => {
    const { bus, break: breakBus } = deafBus();
    const use = toolPlugin("plain", refuse);
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use }] },
      { bus, clock, timing: { ...timing, renewMs: 10, storeMs: 2_000 } },
    );
    breakBus(() => new Promise<never>(() => undefined));
    expire();
    using scope = pipeline.begin({ requestId: "r" });
    const startedAt = performance.now();
    expect(await scope.invoke("tool_pre_invoke", toolCall)).toMatchObject({ records: [{ degraded: true }] });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});

it("PF-I2 a lease counts from when the read was sent, not from when it was answered", async () => {
  const { fake, clock } = fakeTime();
  const { bus } = deafBus();
  let reads = 0;
  const slow: ControlBus = {
    ...bus,
    read: async (scopes) => {
      reads++;
      if (reads === 1) fake.advanceSync(900);
      return bus.read(scopes);
    },
  };
  const use = toolPlugin("plain", () => undefined);
  await using pipeline = await createPluginPipeline(
    { plugins: [{ use }] },
    { bus: slow, clock, timing: { pollMinMs: 60_000, pollMaxMs: 60_000 } },
  );
  using scope = pipeline.begin({ requestId: "r" });
  const before = reads;
  fake.advanceSync(100);
  await scope.invoke("tool_pre_invoke", toolCall);
  expect(reads).toBe(before);
  fake.advanceSync(1);
  await scope.invoke("tool_pre_invoke", toolCall);
  expect(reads).toBe(before + 1);
});

it("PF-I2 leases last a second, are renewed by a poll every 250 to 500 ms, and one read may take 50 ms", () => {
  expect(DEFAULT_TIMING).toEqual({
    leaseMs: 1_000,
    pollMinMs: 250,
    pollMaxMs: 500,
    renewMs: 50,
    storeMs: 1_000,
  });
});

it("PF-I6 a replica without the plugin is not waited for, and learns the mode when it gets the plugin", async () => {
  const bus = createInProcessBus();
  const use = toolPlugin("guard", () => ({ block: violation }));
  await using one = await createPluginPipeline({ plugins: [{ use }] }, { bus, replica: "one" });
  const shared: ControlBus = { ...bus, synchronous: false };
  await using two = await createPluginPipeline({ plugins: [] }, { bus: shared, replica: "two" });
  expect(await one.setMode("guard", "disabled")).toMatchObject({ converged: true, missing: [] });
  await two.reload({ plugins: [{ use }] });
  expect(two.explainMode("guard")).toMatchObject({ mode: "disabled", degraded: false });
  expect(two.list()).toMatchObject([{ state: "idle" }]);
});

describe("PF-I1 the fence", () => {
  const claims = (authority: object, modeAuthority = true) =>
    toolPlugin("claims", () => ({ block: violation, authority: authority as never }), {}, { modeAuthority });
  const judged = async (use: PluginDefinition) => {
    await using pipeline = await createPluginPipeline({ plugins: [{ use }] });
    await pipeline.setMode("claims", "enforce");
    using scope = pipeline.begin({ requestId: "r" });
    return await scope.invoke("tool_pre_invoke", toolCall);
  };

  it("PF-I1 is honoured only from a plugin that declares it, with a real mode and no older rev", async () => {
    expect((await judged(claims({ mode: "permissive", rev: 1 }))).allowed).toBe(true);
    expect((await judged(claims({ mode: "permissive", rev: 2 }))).allowed).toBe(true);
    expect((await judged(claims({ mode: "permissive", rev: 0 }))).allowed).toBe(false);
    expect((await judged(claims({ mode: "permissive", rev: 1 }, false))).allowed).toBe(false);
    expect((await judged(claims({ mode: "off", rev: 9 }))).allowed).toBe(false);
    const off = await judged(claims({ mode: "disabled", rev: 1 }));
    expect(off).toMatchObject({ allowed: true, shadowViolations: [], records: [{ status: "disabled" }] });
  });
});
