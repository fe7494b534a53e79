import { describe, expect, it } from "vitest";
import {
  copyPayload,
  createPluginPipeline,
  defineHook,
  definePlugin,
  type HookPayloads,
  type PipelineConfig,
} from "../src/index.ts";
import { type ToolCall, toolPlugin } from "./support.ts";

async function run(plugins: NonNullable<PipelineConfig["plugins"]>, payload: ToolCall) {
  await using pipeline = await createPluginPipeline({ plugins });
  using scope = pipeline.begin({ requestId: "r", user: { sub: "ann" } });
  return await scope.invoke("tool_pre_invoke", payload);
}

describe("what a handler returned as modify", () => {
  it("PF-R2 is the pipeline's from then on: the handler's own reference to it changes nothing any more", async () => {
    const shared = { twice: 1 };
    const own = {
      deep: { list: [{ n: 1 }] },
      map: new Map([["k", { n: 1 }]]),
      set: new Set(["a"]),
      date: new Date(0),
      bytes: Buffer.from("abc"),
      one: shared,
      two: shared,
    };
    const expected = structuredClone({ ...own, bytes: undefined });
    const edit = toolPlugin("edit", (payload) => ({ modify: { ...payload, args: own } }));
    const later = toolPlugin("later", async ({ args }) => {
      own.deep.list[0] = { n: 666 };
      own.deep.list.push({ n: 666 });
      own.map.set("k", { n: 666 });
      own.set.add("evil");
      own.date.setTime(666);
      own.bytes.fill(0);
      shared.twice = 666;
      expect((args as typeof own).deep.list).toEqual([{ n: 1 }]);
    });
    const { payload, records } = await run([{ use: edit }, { use: later }], {
      name: "echo",
      args: {},
      headers: {},
    });
    expect(records.map(({ status }) => status)).toEqual(["completed", "completed"]);
    const { bytes, ...args } = payload.args as typeof own;
    expect({ ...args, bytes: undefined }).toEqual(expected);
    expect(bytes.toString()).toBe("abc");
    expect(args.one).toBe(args.two);
  });

  it("PF-R2 holds no view, in a Map or a Set neither, and what the handler did not touch is the caller's own", async () => {
    const original = { name: "echo", args: { keep: { a: 1 } }, headers: {} };
    const use = toolPlugin("wrap", (payload) => {
      const { keep } = payload.args as typeof original.args;
      return { modify: { ...payload, args: { map: new Map([["k", keep]]), set: new Set([keep]), keep } } };
    });
    const { payload } = await run([{ use }], original);
    const { map, set, keep } = payload.args as {
      map: Map<string, unknown>;
      set: Set<unknown>;
      keep: unknown;
    };
    expect([map.get("k"), ...set, keep].every((part) => part === original.args.keep)).toBe(true);
  });

  it("PF-R2 keeps fields of any name, and is refused where it is nested too deep or without end", async () => {
    const odd = JSON.parse('{"__proto__": {"a": [1]}, "constructor": {"b": 1}}');
    const bare = Object.assign(Object.create(null), { c: { d: 1 } });
    const use = toolPlugin("odd", (payload) => ({ modify: { ...payload, args: { odd, bare } } }));
    const { payload } = await run([{ use }], { name: "echo", args: {}, headers: {} });
    const args = payload.args as { odd: object; bare: object };
    expect(JSON.stringify(args)).toBe(JSON.stringify({ odd, bare }));
    expect(Object.getPrototypeOf(args.odd)).toBe(Object.prototype);
    expect(Object.getPrototypeOf(args.bare)).toBeNull();
    const loop: { self?: unknown } = {};
    loop.self = loop;
    const endless = toolPlugin("endless", (given) => ({ modify: { ...given, args: loop } }));
    const asked = run([{ use: endless }], { name: "echo", args: {}, headers: {} });
    await expect(asked).rejects.toMatchObject({
      code: "plugin_error",
      message: expect.stringContaining("deeper"),
    });
  });
});

