import { describe, expect, it } from "vitest";
import { copyPayload, createPluginPipeline, type PipelineConfig } from "../src/index.ts";
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

  it("PF-R2 is named to those who try structuredClone", async () => {
    const use = toolPlugin("clone", ({ args }) => void structuredClone(args));
    await expect(run([{ use }], original)).rejects.toMatchObject({
      code: "plugin_error",
      message: expect.stringContaining("copyPayload"),
    });
    const { records } = await run([{ use, onError: "ignore" }], original);
    expect(records).toMatchObject([{ status: "error", reason: expect.stringContaining("copyPayload") }]);
  });
});
