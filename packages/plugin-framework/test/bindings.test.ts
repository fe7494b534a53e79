import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { createPluginPipeline, definePlugin, type HookRecord, type LifecycleFailure } from "../src/index.ts";
import { toolCall } from "./support.ts";

interface Config {
  readonly a?: number | undefined;
  readonly b?: number | undefined;
}

const notBoth = ({ a, b }: Config) => a === undefined || b === undefined;

/** A plugin that counts its calls and takes `a` or `b`. */
function either(valid: (config: Config) => boolean = notBoth) {
  const created: Config[] = [];
  const use = definePlugin({
    name: "counter",
    version: "1.0.0",
    description: "counts",
    hooks: { tool_pre_invoke: {} },
    configSchema: z
      .strictObject({ a: z.number().optional(), b: z.number().optional() })
      .refine(valid, "a or b"),
    create(config) {
      created.push(config);
      let calls = 0;
      return { hooks: { tool_pre_invoke: () => ({ headers: { calls: `${++calls}` } }) } };
    },
  });
  return { created, use };
}

describe("configs that several bindings make together", () => {
  it.each([
    [{ tenant: "acme" }, { tool: "search" }],
    [{ tenant: "a*" }, { tenant: "acme" }],
    [{ server: "s-*" }, { server: "s-1-*", tool: "t?" }],
    [
      { tenant: "acme", server: "s" },
      { tenant: "acme", tool: "search" },
    ],
  ])("PF-R8 bindings %j and %j that are wrong together are refused at load, by name", async (one, other) => {
    const bindings = [
      { plugin: "counter", ...one, config: { a: 1 } },
      { plugin: "counter", ...other, config: { b: 1 } },
    ];
    const loading = createPluginPipeline({ plugins: [{ use: either().use }], bindings });
    await expect(loading).rejects.toThrow(/bindings\[\d\]\.config with bindings\[\d\]\.config: a or b/);
  });

  it.each([
    [{ tenant: "acme" }, { tenant: "other" }],
    [
      { tenant: "acme", tool: "x" },
      { server: "s", tool: "y" },
    ],
    [{ tenant: "a*" }, { tenant: "b*" }],
  ])("PF-R8 bindings %j and %j never meet, and may differ", async (one, other) => {
    const bindings = [
      { plugin: "counter", ...one, config: { a: 1 } },
      { plugin: "counter", ...other, config: { b: 1 } },
    ];
    await using pipeline = await createPluginPipeline({ plugins: [{ use: either().use }], bindings });
    expect(pipeline.list()).toHaveLength(1);
  });

  it("PF-R8 globs that turn out to be wrong together are their plugin's failure, in every phase", async () => {
    const failures: LifecycleFailure[] = [];
    const records: HookRecord[] = [];
    const { use, created } = either();
    const later = {
      ...use,
      name: "later",
      hooks: { tool_pre_invoke: { phase: "fire_and_forget" as const } },
    };
    const bindings = ["counter", "later"].flatMap((plugin) => [
      { plugin, tenant: "ac*", config: { a: 1 } },
      { plugin, tenant: "*me", config: { b: 1 } },
    ]);
    await using pipeline = await createPluginPipeline(
      { plugins: [{ use, onError: "ignore" }, { use: later }], bindings },
      {
        observer: {
          lifecycleFailure: (failure) => void failures.push(failure),
          record: (record) => void records.push(record),
        },
      },
    );
    using scope = pipeline.begin({ requestId: "r", tenantId: "acme" });
    expect((await scope.invoke("tool_pre_invoke", toolCall)).allowed).toBe(true);
    await eventually(() => records.length === 2);
    expect(records).toMatchObject([
      { plugin: "counter", status: "error", reason: expect.stringContaining("a or b") },
      { plugin: "later", status: "error", reason: expect.stringContaining("a or b") },
    ]);
    expect(failures).toMatchObject([{ plugin: "counter" }, { plugin: "later" }]);
    expect(created).toEqual([{}, {}]);
  });

  it("PF-R8 an instance for a config that two bindings make together is kept over a reload", async () => {
    const { use, created } = either(() => true);
    const bindings = [
      { plugin: "counter", tenant: "acme", config: { a: 1 } },
      { plugin: "counter", tool: "echo", config: { b: 1 } },
    ];
    const config = { plugins: [{ use }], bindings };
    await using pipeline = await createPluginPipeline(config);
    const call = async () => {
      using scope = pipeline.begin({ requestId: "r", tenantId: "acme" });
      return (await scope.invoke("tool_pre_invoke", toolCall)).headers["calls"];
    };
    expect(await call()).toBe("1");
    await (await pipeline.reload(config)).drained;
    expect(await call()).toBe("2");
    expect(created).toEqual([{}, { a: 1, b: 1 }]);
  });
});
