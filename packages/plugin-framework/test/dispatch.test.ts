import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import {
  createPluginPipeline,
  type HookRecord,
  PayloadSizeError,
  type PipelineConfig,
  type PipelineDeps,
  PluginError,
} from "../src/index.ts";
import { deferred, fakeTime, type ToolCall, toolCall, toolPlugin, violation } from "./support.ts";

async function run(config: PipelineConfig, payload: ToolCall = toolCall, deps: PipelineDeps = {}) {
  await using pipeline = await createPluginPipeline(config, deps);
  const scope = pipeline.begin({ requestId: "r" });
  try {
    return await scope.invoke("tool_pre_invoke", payload);
  } finally {
    scope.end();
  }
}

const boom = () => {
  throw new Error("boom");
};

describe("phases and outcomes", () => {
  it("PF-10 runs sequential, transform, audit, concurrent, fire_and_forget, by priority, then registration", async () => {
    const order: string[] = [];
    const note = (name: string, phase: HookRecord["phase"], priority?: number) => ({
      use: toolPlugin(name, () => void order.push(name), { phase }),
      ...(priority === undefined ? {} : { priority }),
    });
    const result = await run({
      plugins: [
        note("late", "fire_and_forget"),
        note("both1", "concurrent"),
        note("watch", "audit"),
        note("edit", "transform"),
        note("second", "sequential", 100),
        note("third", "sequential"),
        note("first", "sequential", 5),
        note("both2", "concurrent", 1),
      ],
    });
    await eventually(() => order.includes("late"));
    expect(order).toEqual(["first", "second", "third", "edit", "watch", "both2", "both1", "late"]);
    expect(result.records.map(({ plugin }) => plugin)).toEqual(order);
    expect(result.records.every(({ status, durationNs }) => status === "completed" && durationNs >= 0)).toBe(
      true,
    );
  });

  it("PF-10 a concurrent block aborts its siblings through their signals and records them as cancelled", async () => {
    const aborted: unknown[] = [];
    const gate = deferred();
    const never = toolPlugin(
      "never",
      (_, { signal }) => {
        signal.addEventListener("abort", () => aborted.push(signal.reason));
        return new Promise<undefined>(() => undefined);
      },
      { phase: "concurrent" },
    );
    const refuse = toolPlugin(
      "refuse",
      async () => {
        await gate.promise;
        return { block: violation, retryDelayMs: 5 };
      },
      { phase: "concurrent" },
    );
    const other = toolPlugin("other", async () => ({ headers: { a: "1" }, retryDelayMs: 70 }), {
      phase: "concurrent",
    });
    const pending = run({ plugins: [{ use: never }, { use: refuse }, { use: other }] });
    await eventually(() => true);
    gate.resolve();
    const result = await pending;
    expect(result).toMatchObject({
      allowed: false,
      violation: { pluginName: "refuse" },
      headers: { a: "1" },
    });
    expect(result.retryDelayMs).toBe(70);
    expect(aborted).toHaveLength(1);
    const status = Object.fromEntries(result.records.map((record) => [record.plugin, record.status]));
    expect(status).toEqual({ other: "completed", refuse: "blocked", never: "cancelled" });
    expect(result.records.find(({ plugin }) => plugin === "never")?.durationNs).toBeGreaterThan(0);
  });

  it("PF-10 a synchronous concurrent block keeps later siblings from starting, a failure cancels like a block", async () => {
    let started = 0;
    const later = toolPlugin("later", () => void started++, { phase: "concurrent" });
    const refuse = toolPlugin("refuse", () => ({ block: violation }), { phase: "concurrent" });
    const result = await run({ plugins: [{ use: refuse }, { use: later }] });
    expect(result.records).toMatchObject([
      { status: "blocked" },
      { plugin: "later", status: "cancelled", durationNs: 0 },
    ]);
    const records: HookRecord[] = [];
    const observer = { record: (record: HookRecord) => void records.push(record) };
    const broken = (handler: () => never) => toolPlugin("broken", handler, { phase: "concurrent" });
    const hang = toolPlugin("hang", () => new Promise<undefined>(() => undefined), { phase: "concurrent" });
    for (const use of [broken(boom), toolPlugin("broken", async () => boom(), { phase: "concurrent" })]) {
      records.length = 0;
      await expect(
        run({ plugins: [{ use: hang }, { use }, { use: later }] }, toolCall, { observer }),
      ).rejects.toThrow("boom");
      expect(records.map(({ status }) => status).sort()).toContain("cancelled");
    }
    expect(started).toBe(1);
  });

  it("PF-10 transform and audit cannot block, audit and concurrent cannot modify, and it is recorded", async () => {
    const modify = (payload: ToolCall) => ({ modify: { ...payload, name: "other" } });
    const plugins = [
      { use: toolPlugin("t", () => ({ block: violation }), { phase: "transform" }) },
      { use: toolPlugin("a", () => ({ block: violation }), { phase: "audit" }) },
      { use: toolPlugin("b", modify, { phase: "audit" }) },
      { use: toolPlugin("c", modify, { phase: "concurrent" }) },
    ];
    const result = await run({ plugins });
    expect(result).toMatchObject({ allowed: true, payload: { name: "echo" } });
    expect(result.records).toMatchObject([
      {
        plugin: "t",
        requestedAllow: false,
        effectiveAllow: true,
        reason: "a handler of phase transform cannot block",
      },
      { plugin: "a", requestedAllow: false, reason: "a handler of phase audit cannot block" },
      { plugin: "b", modified: false, reason: "a handler of phase audit cannot modify" },
      { plugin: "c", modified: false, reason: "a handler of phase concurrent cannot modify" },
    ]);
  });

  it("fire_and_forget sees the final payload, is bounded, skips a blocked call and cannot change the result", async () => {
    const seen: string[] = [];
    const hold = deferred();
    const rename = toolPlugin("rename", (payload) => ({ modify: { ...payload, name: "final" } }));
    const log = toolPlugin(
      "log",
      async ({ name }) => {
        seen.push(name);
        await hold.promise;
        return { headers: { late: "1" }, block: violation };
      },
      { phase: "fire_and_forget" },
    );
    const records: HookRecord[] = [];
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use: rename }, { use: log }], limits: { backgroundHandlers: 2 } },
      { observer: { record: (record) => void records.push(record) } },
    );
    const scope = pipeline.begin({ requestId: "r" });
    const results = await Promise.all([1, 2, 3].map(() => scope.invoke("tool_pre_invoke", toolCall)));
    scope.end();
    await eventually(() => seen.length === 2);
    hold.resolve();
    await eventually(() => records.filter(({ plugin }) => plugin === "log").length === 3);
    expect(seen).toEqual(["final", "final"]);
    expect(results[2]?.records.at(-1)).toMatchObject({
      status: "skipped",
      reason: expect.stringContaining("background"),
    });
    expect(results[0]?.records.at(-1)).toMatchObject({
      plugin: "log",
      requestedAllow: false,
      effectiveAllow: true,
    });
    expect(results[0]).toMatchObject({ allowed: true, headers: {} });
    const blocked = await run({
      plugins: [{ use: toolPlugin("no", () => ({ block: violation })) }, { use: log }],
    });
    expect(blocked.records).toHaveLength(1);
  });

  it("fire_and_forget handlers follow mode, conditions, errors and timeouts like the others", async () => {
    const records = new Map<string, HookRecord>();
    const background = { phase: "fire_and_forget" } as const;
    const result = await run(
      {
        plugins: [
          { use: toolPlugin("off", () => undefined, background), mode: "disabled" },
          { use: toolPlugin("elsewhere", () => undefined, background), conditions: [{ tools: ["other*"] }] },
          { use: toolPlugin("broken", boom, background), onError: "disable" },
          { use: toolPlugin("slow", () => new Promise(() => undefined), background), timeoutMs: 5 },
          { use: toolPlugin("odd", () => 7 as never, background) },
          { use: toolPlugin("unborn", () => undefined, background, { create: boom }) },
        ],
      },
      toolCall,
      { observer: { record: (record) => void records.set(record.plugin, record) } },
    );
    await eventually(() => records.size === 6);
    expect(result.allowed).toBe(true);
    const status = Object.fromEntries([...records].map(([name, record]) => [name, record.status]));
    expect(status).toEqual({
      off: "disabled",
      elsewhere: "skipped",
      broken: "error",
      slow: "timeout",
      odd: "error",
      unborn: "error",
    });
  });

  it("PF-14 headers, metadata and retry delays are merged on success and refusal alike", async () => {
    const one = toolPlugin("one", () => ({
      headers: { a: "1", b: "1" },
      metadata: { x: 1 },
      retryDelayMs: 20,
    }));
    const two = toolPlugin("two", async () => ({
      headers: { b: "2" },
      metadata: { x: 2 },
      retryDelayMs: 10,
    }));
    const refuse = toolPlugin("refuse", () => ({ block: { ...violation, headers: { c: "3" } } }));
    const allowed = await run({ plugins: [{ use: one }, { use: two }] });
    expect(allowed).toMatchObject({ allowed: true, headers: { a: "1", b: "2" }, retryDelayMs: 20 });
    expect(allowed.metadata).toEqual({ one: { x: 1 }, two: { x: 2 } });
    const refused = await run({ plugins: [{ use: one }, { use: two }, { use: refuse }] });
    expect(refused).toMatchObject({ allowed: false, headers: { a: "1", b: "2", c: "3" }, retryDelayMs: 20 });
  });

  it("a block in mode permissive aborts no sibling", async () => {
    const blocked = deferred();
    let aborted: boolean | undefined;
    const race = toolPlugin("race", async () => ({ block: violation }), { phase: "concurrent" });
    const sibling = toolPlugin(
      "sibling",
      async (_, { signal }) => {
        await blocked.promise;
        aborted = signal.aborted;
        return { headers: { ok: "1" } };
      },
      { phase: "concurrent" },
    );
    const observer = { shadowBlock: () => blocked.resolve() };
    const plugins = [{ use: race, mode: "permissive" as const }, { use: sibling }];
    const result = await run({ plugins }, toolCall, { observer });
    expect(aborted).toBe(false);
    expect(result).toMatchObject({
      allowed: true,
      headers: { ok: "1" },
      records: [
        { plugin: "race", status: "blocked" },
        { plugin: "sibling", status: "completed" },
      ],
    });
  });

  it("PF-13 permissive keeps edits and the shadow verdict, drops refusal headers, neutralises errors and timeouts", async () => {
    const shadows: string[] = [];
    const records: HookRecord[] = [];
    const plugins = [
      { use: toolPlugin("edit", (payload) => ({ modify: { ...payload, name: "edited" } })) },
      {
        use: toolPlugin("no", () => ({ block: { ...violation, headers: { c: "3" } }, headers: { d: "4" } })),
      },
      { use: toolPlugin("broken", boom), onError: "disable" as const },
      { use: toolPlugin("slow", () => new Promise(() => undefined)), timeoutMs: 5 },
      { use: toolPlugin("race", async () => ({ block: violation }), { phase: "concurrent" }) },
      { use: toolPlugin("sibling", async () => ({ headers: { ok: "1" } }), { phase: "concurrent" }) },
    ].map((entry) => ({ ...entry, mode: "permissive" as const }));
    const observer = {
      shadowBlock: (record: HookRecord) => void shadows.push(record.plugin),
      record: (record: HookRecord) => void records.push(record),
    };
    const result = await run({ plugins }, toolCall, { observer });
    expect(result).toMatchObject({ allowed: true, violation: undefined, payload: { name: "edited" } });
    expect(result.headers).toEqual({ ok: "1" });
    expect(result.shadowViolations.map(({ pluginName }) => pluginName)).toEqual(["no", "race"]);
    expect(shadows).toEqual(["no", "race"]);
    const judged = records.map(({ plugin, status, effectiveAllow }) => [plugin, status, effectiveAllow]);
    expect(judged).toEqual(
      [
        ["edit", "completed", true],
        ["no", "blocked", true],
        ["broken", "error", true],
        ["slow", "timeout", true],
        ["sibling", "completed", true],
        ["race", "blocked", true],
      ].sort((a, b) => judged.findIndex(([n]) => n === a[0]) - judged.findIndex(([n]) => n === b[0])),
    );
  });

  it("a misspelt or impossible outcome is the handler's error and does not let the call through", async () => {
    const answers = [
      { blok: violation },
      { block: {} },
      { continue: false },
      1,
      "yes",
      { modify: null },
      { modify: 3 },
      { retryDelayMs: Number.NaN },
      { retryDelayMs: Number.POSITIVE_INFINITY },
      { retryDelayMs: -1 },
      { retryDelayMs: "5" },
      { headers: "zzz" },
      { headers: ["a"] },
      { headers: { a: 1 } },
      { metadata: "zzz" },
      { metadata: null },
    ];
    const good = toolPlugin("good", () => ({ retryDelayMs: 20, headers: { a: "1" }, metadata: { x: 1 } }));
    for (const answer of answers) {
      const bad = toolPlugin("a", () => answer as never);
      await expect(run({ plugins: [{ use: bad }] })).rejects.toMatchObject({ code: "plugin_error" });
      // What others said stands.
      const passed = await run({ plugins: [{ use: good }, { use: bad, onError: "ignore" }] });
      expect(passed).toMatchObject({ retryDelayMs: 20, records: [{}, { status: "error" }] });
      expect(passed.headers).toEqual({ a: "1" });
      expect(passed.metadata).toEqual({ good: { x: 1 } });
    }
    expect((await run({ plugins: [{ use: toolPlugin("a", () => ({ continue: true })) }] })).allowed).toBe(
      true,
    );
    expect((await run({ plugins: [{ use: toolPlugin("a", () => null as never) }] })).allowed).toBe(true);
  });

  it.each(["fail", "ignore", "disable"] as const)(
    "a block with a code stays one under onError %s; what is wrong beside it is left out and named",
    async (onError) => {
      const wrong: [outcome: object, named: string, kept?: object][] = [
        [{ block: { ...violation, reason: undefined } }, "without a reason", { reason: "nope" }],
        [{ block: { ...violation, headers: "zzz" } }, "headers of a block that"],
        [{ block: { ...violation, headers: { a: 1 } } }, 'headers of a block whose "a"'],
        [{ block: { ...violation, details: "zzz" } }, "details of a block"],
        [{ block: violation, headers: { a: 1 } }, 'headers whose "a"'],
        [{ block: violation, metadata: "zzz" }, "metadata"],
        [{ block: violation, retryDelayMs: -1 }, "retryDelayMs -1"],
        [{ block: violation, header: {} }, '"header"'],
      ];
      for (const [outcome, named, kept] of wrong) {
        const use = toolPlugin("a", () => outcome as never);
        const result = await run({ plugins: [{ use, onError }] });
        expect(result.allowed).toBe(false);
        expect(result.violation).toStrictEqual({ ...violation, ...kept, pluginName: "a" });
        expect(result).toMatchObject({ headers: {}, metadata: {}, retryDelayMs: undefined });
        expect(result.records).toMatchObject([
          { status: "blocked", effectiveAllow: false, reason: expect.stringContaining(named) },
        ]);
      }
    },
  );
});

