import { isThenable } from "../is-thenable.ts";
import { readOnly } from "../payload-view.ts";
import { localMode } from "./admission.ts";
import { asOutcome } from "./as-outcome.ts";
import type { Chain } from "./chain.ts";
import type { Engine } from "./engine.ts";
import { honourFence, lookedAway } from "./fence.ts";
import { CallContext, type CallOwner, type HandlerCall } from "./handler-call.ts";
import { judge } from "./judge.ts";
import type { RequestScope } from "./request-scope.ts";
import type { Result } from "./result.ts";
import { fits } from "./size-guard.ts";

/** The run of a chain, as far as the run of one of its handlers is concerned with it. */
export interface Walk extends CallOwner {
  readonly engine: Engine;
  readonly scope: RequestScope;
  readonly chain: Chain;
  readonly result: Result<unknown>;
  readonly ended: boolean;
  /** The last reading of the clock. */
  at: number;
  /** What handlers are given, and the payload it was made of. */
  view: unknown;
  viewed: unknown;
  /** The payload that was found to be small enough. */
  measured: unknown;
  /** Writes a failure down. @throws PluginError when it must reach the caller. */
  failed(call: HandlerCall, error: unknown): void;
  /** Goes on after `concluded` has said true. */
  settle(call: HandlerCall, concluded: () => boolean): void;
}

/** Runs a handler. True when it is done, false when its promise is waited for. */
export function invoke(walk: Walk, call: HandlerCall): boolean {
  const { slot } = call;
  const { payload } = walk.result;
  if (slot.reads === "body" && walk.measured !== payload) {
    if (!fits(walk.engine, walk.result, call)) return true;
    walk.measured = payload;
  }
  if (walk.viewed !== payload) {
    walk.viewed = payload;
    walk.view = readOnly(payload);
  }
  const handler = call.resolution.handle.handlers[slot.hook];
  if (handler === undefined) return true;
  let outcome: unknown;
  let promised: boolean;
  try {
    outcome = handler(walk.view as never, new CallContext(call));
    promised = isThenable(outcome);
  } catch (error) {
    stamp(walk, call);
    return conclude(walk, call, undefined, error, true);
  }
  if (promised) {
    call.track(outcome as PromiseLike<unknown>, walk, walk.engine);
    return false;
  }
  stamp(walk, call);
  return conclude(walk, call, outcome, undefined, false);
}

/** Notes how long a handler took. */
export function stamp(walk: Walk, call: HandlerCall): void {
  walk.at = walk.engine.clock.now();
  call.durationNs = Math.round((walk.at - call.startedAt) * 1e6);
}

/** Applies fence and lease to what a handler answered or threw, then judges. False: the lease is being renewed first. */
export function conclude(
  walk: Walk,
  call: HandlerCall,
  answer: unknown,
  error: unknown,
  threw: boolean,
): boolean {
  const { plugin } = call.slot;
  const { engine } = walk;
  let outcome: ReturnType<typeof asOutcome>;
  try {
    outcome = threw ? undefined : asOutcome(answer);
    const fenced = outcome !== undefined && honourFence(engine, call, outcome.authority);
    if (!fenced && lookedAway(call, outcome?.authority)) {
      if (!call.repeated) return repeat(walk, call);
      call.degraded = true;
    }
    if (!fenced && plugin.modeAuthority && !call.leaseChecked && walk.at > plugin.modes.leaseUntil) {
      return renewFor(walk, call, answer, error, threw);
    }
    if (!threw) {
      judge(engine, walk.result, call, outcome, walk.chain.schema);
      return true;
    }
  } catch (thrown) {
    walk.failed(call, thrown);
    return true;
  }
  walk.failed(call, error);
  return true;
}

/** The store lost the record: the handler decides once more, under the last known mode. */
function repeat(walk: Walk, call: HandlerCall): boolean {
  call.mode = localMode(call.slot, walk.scope.context, call.resolution);
  call.repeated = true;
  call.done = false;
  return invoke(walk, call);
}

function renewFor(walk: Walk, call: HandlerCall, answer: unknown, error: unknown, threw: boolean): boolean {
  call.leaseChecked = true;
  call.done = false;
  void walk.engine.gate.renew(call.slot.plugin.modes).then((renewed) => {
    if (walk.ended || call.done) return;
    call.degraded = !renewed;
    call.mode = localMode(call.slot, walk.scope.context, call.resolution);
    walk.settle(call, () => conclude(walk, call, answer, error, threw));
  });
  return false;
}
