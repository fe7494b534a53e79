import { handlerTimedOut } from "../errors.ts";
import type { Resolution } from "../lifecycle/plugin-runtime.ts";
import type { Mode } from "../mode.ts";
import { textField } from "../subject.ts";
import { localMode, needsLease } from "./admission.ts";
import { runInBackground } from "./background.ts";
import type { Admission, Chain, Slot } from "./chain.ts";
import { ConcurrentPhase, type ConcurrentWalk, cancelCall } from "./concurrent-phase.ts";
import type { Engine } from "./engine.ts";
import { HandlerCall } from "./handler-call.ts";
import { failHandler } from "./handler-failure.ts";
import { conclude, invoke, stamp } from "./invocation.ts";
import type { RequestScope } from "./request-scope.ts";
import { Result, recordPassedOver } from "./result.ts";

/**
 * One payload on its way through one chain. Stays synchronous as long as every handler does; the first promise
 * turns it into callbacks on that promise, with no race and no await in between.
 */
export class ChainRun<P> implements ConcurrentWalk {
  readonly result: Result<P>;
  readonly engine: Engine;
  readonly scope: RequestScope;
  readonly chain: Chain;
  #index = 0;
  at: number;
  view: unknown = undefined;
  viewed: unknown = undefined;
  measured: unknown = undefined;
  #mode: Mode = "enforce";
  #resolution: Resolution | undefined = undefined;
  /** The slot whose lease could not be renewed: it goes on, degraded. */
  #unleased: Slot | undefined = undefined;
  /** The serial handler whose promise is waited for. */
  #waiting: HandlerCall | undefined = undefined;
  /** There once the serial phases are over. */
  #concurrent: ConcurrentPhase | undefined = undefined;
  ended = false;
  #resolve: ((result: Result<P>) => void) | undefined = undefined;
  #reject: ((error: unknown) => void) | undefined = undefined;

  constructor(engine: Engine, scope: RequestScope, chain: Chain, payload: P, size: number | undefined) {
    this.engine = engine;
    this.scope = scope;
    this.chain = chain;
    this.at = engine.clock.now();
    this.result = new Result(payload, []);
    if (size !== undefined && size <= scope.snapshot.payloadCharacters) this.measured = payload;
  }