describe("what cannot be copied faithfully", () => {
  class Odd extends Error {
    readonly code = "E_ODD";
  }
  class OddDate extends Date {
    readonly zone = "CET";
  }
  const given = () => ({
    error: new Odd("odd", { cause: () => 1 }),
    date: new OddDate(0),
    map: new Map([["k", { call: () => 1, error: new Odd("odd") }]]),
  });

  it("PF-R2 stays as it is: in what a handler made, in what it is shown, and in its copy", async () => {
    const [made, shown] = [given(), given()];
    const use = toolPlugin("keep", ({ args, ...payload }) => {
      const view = args as typeof shown;
      expect([view.error, view.date, view.map.get("k")?.error]).toEqual([
        shown.error,
        shown.date,
        shown.map.get("k")?.error,
      ]);
      expect(view.error).toBe(shown.error);
      return { modify: { ...payload, args: { made, copy: copyPayload(args) } } };
    });
    const { payload } = await run([{ use }], { name: "echo", args: shown, headers: {} });
    const args = payload.args as { made: typeof made; copy: typeof shown };
    for (const [kept, original] of [
      [args.made, made],
      [args.copy, shown],
    ] as const) {
      expect(kept.error).toBe(original.error);
      expect(kept.date).toBe(original.date);
      expect(kept.map).not.toBe(original.map);
      expect(kept.map.get("k")?.error).toBe(original.map.get("k")?.error);
      expect(kept.map.get("k")?.call).toBe(original.map.get("k")?.call);
    }
  });

  it("PF-R2 copies of a view of a buffer what it shows, and no more", async () => {
    const { buffer } = new Uint8Array(1_000_000).fill(7);
    const views = { bytes: new Uint16Array(buffer, 2, 2), data: new DataView(buffer, 3, 4) };
    const use = toolPlugin("bytes", (payload) => ({ modify: { ...payload, args: views } }));
    const { payload } = await run([{ use }], { name: "echo", args: {}, headers: {} });
    const { bytes, data } = payload.args as typeof views;
    expect([bytes.buffer.byteLength, data.buffer.byteLength]).toEqual([4, 4]);
    expect([[...bytes], data.getUint8(3)]).toEqual([[0x0707, 0x0707], 7]);
    views.data.setUint8(3, 1);
    expect([data.getUint8(3), bytes[1]]).toEqual([7, 0x0707]);
  });
});

