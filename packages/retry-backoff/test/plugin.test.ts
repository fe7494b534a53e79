import type { PluginContext, PostPayload } from "@gatewright/plugin-framework";
import { describe, expect, it } from "vitest";
import { createBudget, type Decision, type RetryPolicyInput } from "../src/index.ts";
import { type RetryPluginDeps, retryPlugin } from "../src/plugin/index.ts";
import { error, failed, fakeTime, idempotent, result } from "./helpers.ts";

type Answer = { retryDelayMs?: number; metadata?: { decision: Decision } } | undefined;
const host = { name: "retry", clock: undefined as never };

async function start(config: RetryPolicyInput = {}, deps: RetryPluginDeps = {}) {
  const instance = await retryPlugin(deps).create(config, host);
  const call = (more: Partial<PluginContext> = {}) => {
    const context = {
      requestId: "r1",
      serverId: "s1",
      signal: new AbortController().signal,
      state: new Map(),
      ...more,
    } as unknown as PluginContext;
    return (payload: Partial<PostPayload>, hook = "tool_post_invoke") =>
      instance.hooks[hook as "tool_post_invoke"]?.(
        { name: "t", attempt: 1, outcome: failed(), serverTrusted: false, ...payload },
        context,
      ) as Answer;
  };
  return { call, instance };
}

