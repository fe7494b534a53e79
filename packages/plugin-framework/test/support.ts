import { createFakeClock, type FakeClock } from "@gatewright/testkit";
import { systemClock } from "../src/clock.ts";
import {
  type Clock,
  definePlugin,
  type HookDeclaration,
  type HookOutcome,
  type HookPayloads,
  type PluginContext,
  type PluginDefinition,
  type PluginInstance,
} from "../src/index.ts";

/** Payload of `tool_pre_invoke`. */
export type ToolCall = HookPayloads["tool_pre_invoke"];

/** A call to start from. */
export const toolCall: ToolCall = { name: "echo", args: { text: "hi" }, headers: { accept: "json" } };

/** A violation to block with. */
export const violation = { reason: "no", description: "not now", code: "nope" };

type Handler = (
  payload: Readonly<ToolCall>,
  context: PluginContext,
) => HookOutcome<ToolCall> | Promise<HookOutcome<ToolCall>>;

/** A plugin with one handler at `tool_pre_invoke`. */
export function toolPlugin(
  name: string,
  handler: Handler,
  hook: HookDeclaration = {},
  rest: Partial<PluginDefinition> & { readonly instance?: Partial<PluginInstance> } = {},
): PluginDefinition {
  const { instance = {}, ...definition } = rest;
  return definePlugin({
    name,
    version: "1.0.0",
    description: `${name} for tests`,
    hooks: { tool_pre_invoke: hook },
    create: () => ({ hooks: { tool_pre_invoke: handler }, ...instance }),
    ...definition,
  });
}

/** The package's clock over the testkit's fake one. */
export function clockOf(fake: FakeClock): Clock {
  return {
    now: () => fake.monotonic(),
    wallNow: () => fake.now(),
    setTimer: (callback, delayMs) => {
      const timer = fake.setTimeout(callback, delayMs);
      return { cancel: () => fake.clearTimeout(timer) };
    },
  };
}

/** A fake clock in both shapes. */
export function fakeTime(): { readonly fake: FakeClock; readonly clock: Clock } {
  const fake = createFakeClock();
  return { fake, clock: clockOf(fake) };
}

/** The machine's clock, and a way to let time pass at once: what shall not have run out does not, however busy it is. */
export function movableTime(): { readonly clock: Clock; pass(ms: number): void } {
  let passedMs = 0;
  return {
    clock: { ...systemClock, now: () => systemClock.now() + passedMs },
    pass: (ms) => {
      passedMs += ms;
    },
  };
}

/** A promise and its ends. */
export function deferred<T = void>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>();
}

/**
 * Empties Redis, then says that its list of members has long been kept, as in a fleet that has run for a while: after a
 * loss, and in a fleet that has just begun, a switch waits three seconds for those that may not have come back yet.
 */
export async function emptyWithOldList(redis: {
  flushall(): Promise<unknown>;
  zadd(key: string, score: number, member: string): Promise<unknown>;
}): Promise<void> {
  await redis.flushall();
  await redis.zadd("gw:{bus}:members", -1, "~since");
}
