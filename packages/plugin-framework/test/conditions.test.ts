import { afterEach, describe, expect, it, vi } from "vitest";
import { createPluginPipeline, definePlugin, type HookPayloads } from "../src/index.ts";
import { toolCall, toolPlugin } from "./support.ts";

const before = {
  tool_pre_invoke: toolCall,
  prompt_pre_fetch: { promptId: "greet_all", args: {} },
  resource_pre_fetch: { uri: "file:///etc/hosts", metadata: {} },
  agent_pre_invoke: { agentId: "billing", messages: [] },
};
const post = (name: string) => ({
  name,
  outcome: { kind: "result", result: {} } as const,
  attempt: 1,
  serverTrusted: true,
});
const after = {
  prompt_post_fetch: post("greet_all"),
  resource_post_fetch: post("file:///etc/hosts"),
  agent_post_invoke: post("billing"),
};
const payloads = { ...before, ...after } satisfies Partial<HookPayloads>;
type Hook = keyof typeof payloads;
const hooks = Object.keys(payloads) as Hook[];

const everywhere = definePlugin({
  name: "everywhere",
  version: "1.0.0",
  description: "says that it ran",
  hooks: Object.fromEntries(hooks.map((hook) => [hook, {}])),
  create: () => ({
    hooks: Object.fromEntries(hooks.map((hook) => [hook, () => ({ headers: { ran: "1" } })])) as never,
  }),
});

/** The hooks at which a plugin with these conditions runs. */
async function ranAt(condition: Record<string, string[]>): Promise<Hook[]> {
  await using pipeline = await createPluginPipeline({
    plugins: [{ use: everywhere, conditions: [condition] }],
  });
  using scope = pipeline.begin({ requestId: "r" });
  const ran: Hook[] = [];
  for (const hook of hooks) {
    const { headers } = await scope.invoke(hook, payloads[hook] as never);
    if (headers["ran"] === "1") ran.push(hook);
  }
  return ran;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("conditions on what a call is about", () => {
  it.each([
    [{ prompts: ["greet_*"] }, ["prompt_pre_fetch", "prompt_post_fetch"]],
    [{ prompts: ["other", "gr?et_all"] }, ["prompt_pre_fetch", "prompt_post_fetch"]],
    [{ prompts: ["greet"] }, []],
    [{ resources: ["file:///etc/*"] }, ["resource_pre_fetch", "resource_post_fetch"]],
    [{ resources: ["http*"] }, []],
    [{ agents: ["bill*"] }, ["agent_pre_invoke", "agent_post_invoke"]],
    [{ agents: ["sales"] }, []],
    [{ tools: ["echo"] }, ["tool_pre_invoke"]],
  ])("PF-R3 %j runs at %j", async (condition, expected) => {
    expect(await ranAt(condition as Record<string, string[]>)).toEqual(expected);
  });

  it("PF-R3 patterns are compiled when the configuration is loaded, and never again", async () => {
    const patterns = { tools: ["ec*"], userPatterns: ["*@x.org"], tenantIds: ["t?"], serverIds: ["s*"] };
    const use = toolPlugin("guard", () => ({ headers: { ran: "1" } }));
    const bindings = [{ plugin: "guard", tenant: "t*", mode: "enforce" as const }];
    await using pipeline = await createPluginPipeline({
      plugins: [{ use, conditions: [patterns] }],
      bindings,
    });
    // A pattern is taken apart by `match`; the calls below are watched, not changed.
    const taken = vi.spyOn(String.prototype, "match");
    const compiled = () => taken.mock.contexts.filter((text) => /[*?]/.test(String(text))).length;
    for (let call = 0; call < 10; call++) {
      const context = { user: `${call}@x.org`, tenantId: `t${call}`, serverId: `s${call}` };
      using scope = pipeline.begin({ requestId: "r", ...context });
      expect((await scope.invoke("tool_pre_invoke", toolCall)).headers).toEqual({ ran: "1" });
    }
    expect(compiled()).toBe(0);
    await pipeline.reload({ plugins: [{ use, conditions: [patterns] }], bindings });
    expect(compiled()).toBeGreaterThan(0);
  });
});