describe("copyPayload", () => {
  const original = {
    name: "echo",
    args: { list: [1, { z: 1 }], when: new Date(0), map: new Map([["k", { a: 1 }]]), none: null },
    headers: { accept: "json" },
  };

  it("PF-R2 makes a copy to edit of a payload, of a part of it and of the user, however deep", async () => {
    const before = structuredClone(original);
    let copied: unknown;
    const use = toolPlugin("edit", (payload, { user }) => {
      copied = structuredClone(copyPayload(payload.args));
      const mine = copyPayload(payload);
      const args = mine.args as typeof original.args;
      args.list.push(2);
      (args.list[1] as { z: number }).z = 9;
      args.map.get("k")!.a = 9;
      mine.name = "other";
      return { modify: mine, metadata: { user: Object.assign(copyPayload(user) as object, { sub: "eve" }) } };
    });
    const { payload, metadata } = await run([{ use }], original);
    expect(original).toEqual(before);
    expect(copied).toEqual(before.args);
    expect(payload).toMatchObject({ name: "other", args: { list: [1, { z: 9 }, 2] } });
    expect((payload.args as typeof original.args).map.get("k")).toEqual({ a: 9 });
    expect(metadata["edit"]).toEqual({ user: { sub: "eve" } });
    expect([copyPayload("text"), copyPayload(undefined), copyPayload([1])]).toEqual(["text", undefined, [1]]);
  });

  it("PF-R2 counts as an edit only where something of it was edited", async () => {
    const payload = {
      name: "t",
      outcome: { kind: "result", result: { content: [{ type: "text", text: "hi" }] } },
      attempt: 1,
      annotations: { readOnlyHint: true },
      serverTrusted: false,
    } as const;
    const post = async (edit: (copy: { outcome: unknown; annotations: unknown }) => void) => {
      const use = definePlugin({
        name: "edit",
        version: "1.0.0",
        description: "Edits a copy.",
        hooks: { tool_post_invoke: {} },
        create: () => ({
          hooks: {
            tool_post_invoke: (given: HookPayloads["tool_post_invoke"]) => {
              const copy = copyPayload(given);
              edit(copy as { outcome: unknown; annotations: unknown });
              return { modify: copy };
            },
          },
        }),
      });
      await using pipeline = await createPluginPipeline({ plugins: [{ use }] });
      using scope = pipeline.begin({ requestId: "r" });
      return await scope.invoke("tool_post_invoke", payload);
    };
    const untouched = await post(() => undefined);
    expect(untouched.records).toMatchObject([
      { modified: false, droppedWrites: undefined, reason: undefined },
    ]);
    expect(untouched.payload).toBe(payload);
    const edited = await post(
      (copy) => void Object.assign(copy, { outcome: { kind: "result", result: {} } }),
    );
    expect(edited.records).toMatchObject([{ modified: true, droppedWrites: undefined }]);
    expect(edited.payload).toEqual({ ...payload, outcome: { kind: "result", result: {} } });
    expect(edited.payload.annotations).toBe(payload.annotations);
    const deep = await post((copy) => {
      (copy.outcome as { result: { content: { text: string }[] } }).result.content[0]!.text = "ho";
      copy.annotations = { readOnlyHint: false };
    });
    expect(deep.records).toMatchObject([{ modified: true, droppedWrites: ["annotations"] }]);
    expect(deep.payload.outcome).toEqual({
      kind: "result",
      result: { content: [{ type: "text", text: "ho" }] },
    });
  });

  it("PF-R2 of odd things, too, is no edit; another instance is one", async () => {
    class Money {
      readonly #cents: number;
      constructor(cents: number) {
        this.#cents = cents;
      }
      get cents() {
        return this.#cents;
      }
    }
    const odd = () => ({
      map: new Map([["k", { n: 1 }]]),
      set: new Set([[1]]),
      date: new Date(0),
      pattern: /a/g,
      bytes: Buffer.from("abc"),
      view: new DataView(new ArrayBuffer(4)),
      none: Number.NaN,
      money: new Money(1),
    });
    type Odd = ReturnType<typeof odd>;
    const hook = defineHook<Odd, "odd">("odd");
    const modified = async (edit: (copy: Odd) => void) => {
      const handler = (given: Odd) => {
        const copy = copyPayload(given);
        edit(copy);
        return { modify: copy };
      };
      const use = definePlugin({
        name: "edit",
        version: "1.0.0",
        description: "Edits a copy.",
        hooks: { odd: {} },
        create: () => ({ hooks: { odd: handler } as never }),
      });
      await using pipeline = await createPluginPipeline({ plugins: [{ use }] }, { hooks: [hook] });
      using scope = pipeline.begin({ requestId: "r" });
      return (await scope.invoke("odd" as never, odd() as never)).records[0]?.modified;
    };
    expect(await modified(() => undefined)).toBe(false);
    const edits: ((copy: Odd) => void)[] = [
      ({ map }) => void Object.assign(map.get("k")!, { n: 2 }),
      ({ set }) => void set.add([2]),
      ({ date }) => void date.setTime(1),
      ({ bytes }) => void bytes.fill(0),
      ({ view }) => view.setInt8(3, 1),
      (copy) => void Object.assign(copy, { pattern: /a/ }),
      (copy) => void Object.assign(copy, { money: new Money(2) }),
    ];
    for (const edit of edits) expect(await modified(edit), String(edit)).toBe(true);
  });

  it("PF-R2 is named to those who try structuredClone", async () => {
    const use = toolPlugin("clone", ({ args }) => void structuredClone(args));
    await expect(run([{ use }], original)).rejects.toMatchObject({
      code: "plugin_error",
      message: expect.stringContaining("copyPayload"),
    });
    const { records } = await run([{ use, onError: "ignore" }], original);
    expect(records).toMatchObject([{ status: "error", reason: expect.stringContaining("copyPayload") }]);
    const other = toolPlugin("other", () => void structuredClone({ own: () => 1 }));
    const failed = await run([{ use: other, onError: "ignore" }], original);
    expect(failed.records).toMatchObject([{ reason: expect.not.stringContaining("copyPayload") }]);
  });
});
