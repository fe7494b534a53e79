import { PluginError } from "../errors.ts";
import type { HookName, HookPayloads } from "../hook-payloads.ts";
import type { CustomHook } from "../hook-registry.ts";
import type { Snapshot } from "../lifecycle/snapshot.ts";
import { parseStrictly } from "../parse-strictly.ts";
import { readOnly } from "../payload-view.ts";
import type { PipelineResult } from "../pipeline-result.ts";
import type { RequestContext } from "../plugin-context.ts";
import { ChainRun } from "./chain-run.ts";
import type { Engine } from "./engine.ts";
import { Result } from "./result.ts";

/** Options of {@link RequestScope.invoke}. */
export interface InvokeOptions {
  /** Upper bound of the payload's characters that the host knows (bytes of the body); saves measuring. */
  readonly size?: number;
}

interface Abortable {
  abort(reason: unknown): void;
}

/** One request: pins the configuration it began with and owns the plugins' state for it. End it, always. */
export class RequestScope {
  readonly context: RequestContext;
  /** @internal */
  readonly snapshot: Snapshot;
  readonly #engine: Engine;
  #states: Map<string, unknown>[] | undefined;
  #shared: Map<string, unknown> | undefined;
  #pass: Result<unknown> | undefined;
  #runs: Set<Abortable> | undefined;
  #onAbort: (() => void) | undefined;
  #user: unknown = undefined;
  #ended = false;

  constructor(engine: Engine, snapshot: Snapshot, context: RequestContext) {
    this.#engine = engine;
    this.snapshot = snapshot;
    this.context = context;
    snapshot.retain();
  }

  /**
   * Runs the plugins of a hook. Synchronous when every handler is: the answer is then the result itself, not a
   * promise. With no plugin at the hook nothing is run and, for a payload seen before, nothing is allocated.
   *
   * @throws PluginError when a plugin with `onError: "fail"` throws or times out (rejects, when a promise was
   * returned), and PayloadSizeError. A request whose `signal` aborts rejects with the signal's reason.
   */
  invoke<H extends HookName>(
    hook: H,
    payload: HookPayloads[H],
    options?: InvokeOptions,
  ): PipelineResult<HookPayloads[H]> | Promise<PipelineResult<HookPayloads[H]>>;
  invoke<N extends string, P>(
    hook: CustomHook<N, P>,
    payload: P,
    options?: InvokeOptions,
  ): PipelineResult<P> | Promise<PipelineResult<P>>;
  invoke(
    hook: string | { readonly name: string },
    payload: unknown,
    options?: InvokeOptions,
  ): PipelineResult<unknown> | Promise<PipelineResult<unknown>> {
    if (this.#ended) throw new PluginError("conflict", "the request has ended");
    const chain = this.snapshot.chains[typeof hook === "string" ? hook : hook.name];
    if (chain === undefined) {
      if (this.#pass === undefined || this.#pass.payload !== payload)
        this.#pass = new Result(payload, undefined);
      return this.#pass;
    }
    this.context.signal?.throwIfAborted();
    if (chain.schema !== undefined) parseStrictly(chain.schema, payload, "payload");
    return new ChainRun(this.#engine, this, chain, payload, options?.size).start();
  }

  /** Lets go of the configuration; an old one is shut down when its last request has ended. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#onAbort !== undefined) this.context.signal?.removeEventListener("abort", this.#onAbort);
    this.snapshot.release();
  }

  [Symbol.dispose](): void {
    this.end();
  }

  /** @internal Who calls, read-only like a payload; one view for all plugins. */
  get user(): unknown {
    this.#user ??= readOnly(this.context.user);
    return this.#user;
  }

  /** @internal A plugin's own state for this request. */
  stateOf(plugin: number): Map<string, unknown> {
    this.#states ??= [];
    let state = this.#states[plugin];
    if (state === undefined) {
      state = new Map();
      this.#states[plugin] = state;
    }
    return state;
  }

  /** @internal */
  get shared(): Map<string, unknown> {
    this.#shared ??= new Map();
    return this.#shared;
  }

  /** @internal A run waits for a promise: tell it when the request is aborted. */
  enter(run: Abortable): void {
    const { signal } = this.context;
    if (signal === undefined) return;
    this.#runs ??= new Set();
    this.#runs.add(run);
    if (this.#onAbort !== undefined) return;
    // Not assigned in one step: V8 would allocate the function, and with it the request, in its old generation.
    const onAbort = () => {
      for (const waiting of this.#runs ?? []) waiting.abort(signal.reason);
    };
    this.#onAbort = onAbort;
    signal.addEventListener("abort", onAbort, { once: true });
  }

  /** @internal */
  leave(run: Abortable): void {
    this.#runs?.delete(run);
  }
}