describe("errors and timeouts", () => {
  it("PF-R1 aborts a handler's signal at its timeout and follows onError", async () => {
    const { fake, clock } = fakeTime();
    let reason: unknown;
    const slow = toolPlugin("slow", (_, { signal }) => {
      signal.addEventListener("abort", () => {
        reason = signal.reason;
      });
      return new Promise<undefined>(() => undefined);
    });
    await using pipeline = await createPluginPipeline({ plugins: [{ use: slow }] }, { clock });
    expect(pipeline.list()[0]).toMatchObject({ timeoutMs: 30_000, priority: 100, onError: "fail" });
    const scope = pipeline.begin({ requestId: "r" });
    const outcome = Promise.resolve(scope.invoke("tool_pre_invoke", toolCall)).catch(
      (error: unknown) => error,
    );
    await fake.advance(29_999);
    expect(reason).toBeUndefined();
    await fake.advance(2);
    expect(await outcome).toMatchObject({
      code: "plugin_timeout",
      retryable: true,
      details: { plugin: "slow" },
    });
    expect(reason).toMatchObject({ name: "TimeoutError" });
    scope.end();
  });

  it("PF-11 a timeout of 50 ms under each onError; disable survives a reload until it is enabled again", async () => {
    const { fake, clock } = fakeTime();
    const late = deferred<undefined>();
    const use = toolPlugin("slow", () => late.promise);
    const outcomeOf = async (onError: "fail" | "ignore" | "disable") => {
      const pipeline = await createPluginPipeline({ plugins: [{ use, onError, timeoutMs: 50 }] }, { clock });
      const scope = pipeline.begin({ requestId: "r" });
      const pending = Promise.resolve(scope.invoke("tool_pre_invoke", toolCall)).then(
        (result) => result,
        (error: unknown) => error,
      );
      await fake.advance(51);
      const outcome = await pending;
      scope.end();
      return { pipeline, outcome };
    };
    const failed = await outcomeOf("fail");
    expect(failed.outcome).toMatchObject({ code: "plugin_timeout" });
    const ignored = await outcomeOf("ignore");
    expect(ignored.outcome).toMatchObject({
      allowed: true,
      records: [{ status: "timeout", effectiveAllow: true }],
    });
    const { pipeline, outcome } = await outcomeOf("disable");
    expect(outcome).toMatchObject({ allowed: true, records: [{ status: "timeout" }] });
    const again = async () => {
      const scope = pipeline.begin({ requestId: "r" });
      const result = scope.invoke("tool_pre_invoke", toolCall);
      scope.end();
      return result;
    };
    expect(await again()).toMatchObject({ allowed: true, records: [{ status: "disabled" }] });
    await pipeline.reload({ plugins: [{ use, onError: "disable", timeoutMs: 60 }] }, { force: true });
    expect(await again()).toMatchObject({ records: [{ status: "disabled" }] });
    expect(pipeline.explainMode("slow")).toMatchObject({ mode: "disabled", layer: "on_error" });
    expect(pipeline.enable("slow")).toBe(true);
    expect(pipeline.enable("slow")).toBe(false);
    const enabled = again();
    late.resolve(undefined);
    expect(await enabled).toMatchObject({ records: [{ status: "completed" }] });
    for (const each of [failed.pipeline, ignored.pipeline, pipeline]) await each.close();
  });

  it("PF-11 the real clock enforces a timeout too, and a late answer no longer counts", async () => {
    const late = deferred<{ block: typeof violation }>();
    const use = toolPlugin("slow", () => late.promise);
    const result = await run({
      plugins: [{ use, onError: "ignore", timeoutMs: 20 }, { use: toolPlugin("next", () => undefined) }],
    });
    late.resolve({ block: violation });
    expect(result).toMatchObject({ allowed: true, records: [{ status: "timeout" }, { plugin: "next" }] });
    expect(result.records[0]?.durationNs).toBeGreaterThanOrEqual(15e6);
  });

  it("an error follows onError: fail reaches the caller with its cause, ignore and disable go on", async () => {
    const failing = run({ plugins: [{ use: toolPlugin("a", boom) }] });
    await expect(failing).rejects.toMatchObject({ code: "plugin_error", cause: { message: "boom" } });
    await expect(run({ plugins: [{ use: toolPlugin("a", async () => boom()) }] })).rejects.toSatisfy(
      PluginError.is,
    );
    const ignored = await run({ plugins: [{ use: toolPlugin("a", boom), mode: "enforce_ignore_error" }] });
    expect(ignored.records).toMatchObject([{ mode: "enforce", status: "error", reason: "boom" }]);
    const long = await run({
      plugins: [
        {
          use: toolPlugin("a", () => {
            throw "x".repeat(999);
          }),
          onError: "ignore",
        },
      ],
    });
    expect(long.records[0]?.reason).toHaveLength(256);
    expect(PluginError.is(new Error("other"))).toBe(false);
  });

  it("a request that is aborted waits for nothing more and aborts its handlers", async () => {
    const controller = new AbortController();
    const signals: AbortSignal[] = [];
    const use = toolPlugin("hang", (_, { signal }) => {
      signals.push(signal);
      return new Promise<undefined>(() => undefined);
    });
    await using pipeline = await createPluginPipeline({ plugins: [{ use }] });
    const scope = pipeline.begin({ requestId: "r", signal: controller.signal });
    const pending = [scope.invoke("tool_pre_invoke", toolCall), scope.invoke("tool_pre_invoke", toolCall)];
    controller.abort(new Error("gone"));
    for (const each of pending) await expect(each).rejects.toThrow("gone");
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
    expect(() => scope.invoke("tool_pre_invoke", toolCall)).toThrow("gone");
    scope.end();
    scope.end();
    expect(() => scope.invoke("tool_pre_invoke", toolCall)).toThrow("has ended");
  });
});

