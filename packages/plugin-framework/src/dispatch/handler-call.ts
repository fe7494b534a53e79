import type { DeadlineNode } from "../deadlines.ts";
import type { Resolution } from "../lifecycle/plugin-runtime.ts";
import type { Mode } from "../mode.ts";
import type { PluginContext } from "../plugin-context.ts";
import type { Slot } from "./chain.ts";
import type { Engine } from "./engine.ts";
import type { RequestScope } from "./request-scope.ts";

/** Who is told how a handler's promise ended. */
export interface CallOwner {
  answered(call: HandlerCall, outcome: unknown): void;
  threw(call: HandlerCall, error: unknown): void;
  timedOut(call: HandlerCall): void;
}

/** One run of one handler: its deadline, its signal, and whether it still counts. */
export class HandlerCall implements DeadlineNode {
  readonly slot: Slot;
  readonly scope: RequestScope;
  readonly resolution: Resolution;
  mode: Mode;
  startedAt: number;
  durationNs = 0;
  degraded = false;
  leaseChecked = false;
  /** The handler is run once more, under the mode that is known here. */
  repeated = false;
  done = false;
  deadlineAt = 0;
  previous: DeadlineNode | undefined = undefined;
  next: DeadlineNode | undefined = undefined;
  #engine: Engine | undefined = undefined;
  #owner: CallOwner | undefined = undefined;
  #controller: AbortController | undefined = undefined;
  #abortReason: unknown = undefined;

  constructor(slot: Slot, scope: RequestScope, resolution: Resolution, mode: Mode, startedAt: number) {
    this.slot = slot;
    this.scope = scope;
    this.resolution = resolution;
    this.mode = mode;
    this.startedAt = startedAt;
  }

  /** The handler answered with a promise: wait for it until its deadline. */
  track(promise: PromiseLike<unknown>, owner: CallOwner, engine: Engine): void {
    this.#owner = owner;
    this.#engine = engine;
    this.deadlineAt = this.startedAt + this.slot.plugin.timeoutMs;
    engine.deadlines.add(this, this.startedAt);
    // One that is not the language's own may throw when it is asked, or answer twice.
    const answer = promise instanceof Promise ? promise : Promise.resolve(promise);
    answer.then(
      (outcome) => {
        if (this.#finish()) owner.answered(this, outcome);
      },
      (error: unknown) => {
        if (this.#finish()) owner.threw(this, error);
      },
    );
  }

  /** False when the call had already ended in another way. */
  #finish(): boolean {
    if (this.done) return false;
    this.done = true;
    this.#engine?.deadlines.remove(this);
    return true;
  }

  expire(): void {
    if (this.done) return;
    this.done = true;
    this.#abort(new DOMException(`no answer within ${this.slot.plugin.timeoutMs} ms`, "TimeoutError"));
    this.#owner?.timedOut(this);
  }

  /** Gives the call up: its answer, if one comes, no longer counts. */
  cancel(reason: unknown): void {
    if (this.#finish()) this.#abort(reason);
  }

  /** Made only for a handler that asks for it. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  #abort(reason: unknown): void {
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }
}

/** What a handler sees of its call and its request. */
export class CallContext implements PluginContext {
  readonly #call: HandlerCall;

  constructor(call: HandlerCall) {
    this.#call = call;
  }

  get requestId(): string {
    return this.#call.scope.context.requestId;
  }
  get user(): unknown {
    return this.#call.scope.user;
  }
  // The getters below promise optional properties: absent and undefined read the same.
  get tenantId(): string {
    return this.#call.scope.context.tenantId as string;
  }
  get serverId(): string {
    return this.#call.scope.context.serverId as string;
  }
  get clientIp(): string {
    return this.#call.scope.context.clientIp as string;
  }
  get signal(): AbortSignal {
    return this.#call.signal;
  }
  get state(): Map<string, unknown> {
    return this.#call.scope.stateOf(this.#call.slot.plugin.index);
  }
  get shared(): Map<string, unknown> {
    return this.#call.scope.shared;
  }
  get mode() {
    return this.#call.mode;
  }
  get configuredMode() {
    return this.#call.repeated ? this.#call.mode : this.#call.resolution.mode;
  }
  get wipeSeq(): readonly [number, number] {
    const { modes } = this.#call.slot.plugin;
    const tenant = modes.tenantRecord(this.#call.scope.context.tenantId);
    return [modes.global?.wipeSeq ?? 0, tenant?.wipeSeq ?? 0];
  }
}
