import type { Clock } from "./clock.ts";
import type { ControlBus } from "./control/control-bus.ts";
import type { ControlRecord, ControlScope } from "./control/control-record.ts";
import type { ControlTiming } from "./control/control-timing.ts";
import type { ConvergenceReport, SetModeOptions } from "./control/convergence-report.ts";
import type { RequestScope } from "./dispatch/request-scope.ts";
import type { HookName } from "./hook-payloads.ts";
import type { RegisteredHook } from "./hook-registry.ts";
import type { Mode } from "./mode.ts";
import type { ModeLayer } from "./mode-state.ts";
import type { PipelineObserver } from "./observer.ts";
import type { OnError, Reads } from "./phase.ts";
import type { PipelineConfig } from "./pipeline-config.ts";
import type { RequestContext } from "./plugin-context.ts";

/** An admin override as a host's registry keeps it. */
export interface SavedOverride {
  readonly scope: ControlScope;
  readonly record: ControlRecord;
}

/** What the host injects. */
export interface PipelineDeps {
  /** Where control records live. Default: memory of this process. Stays the host's to close. */
  readonly bus?: ControlBus;
  /** Name of this process among the members. Default: host name, process id and a random part. */
  readonly replica?: string;
  readonly observer?: PipelineObserver;
  readonly clock?: Clock;
  /** Numbers in [0, 1), for jitter. Default Math.random. */
  readonly random?: () => number;
  /** The host's own hooks. */
  readonly hooks?: readonly RegisteredHook[];
  /** Overrides from the host's registry: put back when the bus has lost them. */
  readonly overrides?: readonly SavedOverride[];
  /** Lease, poll and bounds of the control plane. */
  readonly timing?: Partial<ControlTiming>;
}

/** Which layer decides a plugin's mode for one context, and what the others say. */
export interface ModeExplanation {
  readonly plugin: string;
  readonly mode: Mode;
  readonly layer: ModeLayer;
  readonly layers: {
    /** Why `onError: "disable"` switched it off. */
    readonly on_error?: string;
    readonly tenant_override?: ControlRecord;
    readonly global_override?: ControlRecord;
    readonly binding?: Mode;
    readonly file: Mode;
  };
  /** Highest `rev` known here, of the record that decides or else of the global one; 0: none. */
  readonly rev: number;
  /** The record could not be read within its lease: this is the last known mode. */
  readonly degraded: boolean;
}

/** One registered plugin, for listings. */
export interface PluginStatus extends Omit<ModeExplanation, "layers"> {
  readonly version: string;
  readonly description: string;
  readonly configuredMode: Mode;
  readonly priority: number;
  readonly onError: OnError;
  readonly timeoutMs: number;
  readonly hooks: readonly string[];
  readonly state: "idle" | "starting" | "ready" | "failed" | "stopped";
  readonly wipeSeq: number;
  readonly setBy?: string;
  readonly expiresAt?: number;
  readonly tenantOverrides: readonly string[];
  readonly stats?: unknown;
}

/** What a reload did. */
export interface ReloadReport {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Got a new instance. */
  readonly replaced: readonly string[];
  /** Kept their instance. */
  readonly kept: readonly string[];
  /** Resolves when calls on the old configuration have ended and its leftover instances are shut down. */
  readonly drained: Promise<void>;
}

/** Made by `createPluginPipeline`. */
export interface PluginPipeline {
  /** Begins a request; end it with `scope.end()`. */
  begin(context: RequestContext): RequestScope;
  /** Has any plugin this hook? When not, a host may skip building the payload. */
  has(hook: HookName | (string & {})): boolean;
  /** The most that a plugin which may run now wants to read at this hook. */
  reads(hook: HookName | (string & {})): Reads;
  /** Overrides a plugin's mode on every replica. Also re-enables one that `onError` switched off. */
  setMode(plugin: string, mode: Mode, options?: SetModeOptions): Promise<ConvergenceReport>;
  /** Takes the override back: binding or file decide again. */
  clearMode(plugin: string, options?: SetModeOptions): Promise<ConvergenceReport>;
  /** Switches a plugin on again in this process after `onError: "disable"`. False: it was not switched off. */
  enable(plugin: string): boolean;
  list(): readonly PluginStatus[];
  explainMode(
    plugin: string,
    context?: Partial<RequestContext>,
    subject?: { readonly tool?: string },
  ): ModeExplanation;
  reload(config: PipelineConfig, options?: { readonly force?: boolean }): Promise<ReloadReport>;
  /** Stops intake, waits for calls in flight up to the deadline, shuts every plugin down. Idempotent. */
  close(options?: { readonly deadlineMs?: number }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