type Loose = Record<string, { list: unknown[] }>;

describe("payloads", () => {
  it("PF-12 an in-place edit never reaches the caller; a write to a field that is not writable is dropped and recorded", async () => {
    const inPlace = (edit: (payload: Loose) => void) =>
      toolPlugin("vandal", (payload) => edit(payload as unknown as Loose));
    const original = { name: "echo", args: { list: [1, { deep: true }] }, headers: { a: "1" } };
    const before = structuredClone(original);
    const edits: ((payload: Loose) => void)[] = [
      (payload) => Object.assign(payload, { name: "x" }),
      (payload) => delete (payload as { name?: string })["name"],
      (payload) => payload["args"]?.list.push(2),
      (payload) => Object.assign(payload["args"]?.list[1] as object, { deep: false }),
      (payload) => Object.setPrototypeOf(payload, null),
      (payload) => Object.freeze(payload),
    ];
    for (const edit of edits) {
      const result = await run({ plugins: [{ use: inPlace(edit), onError: "ignore" }] }, original);
      expect(result.payload).toBe(original);
      expect(result.records).toMatchObject([
        { status: "error", reason: expect.stringContaining("read-only") },
      ]);
    }
    expect(original).toEqual(before);
    expect(Object.isFrozen(original)).toBe(false);
    const greedy = toolPlugin(
      "greedy",
      (payload) => ({ modify: { ...payload, name: "x", args: { y: 1 }, extra: 1 } as never }),
      { writes: ["args"] },
    );
    const result = await run({ plugins: [{ use: greedy }] }, original);
    expect(result.payload).toEqual({ ...original, args: { y: 1 } });
    expect(result.records).toMatchObject([
      { modified: true, droppedWrites: ["name", "extra"], reason: "not writable: name, extra" },
    ]);
  });

  it("PF-R2 copies only what is written: untouched parts stay the caller's own objects", async () => {
    const original = { name: "echo", args: { keep: { a: 1 }, edit: { b: 1 } }, headers: {} };
    const use = toolPlugin("edit", (payload) => {
      const args = payload.args as typeof original.args;
      return { modify: { ...payload, args: { ...args, edit: { ...args.edit, b: 2 }, both: [args.keep] } } };
    });
    const { payload } = await run({ plugins: [{ use }] }, original);
    const args = payload.args as typeof original.args & { both: unknown[] };
    expect(args).toEqual({ keep: { a: 1 }, edit: { b: 2 }, both: [{ a: 1 }] });
    expect(args.keep).toBe(original.args.keep);
    expect(args.both[0]).toBe(original.args.keep);
    expect(payload.headers).toBe(original.headers);
    expect(original.args.edit.b).toBe(1);
  });

  it("PF-R2 a view reads like the object: JSON, arrays, spread, keys, frozen parts, dates and maps", async () => {
    const date = new Date(0);
    const args = Object.freeze({
      list: [1, [2]],
      date,
      map: new Map([["k", 1]]),
      pattern: /a/g,
      bytes: Buffer.from("abc"),
      fn: boom,
      none: null,
    });
    let checked = false;
    const use = toolPlugin("look", ({ args: given, name }) => {
      const seen = given as typeof args;
      expect(JSON.stringify(seen.list)).toBe("[1,[2]]");
      expect(Array.isArray(seen.list) && [...seen.list].length).toBe(2);
      expect(seen.list).toBe(seen.list);
      expect(Object.keys(seen)).toEqual(Object.keys(args));
      expect("date" in seen && seen.date.getTime()).toBe(0);
      expect(seen.date).not.toBe(date);
      expect(seen.map.get("k")).toBe(1);
      expect(seen.pattern.test("a")).toBe(true);
      expect(args.pattern.lastIndex).toBe(0);
      expect(seen.bytes.fill(0).toString("hex")).toBe("000000");
      expect(args.bytes.toString()).toBe("abc");
      expect(seen.fn).toBe(boom);
      expect(Object.getOwnPropertyDescriptor(seen, "absent")).toBeUndefined();
      expect(Object.getPrototypeOf(seen)).toBe(Object.prototype);
      expect(name).toBe("echo");
      checked = true;
    });
    await run({ plugins: [{ use }] }, { name: "echo", args, headers: {} });
    expect(checked).toBe(true);
  });

  it("PF-R2 the user is handed over read-only, too, as one object for all plugins of a request", async () => {
    const user = { email: "ann", scopes: ["read"] };
    const seen: unknown[] = [];
    const edit = (name: string, change: (user: { email: string; scopes: string[] }) => void) =>
      toolPlugin(name, (_, context) => {
        seen.push(context.user, context.user);
        change(context.user as typeof user);
      });
    const plugins = [
      { use: edit("rename", (given) => Object.assign(given, { email: "root" })), onError: "ignore" as const },
      { use: edit("promote", ({ scopes }) => void scopes.push("admin")), onError: "ignore" as const },
    ];
    await using pipeline = await createPluginPipeline({ plugins });
    using scope = pipeline.begin({ requestId: "r", user });
    const { records } = await scope.invoke("tool_pre_invoke", toolCall);
    expect(records.map(({ status }) => status)).toEqual(["error", "error"]);
    expect(user).toEqual({ email: "ann", scopes: ["read"] });
    expect(new Set(seen).size).toBe(1);
    expect(seen[0]).toEqual(user);
  });

  it("PF-R2 a deleted field comes back unless it may be written", async () => {
    const use = toolPlugin("drop", () => ({ modify: { headers: {} } as never }), { writes: ["args"] });
    const { payload, records } = await run({ plugins: [{ use }] });
    expect(payload).toEqual({ name: "echo", headers: { accept: "json" } });
    expect(records[0]?.droppedWrites).toEqual(["name", "headers"]);
  });

  it("PF-R5 a payload over the limit fails closed whatever onError says, unless no handler reads it", async () => {
    const big = { name: "echo", args: { text: "x".repeat(1_000_001) }, headers: {} };
    const reader = toolPlugin("reader", () => undefined);
    const rejected = run({ plugins: [{ use: reader, onError: "ignore" }] }, big);
    await expect(rejected).rejects.toBeInstanceOf(PayloadSizeError);
    await expect(rejected).rejects.toMatchObject({ code: "payload_too_large" });
    const blind = toolPlugin("blind", () => undefined, { reads: "none" });
    expect((await run({ plugins: [{ use: blind }] }, big)).allowed).toBe(true);
    expect((await run({ plugins: [{ use: reader, mode: "permissive" }] }, big)).records).toMatchObject([
      { status: "error" },
    ]);
    const settable = { plugins: [{ use: reader }], limits: { payloadCharacters: 4_194_304 } };
    expect((await run(settable, big)).allowed).toBe(true);
    const deep = { name: "echo", headers: {}, args: {} };
    for (let depth = 0, at: Record<string, unknown> = deep.args; depth < 600; depth++)
      at = at["d"] = {} as never;
    await expect(run({ plugins: [{ use: reader }] }, deep)).rejects.toBeInstanceOf(PayloadSizeError);
    const list = { name: "echo", headers: {}, args: [Buffer.alloc(2_000_000), 1] };
    await expect(run({ plugins: [{ use: reader }] }, list)).rejects.toBeInstanceOf(PayloadSizeError);
  });

  it("PF-R5 measures what a plugin made of the payload, trusts the host's size, and tells what is read", async () => {
    const grow = toolPlugin("grow", (payload) => ({ modify: { ...payload, args: "x".repeat(50) } }), {
      reads: "outcome",
    });
    const reader = toolPlugin("reader", () => undefined);
    const limits = { payloadCharacters: 60 };
    await expect(run({ plugins: [{ use: grow }, { use: reader }], limits })).rejects.toBeInstanceOf(
      PayloadSizeError,
    );
    await using pipeline = await createPluginPipeline({
      plugins: [{ use: grow }, { use: reader, name: "r2", mode: "disabled" }],
      limits,
    });
    expect([pipeline.reads("tool_pre_invoke"), pipeline.reads("tool_post_invoke")]).toEqual([
      "outcome",
      "none",
    ]);
    await pipeline.setMode("r2", "enforce");
    expect(pipeline.reads("tool_pre_invoke")).toBe("body");
    await using plain = await createPluginPipeline({
      plugins: [{ use: reader }],
      limits: { payloadCharacters: 20 },
    });
    const scope = plain.begin({ requestId: "r" });
    expect(() => scope.invoke("tool_pre_invoke", toolCall)).toThrow(PayloadSizeError);
    expect(scope.invoke("tool_pre_invoke", toolCall, { size: 20 })).toMatchObject({ allowed: true });
    scope.end();
  });
});

