import type { Clock } from "../clock.ts";
import { modeUnder } from "../control/control-record.ts";
import type { KnownHook } from "../hook-registry.ts";
import type { ModeState } from "../mode-state.ts";
import { type LifecycleFailure, type PipelineObserver, safely } from "../observer.ts";
import type { ParsedConfig } from "../pipeline-config.ts";
import { within } from "../within.ts";
import { buildSnapshot } from "./build-snapshot.ts";
import type { InstanceHandle } from "./instance-handle.ts";
import type { Snapshot } from "./snapshot.ts";

/** What {@link LiveSnapshots} works with. */
export interface LiveSnapshotsDeps {
  readonly clock: Clock;
  readonly observer: PipelineObserver | undefined;
  readonly hooks: ReadonlyMap<string, KnownHook>;
  readonly stateOf: (plugin: string) => ModeState;
}

/** The configuration at work, and those before it until their last request has ended. */
export class LiveSnapshots {
  readonly #deps: LiveSnapshotsDeps;
  /** Those that are current, become it, or still drain. */
  readonly #live = new Set<Snapshot>();
  #config: ParsedConfig;
  #current: Snapshot;

  constructor(config: ParsedConfig, deps: LiveSnapshotsDeps) {
    this.#deps = deps;
    this.#config = config;
    this.#current = this.#build(config, new Map());
  }

  get current(): Snapshot {
    return this.#current;
  }

  get limits(): ParsedConfig["limits"] {
    return this.#config.limits;
  }

  /** Builds the next one; `force` keeps no instance. Nothing is started, and nothing is in force. */
  prepare(config: ParsedConfig, force: boolean): Snapshot {
    return this.#build(config, force ? new Map() : this.#current.handles);
  }

  #build(config: ParsedConfig, previous: Snapshot["handles"]): Snapshot {
    const { clock, hooks, stateOf, observer } = this.#deps;
    const report = (failure: LifecycleFailure) => safely(() => observer?.lifecycleFailure?.(failure));
    const snapshot = buildSnapshot(config, { clock, hooks, previous, stateOf, report });
    this.#live.add(snapshot);
    return snapshot;
  }

  /** Starts what is not disabled. */
  async start(snapshot: Snapshot): Promise<void> {
    const due = snapshot.plugins.filter(
      ({ modes, base }) => modeUnder(modes.global, base.mode) !== "disabled",
    );
    await Promise.all(due.map(({ base }) => base.handle.start()));
  }

  /** Puts the next one in force. */
  swap(next: Snapshot, config: ParsedConfig): void {
    this.#current = next;
    this.#config = config;
  }

  /** Waits for the last request of an old one, up to the drain's deadline, then stops what nobody else uses. */
  async retire(old: Snapshot): Promise<void> {
    await within(this.#deps.clock, this.limits.drainMs, old.drained()).catch(() => undefined);
    this.#live.delete(old);
    const needed = handlesOf(this.#live);
    await stop([...old.handles.values()].filter((handle) => !needed.has(handle)));
  }

  /** The same for all of them. */
  async close(deadlineMs: number): Promise<void> {
    const all = [...this.#live];
    const drained = Promise.all(all.map((snapshot) => snapshot.drained()));
    await within(this.#deps.clock, deadlineMs, drained).catch(() => undefined);
    await stop(handlesOf(all));
  }
}

function handlesOf(snapshots: Iterable<Snapshot>): ReadonlySet<InstanceHandle> {
  return new Set([...snapshots].flatMap(({ handles }) => [...handles.values()]));
}

async function stop(handles: Iterable<InstanceHandle>): Promise<void> {
  await Promise.all([...handles].map((handle) => handle.stop()));
}
