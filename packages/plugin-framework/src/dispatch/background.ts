import { handlerTimedOut } from "../errors.ts";
import { isThenable } from "../is-thenable.ts";
import { readOnly } from "../payload-view.ts";
import { textField } from "../subject.ts";
import { localMode } from "./admission.ts";
import { asOutcome } from "./as-outcome.ts";
import type { Chain, Slot } from "./chain.ts";
import type { Engine } from "./engine.ts";
import { honourFence, lookedAway } from "./fence.ts";
import { CallContext, HandlerCall } from "./handler-call.ts";
import { failHandler } from "./handler-failure.ts";
import { judge } from "./judge.ts";
import type { RequestScope } from "./request-scope.ts";
import { type Result, recordPassedOver } from "./result.ts";
import { fits } from "./size-guard.ts";

/**
 * Starts the `fire_and_forget` handlers of a chain after the caller has its result. They see the final payload,
 * hold the snapshot until they end, and are bounded: over the limit a handler is skipped and recorded.
 */
export function runInBackground(
  engine: Engine,
  scope: RequestScope,
  chain: Chain,
  result: Result<unknown>,
): void {
  const view = readOnly(result.payload);
  const tool = chain.toolField === undefined ? undefined : textField(result.payload, chain.toolField);
  for (const slot of chain.background) {
    if (engine.background.running >= engine.background.limit) {
      note(engine, scope, result, slot, tool, "skipped", "too many handlers in the background");
      continue;
    }
    engine.background.running++;
    scope.snapshot.retain();
    setImmediate(() => {
      void runOne(engine, scope, slot, tool, view, result)
        // A handler's failure is in its record; what is left are objects of the host that throw when they are read.
        .catch(() => undefined)
        .finally(() => {
          engine.background.running--;
          scope.snapshot.release();
        });
    });
  }
}

function note(
  engine: Engine,
  scope: RequestScope,
  result: Result<unknown>,
  slot: Slot,
  tool: string | undefined,
  status: "skipped" | "disabled",
  reason: string | undefined,
): void {
  const mode =
    status === "disabled"
      ? "disabled"
      : localMode(slot, scope.context, slot.plugin.resolve(scope.context, tool));
  recordPassedOver(engine, result, slot, mode, { status, reason });
}

async function runOne(
  engine: Engine,
  scope: RequestScope,
  slot: Slot,
  tool: string | undefined,
  view: unknown,
  result: Result<unknown>,
): Promise<void> {
  const { plugin } = slot;
  if (slot.matches !== undefined && !slot.matches(scope.context, view)) {
    return note(engine, scope, result, slot, tool, "skipped", "no condition matches");
  }
  if (plugin.modes.switchedOff !== undefined) {
    return note(engine, scope, result, slot, tool, "disabled", plugin.modes.switchedOff);
  }
  const renewed = engine.clock.now() <= plugin.modes.leaseUntil || (await engine.gate.renew(plugin.modes));
  const resolution = plugin.resolve(scope.context, tool);
  const mode = localMode(slot, scope.context, resolution);
  if (mode === "disabled") return note(engine, scope, result, slot, tool, "disabled", undefined);
  if (resolution.handle.state !== "ready") await resolution.handle.start();
  const call = new HandlerCall(slot, scope, resolution, mode, engine.clock.now());
  call.degraded = !renewed;
  if (slot.reads === "body" && !fits(engine, result, call)) return;
  try {
    const outcome = asOutcome(await answerOf(engine, call, view));
    call.durationNs = Math.round((engine.clock.now() - call.startedAt) * 1e6);
    if (outcome !== undefined && !honourFence(engine, call, outcome.authority))
      call.degraded ||= lookedAway(call, outcome.authority);
    judge(engine, result, call, observed(outcome), undefined);
  } catch (error) {
    call.durationNs = Math.round((engine.clock.now() - call.startedAt) * 1e6);
    failHandler(engine, result, call, error);
  }
}

/** The result is already with the caller: only the wish to block or modify is recorded, nothing is merged. */
function observed(outcome: ReturnType<typeof asOutcome>): ReturnType<typeof asOutcome> {
  if (outcome === undefined) return undefined;
  return {
    ...(outcome.block === undefined ? {} : { block: outcome.block }),
    ...(outcome.faults === undefined ? {} : { faults: outcome.faults }),
    ...(outcome.modify === undefined ? {} : { modify: outcome.modify }),
  };
}

function answerOf(engine: Engine, call: HandlerCall, view: unknown): Promise<unknown> {
  const { handle } = call.resolution;
  if (handle.state !== "ready") return Promise.reject(handle.failure ?? new Error("the plugin is not ready"));
  return new Promise((resolve, reject) => {
    const answer = handle.handlers[call.slot.hook]?.(view as never, new CallContext(call));
    if (!isThenable(answer)) return resolve(answer);
    call.track(
      answer,
      {
        answered: (_, outcome) => resolve(outcome),
        threw: (_, error) => reject(error),
        timedOut: () =>
          reject(handlerTimedOut(call.slot.plugin.name, call.slot.hook, call.slot.plugin.timeoutMs)),
      },
      engine,
    );
  });
}