describe("context and cost", () => {
  it("PF-R4 state is private to plugin and request and reaches the post hook; shared state is explicit", async () => {
    const seen: unknown[] = [];
    const post = {
      name: "echo",
      outcome: { kind: "result", result: {} },
      attempt: 1,
      serverTrusted: true,
    } as const;
    const pair = (name: string) =>
      toolPlugin(
        name,
        () => undefined,
        {},
        {
          hooks: { tool_pre_invoke: {}, tool_post_invoke: {} },
          create: () => ({
            hooks: {
              tool_pre_invoke: (_, { state, shared }) => {
                state.set("by", name);
                shared.set(name, true);
              },
              tool_post_invoke: (_, { state, shared }) =>
                void seen.push([state.get("by"), [...shared.keys()]]),
            },
          }),
        },
      );
    await using pipeline = await createPluginPipeline({ plugins: [{ use: pair("a") }, { use: pair("b") }] });
    const scope = pipeline.begin({ requestId: "r1" });
    const other = pipeline.begin({ requestId: "r2" });
    await scope.invoke("tool_pre_invoke", toolCall);
    await scope.invoke("tool_post_invoke", post);
    await other.invoke("tool_post_invoke", post);
    expect(seen).toEqual([
      ["a", ["a", "b"]],
      ["b", ["a", "b"]],
      [undefined, []],
      [undefined, []],
    ]);
    scope.end();
    other.end();
  });

  it("PF-R4 the context tells who calls and under which mode", async () => {
    let seen: object = {};
    const use = toolPlugin("look", (_, context) => {
      const { requestId, user, tenantId, serverId, clientIp, signal, mode, configuredMode, wipeSeq } =
        context;
      seen = {
        requestId,
        user,
        tenantId,
        serverId,
        clientIp,
        aborted: signal.aborted,
        mode,
        configuredMode,
        wipeSeq,
      };
    });
    await using pipeline = await createPluginPipeline({ plugins: [{ use }] });
    await pipeline.setMode("look", "permissive", { wipe: "always" });
    using scope = pipeline.begin({
      requestId: "r",
      user: { id: 1 },
      tenantId: "t",
      serverId: "s",
      clientIp: "::1",
    });
    scope.invoke("tool_pre_invoke", toolCall);
    const expected = {
      requestId: "r",
      user: { id: 1 },
      tenantId: "t",
      serverId: "s",
      clientIp: "::1",
      aborted: false,
    };
    expect(seen).toEqual({ ...expected, mode: "permissive", configuredMode: "enforce", wipeSeq: [1, 0] });
  });

  it("PF-R6 without plugins a hook makes no promise and no object; synchronous handlers make no promise", async () => {
    await using pipeline = await createPluginPipeline({
      plugins: [{ use: toolPlugin("a", () => undefined) }],
    });
    const scope = pipeline.begin({ requestId: "r" });
    const fetch = { promptId: "p", args: {} };
    const first = scope.invoke("prompt_pre_fetch", fetch);
    expect(first).not.toBeInstanceOf(Promise);
    expect(scope.invoke("prompt_pre_fetch", fetch)).toBe(first);
    expect(first).toMatchObject({ allowed: true, payload: fetch, records: [], headers: {} });
    expect(scope.invoke("tool_pre_invoke", toolCall)).not.toBeInstanceOf(Promise);
    expect([pipeline.has("prompt_pre_fetch"), pipeline.has("tool_pre_invoke")]).toEqual([false, true]);
    scope.end();
  });

  it("PF-R6 a chain goes on synchronously after a promise, and any thenable is waited for", async () => {
    const order: string[] = [];
    const settle = (done: (value: undefined) => void) => done(undefined);
    const method = "then";
    const thenable = Object.fromEntries([[method, settle]]) as unknown as Promise<undefined>;
    const plugins = [
      { use: toolPlugin("a", () => void order.push("a")) },
      { use: toolPlugin("b", () => thenable) },
      { use: toolPlugin("c", () => void order.push("c")) },
      { use: toolPlugin("d", async () => void order.push("d")) },
    ];
    const { records } = await run({ plugins });
    expect(order).toEqual(["a", "c", "d"]);
    expect(records.map(({ plugin }) => plugin)).toEqual(["a", "b", "c", "d"]);
  });

  it("PF-R1 the wait for a plugin that starts is part of neither its timeout nor its duration", async () => {
    const { fake, clock } = fakeTime();
    const [starting, answering] = [deferred(), deferred()];
    const order: string[] = [];
    const late = toolPlugin(
      "late",
      () => {
        order.push("asked");
        return answering.promise.then(() => undefined);
      },
      {},
      { instance: { initialize: () => starting.promise } },
    );
    await using pipeline = await createPluginPipeline(
      {
        plugins: [{ use: late, mode: "disabled", timeoutMs: 50 }],
        bindings: [{ plugin: "late", tenant: "t", mode: "enforce" }],
      },
      { clock },
    );
    const scope = pipeline.begin({ requestId: "r", tenantId: "t" });
    const result = scope.invoke("tool_pre_invoke", toolCall);
    await fake.advance(200);
    starting.resolve();
    await eventually(() => order.length === 1);
    await fake.advance(30);
    answering.resolve();
    const { records } = await result;
    expect(records).toMatchObject([{ status: "completed", durationNs: 30e6 }]);
    scope.end();
  });

  it("PF-10 the duration of a concurrent handler does not hold the work of its siblings", async () => {
    const { fake, clock } = fakeTime();
    const concurrent = { phase: "concurrent" } as const;
    const work = (ms: number) => async () => {
      fake.advanceSync(ms);
      return undefined;
    };
    const { records } = await run(
      {
        plugins: [
          { use: toolPlugin("first", work(40), concurrent) },
          { use: toolPlugin("second", work(7), concurrent) },
        ],
      },
      toolCall,
      { clock },
    );
    expect(records.find(({ plugin }) => plugin === "second")?.durationNs).toBe(7e6);
  });

  it("PF-R6 a thenable that throws or answers twice is its handler's, once; in the background it times out", async () => {
    const method = "then";
    const thenable = (then: unknown) => Object.fromEntries([[method, then]]) as unknown as Promise<undefined>;
    const getter = Object.defineProperty({}, method, { get: boom }) as Promise<undefined>;
    const twice = (done: (value: undefined) => void) => {
      done(undefined);
      done(undefined);
    };
    const records: HookRecord[] = [];
    const { allowed } = await run(
      {
        plugins: [
          { use: toolPlugin("throws", () => thenable(boom)), onError: "ignore" },
          { use: toolPlugin("getter", () => getter), onError: "ignore" },
          { use: toolPlugin("twice", () => thenable(twice)) },
          { use: toolPlugin("never", () => thenable(() => {}), { phase: "fire_and_forget" }), timeoutMs: 5 },
        ],
      },
      toolCall,
      { observer: { record: (record) => void records.push(record) } },
    );
    expect(allowed).toBe(true);
    await eventually(() => records.length === 4);
    expect(records.map(({ plugin, status }) => [plugin, status])).toEqual([
      ["throws", "error"],
      ["getter", "error"],
      ["twice", "completed"],
      ["never", "timeout"],
    ]);
  });

  it("a handler that is passed over is recorded under its own mode, not under its neighbour's", async () => {
    const elsewhere = { conditions: [{ tools: ["other*"] }] };
    const background = { phase: "fire_and_forget" } as const;
    const records: HookRecord[] = [];
    await run(
      {
        plugins: [
          { use: toolPlugin("watcher", () => undefined), mode: "permissive" },
          { use: toolPlugin("guard", () => undefined), ...elsewhere },
          { use: toolPlugin("shadow", () => undefined), mode: "permissive", ...elsewhere },
          { use: toolPlugin("later", () => undefined, background), ...elsewhere },
        ],
      },
      toolCall,
      { observer: { record: (record) => void records.push(record) } },
    );
    await eventually(() => records.length === 4);
    expect(records.map(({ plugin, mode, status }) => [plugin, mode, status])).toEqual([
      ["watcher", "permissive", "completed"],
      ["guard", "enforce", "skipped"],
      ["shadow", "permissive", "skipped"],
      ["later", "enforce", "skipped"],
    ]);
  });

  it("PF-R13 an observer that rejects is ignored too", async () => {
    const reject = () => Promise.reject(new Error("observer")) as unknown as undefined;
    let unhandled = 0;
    const count = () => void unhandled++;
    process.on("unhandledRejection", count);
    const observer = { record: reject, modeChange: reject, controlRecord: reject };
    await run({ plugins: [{ use: toolPlugin("a", () => undefined) }] }, toolCall, { observer });
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", count);
    expect(unhandled).toBe(0);
  });

  it("PF-R13 the observer sees every record, and one that throws is ignored", async () => {
    const records: HookRecord[] = [];
    const observer = {
      record: (record: HookRecord) => {
        records.push(record);
        throw new Error("observer");
      },
      shadowBlock: boom,
      modeChange: boom,
      controlRecord: boom,
      lifecycleFailure: boom,
    };
    const config = {
      plugins: [
        { use: toolPlugin("a", () => ({ block: violation })), mode: "permissive" as const },
        { use: toolPlugin("b", boom), onError: "ignore" as const },
      ],
    };
    await using pipeline = await createPluginPipeline(config, { observer });
    await pipeline.setMode("a", "enforce");
    await pipeline.setMode("a", "permissive");
    const scope = pipeline.begin({ requestId: "r" });
    expect(scope.invoke("tool_pre_invoke", toolCall)).toMatchObject({ allowed: true });
    expect(records.map(({ plugin, status }) => [plugin, status])).toEqual([
      ["a", "blocked"],
      ["b", "error"],
    ]);
    scope.end();
  });
});
