import {
  createPluginPipeline,
  definePlugin,
  type HookOutcome,
  type PipelineConfig,
} from "@gatewright/plugin-framework";
import { describe, expect, it } from "vitest";

type Payload = { name: string; args: unknown; headers: Record<string, string> };
const payload: Payload = { name: "echo", args: { text: "hi" }, headers: {} };

function plugin(name: string, handler: (p: Readonly<Payload>) => unknown, extra: object = {}) {
  return {
    use: definePlugin({
      name,
      version: "1.0.0",
      description: name,
      hooks: { tool_pre_invoke: {} },
      create: () => ({ hooks: { tool_pre_invoke: (p) => handler(p as Payload) as HookOutcome<Payload> } }),
    }),
    ...extra,
  };
}

async function run(config: PipelineConfig, p: Payload = payload) {
  await using pipeline = await createPluginPipeline(config);
  const scope = pipeline.begin({ requestId: "r" });
  try {
    return await scope.invoke("tool_pre_invoke", p);
  } finally {
    scope.end();
  }
}

const violation = { reason: "no", description: "not now", code: "nope" };

describe("dispatch", () => {
  it("chains edits by priority and leaves the caller's object alone", async () => {
    const add = (text: string) => (p: Readonly<Payload>) => ({ modify: { ...p, name: p.name + text } });
    const result = await run({
      plugins: [plugin("late", add("2"), { priority: 200 }), plugin("early", add("1"))],
    });
    expect(result.payload.name).toBe("echo12");
    expect(result.payload.args).toBe(payload.args);
    expect(payload.name).toBe("echo");
    expect(result.records.map((r) => r.plugin)).toEqual(["early", "late"]);
  });

  it("blocks in enforce, keeps a shadow verdict in permissive, skips when disabled", async () => {
    const refuse = () => ({ block: violation, headers: { "x-left": "0" } });
    const enforced = await run({ plugins: [plugin("a", refuse), plugin("b", () => undefined)] });
    expect(enforced).toMatchObject({ allowed: false, violation: { code: "nope", pluginName: "a" } });
    expect(enforced.headers).toEqual({ "x-left": "0" });
    expect(enforced.records).toHaveLength(1);
    const shadowed = await run({ plugins: [plugin("a", refuse, { mode: "permissive" })] });
    expect(shadowed).toMatchObject({ allowed: true, shadowViolations: [{ code: "nope" }], headers: {} });
    const off = await run({ plugins: [plugin("a", refuse, { mode: "disabled" })] });
    expect(off).toMatchObject({ allowed: true, shadowViolations: [], records: [{ status: "disabled" }] });
  });

  it("stays synchronous with synchronous handlers and waits for promises", async () => {
    await using pipeline = await createPluginPipeline({
      plugins: [
        plugin("sync", () => ({ headers: { a: "1" } })),
        plugin("later", async () => ({ headers: { b: "2" } })),
      ],
    });
    const scope = pipeline.begin({ requestId: "r" });
    const pending = scope.invoke("tool_pre_invoke", payload);
    expect(pending).toBeInstanceOf(Promise);
    expect((await pending).headers).toEqual({ a: "1", b: "2" });
    await pipeline.setMode("later", "disabled");
    expect(scope.invoke("tool_pre_invoke", payload)).toMatchObject({ headers: { a: "1" } });
    scope.end();
  });

  it("switches live and reports", async () => {
    await using pipeline = await createPluginPipeline({
      plugins: [plugin("a", () => ({ block: violation }))],
    });
    const report = await pipeline.setMode("a", "disabled");
    expect(report).toMatchObject({
      rev: 1,
      previousMode: "enforce",
      mode: "disabled",
      wipe: true,
      converged: true,
    });
    const scope = pipeline.begin({ requestId: "r" });
    expect(scope.invoke("tool_pre_invoke", payload)).toMatchObject({ allowed: true });
    expect(await pipeline.clearMode("a")).toMatchObject({ rev: 2, mode: "enforce", converged: true });
    expect(scope.invoke("tool_pre_invoke", payload)).toMatchObject({ allowed: false });
    await expect(pipeline.setMode("b", "disabled")).rejects.toMatchObject({ code: "not_found" });
    scope.end();
  });

  it("follows onError when a handler throws", async () => {
    const fail = () => {
      throw new Error("boom");
    };
    await expect(run({ plugins: [plugin("a", fail)] })).rejects.toMatchObject({ code: "plugin_error" });
    const ignored = await run({ plugins: [plugin("a", fail, { onError: "ignore" })] });
    expect(ignored.records).toMatchObject([{ status: "error", reason: "boom", effectiveAllow: true }]);
  });

  it("names the path of a misspelt key and the nearest right one", async () => {
    const config = { plugins: [plugin("a", () => undefined, { mod: "enforce" })] } as PipelineConfig;
    await expect(createPluginPipeline(config)).rejects.toThrow(
      'plugins[0].mod: unknown key; did you mean "mode"?',
    );
    const mode = {
      plugins: [plugin("a", () => undefined, { mode: "enforced" })],
    } as unknown as PipelineConfig;
    await expect(createPluginPipeline(mode)).rejects.toThrow(
      /plugins\[0\]\.mode: .* did you mean "enforce"\?/,
    );
  });
});