  start(): Result<P> | Promise<Result<P>> {
    if (this.#advance()) return this.#finish();
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.scope.enter(this);
    });
  }

  /** The request was given up: nothing more is waited for. */
  abort(reason: unknown): void {
    if (this.ended) return;
    const why = "the request was aborted";
    if (this.#waiting !== undefined && !this.#waiting.done) cancelCall(this, this.#waiting, why, reason);
    this.#concurrent?.cancel(why, reason);
    this.#fail(reason);
  }

  /** Runs until a promise has to be waited for (false) or the chain is done (true). */
  #advance(): boolean {
    const { serial, concurrent } = this.chain;
    while (this.#index < serial.length) {
      if (!this.result.allowed) return true;
      const slot = serial[this.#index] as Slot;
      const admission = this.admit(slot);
      if (admission === "wait") return false;
      if (admission === "go") {
        const call = this.newCall(slot);
        if (!invoke(this, call)) {
          this.#waiting = call;
          return false;
        }
      }
      this.#index++;
    }
    if (!this.result.allowed || concurrent.length === 0) return true;
    this.#concurrent ??= new ConcurrentPhase(this);
    return this.#concurrent.advance(concurrent);
  }

  newCall(slot: Slot): HandlerCall {
    const call = new HandlerCall(slot, this.scope, this.#resolution as Resolution, this.#mode, this.at);
    if (this.#unleased === slot) call.degraded = true;
    return call;
  }

  admit(slot: Slot): Admission {
    const { plugin } = slot;
    const { context } = this.scope;
    if (slot.matches !== undefined && !slot.matches(context, this.result.payload)) {
      return this.#skip(slot, "skipped", "no condition matches");
    }
    const resolution = plugin.bound ? plugin.resolve(context, this.#tool()) : plugin.base;
    if (plugin.modes.switchedOff !== undefined) return this.#skip(slot, "disabled", plugin.modes.switchedOff);
    const mode = localMode(slot, context, resolution);
    this.#mode = mode;
    this.#resolution = resolution;
    if (this.#unleased !== slot && needsLease(slot, mode, this.at)) {
      return this.#waitFor(
        this.engine.gate.renew(plugin.modes).then((renewed) => {
          if (!renewed) this.#unleased = slot;
        }),
      );
    }
    if (mode === "disabled") return this.#skip(slot, "disabled", undefined);
    const { handle } = resolution;
    if (handle.state === "ready") return "go";
    if (handle.state === "failed" || handle.state === "stopped") {
      this.failed(
        this.newCall(slot),
        handle.failure ?? new Error(`plugin ${plugin.name} has been shut down`),
      );
      return "skip";
    }
    return this.#waitFor(handle.start());
  }

  #tool(): string | undefined {
    const { toolField } = this.chain;
    return toolField === undefined ? undefined : textField(this.result.payload, toolField);
  }

  #localModeOf(slot: Slot): Mode {
    const { context } = this.scope;
    return localMode(slot, context, slot.plugin.resolve(context, this.#tool()));
  }

  #skip(slot: Slot, status: "skipped" | "disabled", reason: string | undefined): Admission {
    const mode = status === "disabled" ? "disabled" : this.#localModeOf(slot);
    recordPassedOver(this.engine, this.result, slot, mode, {
      status,
      reason,
      degraded: this.#unleased === slot,
    });
    return "skip";
  }

  #waitFor(step: Promise<void>): Admission {
    step.then(
      () => {
        // Nobody's handler has run meanwhile: the wait is part of no duration and of no timeout.
        this.at = this.engine.clock.now();
        this.#proceed();
      },
      (error: unknown) => this.#fail(error),
    );
    return "wait";
  }

  answered(call: HandlerCall, outcome: unknown): void {
    this.settle(call, () => {
      stamp(this, call);
      return conclude(this, call, outcome, undefined, false);
    });
  }

  threw(call: HandlerCall, error: unknown): void {
    this.settle(call, () => {
      stamp(this, call);
      return conclude(this, call, undefined, error, true);
    });
  }

  timedOut(call: HandlerCall): void {
    const { name, timeoutMs } = call.slot.plugin;
    this.threw(call, handlerTimedOut(name, call.slot.hook, timeoutMs));
  }

  /** After a promise: conclude that call, then go on where the chain stood. */
  settle(call: HandlerCall, concluded: () => boolean): void {
    if (this.ended) return;
    try {
      if (!concluded()) return;
      if (this.#concurrent !== undefined) this.#concurrent.concluded(call);
      else {
        this.#waiting = undefined;
        this.#index++;
      }
    } catch (error) {
      call.done = true;
      this.#concurrent?.cancel("a sibling failed", error, call);
      this.#fail(error);
      return;
    }
    this.#proceed();
  }

  #proceed(): void {
    if (this.ended) return;
    try {
      if (!this.#advance()) return;
      this.#resolve?.(this.#finish());
    } catch (error) {
      this.#fail(error);
    }
  }

  failed(call: HandlerCall, error: unknown): void {
    const failure = failHandler(this.engine, this.result, call, error);
    if (failure !== undefined) throw failure;
  }

  #fail(error: unknown): void {
    if (this.ended) return;
    this.ended = true;
    this.scope.leave(this);
    this.#reject?.(error);
  }

  #finish(): Result<P> {
    this.ended = true;
    if (this.#resolve !== undefined) this.scope.leave(this);
    const { background } = this.chain;
    if (background.length > 0 && this.result.allowed) {
      runInBackground(this.engine, this.scope, this.chain, this.result);
    }
    return this.result;
  }
}
