import type { PluginContext, PluginInstance } from "@gatewright/plugin-framework";
import { createMemoryStore } from "@gatewright/rate-limiter";
import { identityOf, rateLimiterPlugin } from "@gatewright/rate-limiter/plugin";
import { describe, expect, it } from "vitest";

function context(more: Partial<PluginContext> = {}): PluginContext {
  return {
    requestId: "r",
    user: { sub: "ann" },
    signal: new AbortController().signal,
    state: new Map(),
    shared: new Map(),
    mode: "enforce",
    configuredMode: "enforce",
    wipeSeq: [0, 0],
    ...more,
  };
}

async function plugin(config: object, store = createMemoryStore()): Promise<PluginInstance> {
  const definition = rateLimiterPlugin({ store });
  return definition.create(definition.configSchema!.parse(config), {
    name: "rate_limiter",
    clock: { now: () => 0 } as never,
  });
}

const call = { name: "search", args: {}, headers: {} };

describe("rate limiter plugin", () => {
  it("has no rules by default and then says nothing", async () => {
    const instance = await plugin({});
    expect(instance.hooks.tool_pre_invoke?.(call, context())).toBeUndefined();
  });

  it("gives headers on success and blocks with 429 and -31001 on refusal", async () => {
    const instance = await plugin({ rules: { by_user: "1/m" } });
    expect(instance.hooks.tool_pre_invoke?.(call, context())).toMatchObject({
      headers: { "X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0" },
    });
    expect(instance.hooks.tool_pre_invoke?.(call, context())).toMatchObject({
      block: {
        code: "rate_limited",
        httpStatus: 429,
        mcpErrorCode: -31001,
        details: { rule: "by_user", retryAfterMs: expect.any(Number) },
        headers: { "Retry-After": expect.stringMatching(/^\d+$/) },
      },
    });
  });

  it("never names the user or an address in a refusal", async () => {
    const instance = await plugin({ rules: { by_user: "1/m", by_ip: "1/m" } });
    const secret = context({ user: "token-abc", clientIp: "10.1.2.3" });
    instance.hooks.tool_pre_invoke?.(call, secret);
    const refused = JSON.stringify(instance.hooks.tool_pre_invoke?.(call, secret));
    expect(refused).toContain('"kind":"user"');
    expect(refused).not.toContain("token-abc");
    expect(refused).not.toContain("10.1.2.3");
  });

  it("limits prompts and resources by their own maps", async () => {
    const rules = { by_tool: { x: "1/m" }, by_prompt: { x: "1/m" }, by_resource: { x: "1/m" } };
    const instance = await plugin({ rules });
    const run = () => [
      instance.hooks.tool_pre_invoke?.({ ...call, name: "x" }, context()),
      instance.hooks.prompt_pre_fetch?.({ promptId: "x", args: {} }, context()),
      instance.hooks.resource_pre_fetch?.({ uri: "x", metadata: {} }, context()),
    ];
    expect(run().map((outcome) => JSON.stringify(outcome).includes("block"))).toEqual([false, false, false]);
    expect(run().map((outcome) => JSON.stringify(outcome).includes("block"))).toEqual([true, true, true]);
  });

  it("under permissive it reports what it would have blocked", async () => {
    const instance = await plugin({ rules: { by_user: "1/m" } });
    instance.hooks.tool_pre_invoke?.(call, context({ mode: "permissive" }));
    expect(instance.hooks.tool_pre_invoke?.(call, context({ mode: "permissive" }))).toHaveProperty("block");
  });

  it("wipes on a mode change that asks for it, all or one tenant", async () => {
    const instance = await plugin({ rules: { by_user: "1/m" } });
    const blocked = (tenantId: string) =>
      JSON.stringify(instance.hooks.tool_pre_invoke?.(call, context({ tenantId }))).includes("block");
    const change = {
      previous: "enforce",
      next: "disabled",
      rev: 1,
      wipeSeq: 1,
      cause: "set",
      setBy: "t",
    } as const;
    expect([blocked("a"), blocked("b")]).toEqual([false, false]);
    await instance.onModeChange?.({ ...change, wipe: false });
    expect([blocked("a"), blocked("b")]).toEqual([true, true]);
    await instance.onModeChange?.({ ...change, wipe: true, tenant: "a" });
    expect([blocked("a"), blocked("b")]).toEqual([false, true]);
    await instance.onModeChange?.({ ...change, wipe: true });
    expect([blocked("a"), blocked("b")]).toEqual([false, false]);
    for (const cause of ["expiry", "reload"] as const) {
      expect([blocked("a"), blocked("b")]).toEqual([true, true]);
      await instance.onModeChange?.({ ...change, cause, wipe: false });
      expect([blocked("a"), blocked("b")]).toEqual([false, false]);
    }
    expect(instance.stats?.()).toMatchObject({ store: { kind: "memory" } });
    await instance.shutdown?.();
  });

  it("RL-10 instances of the definition share the counters of the host's store", async () => {
    const store = createMemoryStore();
    const first = await plugin({ rules: { by_user: "1/m" } }, store);
    first.hooks.tool_pre_invoke?.(call, context());
    const second = await plugin({ rules: { by_user: "1/m", by_ip: "5/m" } }, store);
    expect(second.hooks.tool_pre_invoke?.({ ...call, name: "other" }, context())).toHaveProperty("block");
  });

  it.each([
    [{ email: "a@b", id: "1", sub: "s" }, "a@b"],
    [{ id: 7, sub: "s" }, "7"],
    [{ email: " ", sub: "s" }, "s"],
    ["ann", "ann"],
    ["  ", "anonymous"],
    [undefined, "anonymous"],
    [{}, "anonymous"],
  ])("counts principal %j as %s", (principal, name) => {
    expect(identityOf(principal)).toBe(name);
  });
});
