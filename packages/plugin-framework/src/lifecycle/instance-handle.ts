import { PluginError } from "../errors.ts";
import type { LifecycleFailure } from "../observer.ts";
import { parseStrictly } from "../parse-strictly.ts";
import type {
  HookHandler,
  ModeChange,
  PluginDefinition,
  PluginHost,
  PluginInstance,
} from "../plugin-definition.ts";
import { within } from "../within.ts";

/** Handlers of an instance by hook, with their types forgotten: the dispatcher pairs them with their payloads. */
export type HandlerTable = Readonly<Record<string, HookHandler<unknown> | undefined>>;

/** Where an instance stands. */
export type InstanceState = "idle" | "starting" | "ready" | "failed" | "stopped";

/** Parses a plugin's own config; an issue's path begins with `path`. */
export function parsePluginConfig(definition: PluginDefinition, config: unknown, path: string): unknown {
  if (definition.configSchema !== undefined) return parseStrictly(definition.configSchema, config, path);
  if (Object.keys(config as object).length === 0) return {};
  throw new PluginError("validation_failed", `${path}: plugin ${definition.name} takes no config`, {
    details: { path },
  });
}

/**
 * One instance of a plugin for one resolved config. Started at most once, stopped at most once; shared by every
 * snapshot and context that resolves to the same config.
 */
export class InstanceHandle {
  readonly definition: PluginDefinition;
  /** Equal for equal definition and config. */
  readonly key: string;
  state: InstanceState = "idle";
  handlers: HandlerTable = {};
  /** What `create` or `initialize` threw. */
  failure: unknown;
  readonly #config: unknown;
  readonly host: PluginHost;
  readonly #timeoutMs: number;
  readonly #report: (failure: LifecycleFailure) => void;
  #instance: PluginInstance | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(
    definition: PluginDefinition,
    key: string,
    config: unknown,
    host: PluginHost,
    timeoutMs: number,
    report: (failure: LifecycleFailure) => void,
  ) {
    this.definition = definition;
    this.key = key;
    this.#config = config;
    this.host = host;
    this.#timeoutMs = timeoutMs;
    this.#report = report;
  }

  /** Creates and initializes, once; never rejects: a failure is reported and kept. */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    if (this.state !== "idle") return;
    this.state = "starting";
    const created = await this.#attempt("create", () => this.definition.create(this.#config, this.host));
    if (created === undefined) return;
    this.#instance = created;
    const initialized = await this.#attempt("initialize", async () => {
      await created.initialize?.();
      return true;
    });
    if (initialized === undefined) return;
    this.handlers = created.hooks as unknown as HandlerTable;
    this.state = "ready";
  }

  async #attempt<T>(step: "create" | "initialize", run: () => T | Promise<T>): Promise<T | undefined> {
    try {
      const done = Promise.resolve(run());
      return await within(this.host.clock, this.#timeoutMs, done);
    } catch (error) {
      this.fail(step, error);
      return undefined;
    }
  }

  /** It cannot be used: its calls fail with `error`. */
  fail(step: "create" | "initialize", error: unknown): void {
    this.failure = error;
    this.state = "failed";
    this.#report({ plugin: this.host.name, step, error });
  }

  /** Shuts down, once, if it was ever initialized; never rejects. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#starting;
    const wasReady = this.state === "ready";
    this.state = "stopped";
    if (!wasReady) return;
    try {
      const done = Promise.resolve(this.#instance?.shutdown?.());
      await within(this.host.clock, this.#timeoutMs, done);
    } catch (error) {
      this.#report({ plugin: this.host.name, step: "shutdown", error });
    }
  }

  /** Tells a live instance of a change of mode; never rejects. */
  async tell(change: ModeChange): Promise<void> {
    if (this.state !== "ready") return;
    try {
      await this.#instance?.onModeChange?.(change);
    } catch (error) {
      this.#report({ plugin: this.host.name, step: "mode_change", error });
    }
  }

  stats(): unknown {
    return this.state === "ready" ? this.#instance?.stats?.() : undefined;
  }
}