describe("retryPlugin", () => {
  it("is the plugin retry on the three post hooks and reads outcomes only", () => {
    const definition = retryPlugin();
    expect(definition.name).toBe("retry");
    expect(Object.keys(definition.hooks)).toEqual([
      "tool_post_invoke",
      "prompt_post_fetch",
      "resource_post_fetch",
    ]);
    for (const hook of Object.values(definition.hooks)) expect(hook?.reads).toBe("outcome");
  });

  it("asks for another attempt by retryDelayMs and leaves the decision", async () => {
    const { call } = await start({ jitter: "none" });
    const invoke = call();
    expect(invoke({ ...idempotent })).toEqual({
      retryDelayMs: 200,
      metadata: { decision: expect.objectContaining({ retry: true, attempt: 2, reason: "is_error" }) },
    });
    expect(invoke({ ...idempotent, attempt: 2 })?.retryDelayMs).toBe(400);
    expect(invoke({ ...idempotent, attempt: 3 })).toEqual({
      metadata: { decision: { retry: false, reason: "max_retries", failure: "is_error" } },
    });
  });

  it("asks for nothing, and pays for nothing, that the host has no time or no attempt left for", async () => {
    const budget = createBudget();
    const { call } = await start({ jitter: "none" }, { budget });
    const reasonOf = (payload: Partial<PostPayload>) =>
      call()({ ...idempotent, ...payload })?.metadata?.decision;
    expect(reasonOf({ remainingMs: 10 })).toMatchObject({ retry: false, reason: "deadline" });
    expect(reasonOf({ attemptsLeft: 0 })).toMatchObject({ retry: false, reason: "max_retries" });
    expect(budget.accounts()[0]).toMatchObject({ granted: 0, refused: 0 });
    expect(reasonOf({ remainingMs: 110 })).toMatchObject({ retry: true, delayMs: 100 });
    const { call: limited } = await start({ jitter: "none", totalDeadlineMs: 60 });
    expect(limited()({ ...idempotent, remainingMs: 10_000 })?.retryDelayMs).toBeLessThanOrEqual(50);
    expect(limited()({ ...idempotent, remainingMs: 30 })?.retryDelayMs).toBeLessThanOrEqual(20);
  });

  it("says nothing on success", async () => {
    const { call } = await start();
    expect(call()({ outcome: result({ content: [] }) })).toBeUndefined();
  });

  it("answers synchronously with a memory budget and later with a remote one", async () => {
    const { call } = await start();
    expect(call()({ ...idempotent })).not.toBeInstanceOf(Promise);
    const budget = { deposit() {}, withdraw: async () => ({ granted: true, remaining: 1 }) };
    const remote = await start({}, { budget });
    const answer = remote.call()({ ...idempotent });
    expect(answer).toBeInstanceOf(Promise);
    expect(await answer).toMatchObject({ metadata: { decision: { retry: true, budget: { remaining: 1 } } } });
  });

  it("RB-5 parallel calls of one tool in one request have their own counters", async () => {
    const { call } = await start({ jitter: "decorrelated" }, { random: () => 0.999999 });
    const [a, b] = [call({ requestId: "same" }), call({ requestId: "same" })];
    const steps = [
      a({ ...idempotent }),
      b({ ...idempotent }),
      a({ ...idempotent, attempt: 2 }),
      b({ ...idempotent, attempt: 2 }),
    ];
    expect(steps.map((step) => step?.retryDelayMs)).toEqual([600, 600, 1_800, 1_800]);
    expect(a({ ...idempotent, attempt: 3 })?.metadata?.decision.reason).toBe("max_retries");
    expect(b({ attempt: 1, ...idempotent })?.retryDelayMs).toBeGreaterThan(0);
  });

  it("RB-11 a resource read that failed with 503 is read again, prompts too", async () => {
    const { call } = await start({ jitter: "none" });
    const outcome = error({ httpStatus: 503, phase: "refused" }) as PostPayload["outcome"];
    for (const hook of ["resource_post_fetch", "prompt_post_fetch"]) {
      const invoke = call();
      expect(invoke({ outcome }, hook)?.retryDelayMs).toBe(200);
      expect(
        invoke({ outcome: result({ contents: [] }) as PostPayload["outcome"], attempt: 2 }, hook),
      ).toBeUndefined();
    }
  });

  it("preset contextforge retries tools whatever they do and leaves resources and prompts alone", async () => {
    const { call } = await start({ preset: "contextforge" });
    expect(call()({})?.retryDelayMs).toBeGreaterThan(0);
    expect(call()({ outcome: failed(503) as PostPayload["outcome"] }, "resource_post_fetch")).toBeUndefined();
  });

  it("passes the server's word on annotations and the sent idempotency key to the decision", async () => {
    const { call } = await start();
    const reason = (payload: Partial<PostPayload>) => call()(payload)?.metadata?.decision.reason;
    expect(reason({})).toBe("unsafe_to_repeat");
    expect(reason({ annotations: { readOnlyHint: true } })).toBe("unsafe_to_repeat");
    expect(reason({ annotations: { readOnlyHint: true }, serverTrusted: true })).toBe("is_error");
    expect(reason({ idempotencyKey: "k" })).toBe("is_error");
  });

  it("clamps at the host's ceiling of three and says so", async () => {
    const warnings: string[] = [];
    const { call, instance } = await start({ maxRetries: 8 }, { onWarning: (w) => warnings.push(w) });
    expect(call()({ ...idempotent, attempt: 4 })?.metadata?.decision.reason).toBe("max_retries");
    expect(warnings).toEqual(["maxRetries: 8 is clamped to 3"]);
    expect(instance.stats?.()).toMatchObject({ warnings, giveUps: { max_retries: 1 } });
  });

  it("refuses an invalid policy when it is created", async () => {
    await expect(start({ baseMs: 10, maxMs: 5 })).rejects.toThrow("maxMs: 5 is less than baseMs 10");
  });

  it("charges its budget per tool, server and tenant, one deposit a call", async () => {
    const seen: unknown[] = [];
    const real = createBudget({ ratio: 0.5, floorPerSecond: 0 });
    const deposit = (scope: object) => {
      seen.push(scope);
      real.deposit(scope);
    };
    const budget = { ...real, deposit };
    const { call } = await start({}, { budget });
    const invoke = call({ tenantId: "acme" });
    expect(invoke({ ...idempotent })?.metadata?.decision).toMatchObject({ reason: "budget_exhausted" });
    invoke({ ...idempotent, attempt: 2 });
    expect(seen).toEqual([{ tool: "t", server: "s1", tenant: "acme" }]);
  });

  it("honours the total deadline, the breaker and the request's signal", async () => {
    const { clock, fake } = fakeTime();
    const { call } = await start(
      { totalDeadlineMs: 1_000, jitter: "none" },
      { clock, circuitOpen: (id) => id === "down" },
    );
    const invoke = call();
    invoke({ ...idempotent });
    fake.advanceSync(995);
    expect(invoke({ ...idempotent, attempt: 2 })?.metadata?.decision.reason).toBe("deadline");
    expect(call({ serverId: "down" })({ ...idempotent })?.metadata?.decision.reason).toBe("circuit_open");
    expect(call({ signal: AbortSignal.abort() })({ ...idempotent })?.metadata?.decision.reason).toBe(
      "aborted",
    );
  });

  it("tells its observer of every decision", async () => {
    const events: string[] = [];
    const observer = {
      onRetry: (d: { reason: string }) => events.push(`retry ${d.reason}`),
      onGiveUp: (d: { reason: string }) => events.push(`give up ${d.reason}`),
      onDone: (i: { ok: boolean; attempts: number }) => events.push(`done ${i.ok} ${i.attempts}`),
    };
    const { call, instance } = await start({}, { observer });
    call()({ ...idempotent });
    call()({ outcome: result({}) as PostPayload["outcome"], attempt: 2 });
    call()({ outcome: failed(404) as PostPayload["outcome"] });
    expect(events).toEqual(["retry is_error", "done true 2", "done false 1", "give up not_retryable"]);
    expect(instance.stats?.()).toEqual({ retries: 1, giveUps: { not_retryable: 1 }, warnings: [] });
  });
});
