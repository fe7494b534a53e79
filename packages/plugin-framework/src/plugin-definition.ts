import type { ZodType } from "zod";
import type { Clock } from "./clock.ts";
import type { HookOutcome } from "./hook-outcome.ts";
import type { HookName, HookPayloads } from "./hook-payloads.ts";
import type { ConfiguredMode, Mode } from "./mode.ts";
import type { OnError, Phase, Reads } from "./phase.ts";
import type { PluginContext } from "./plugin-context.ts";

/** What a plugin says of one of its hooks. */
export interface HookDeclaration {
  /** Default `sequential`. */
  readonly phase?: Phase;
  /** Default `body`. */
  readonly reads?: Reads;
  /** Fields this plugin may write; narrows the hook's own list. Default: all that the hook allows. */
  readonly writes?: readonly string[];
}

/** A handler of one hook. */
export type HookHandler<P> = (
  payload: Readonly<P>,
  context: PluginContext,
) => HookOutcome<P> | Promise<HookOutcome<P>>;

/** Told to a plugin whose mode changed in force; nothing is rebuilt. */
export interface ModeChange {
  readonly previous: Mode;
  readonly next: Mode;
  readonly rev: number;
  /** Rises when the plugin's state is to read as empty from now on. */
  readonly wipeSeq: number;
  /** Was `wipeSeq` raised by this change? */
  readonly wipe: boolean;
  /** The tenant whose mode changed; left out for all. */
  readonly tenant?: string;
  readonly cause: "set" | "clear" | "expiry" | "reload" | "on_error" | "enable";
  readonly setBy: string;
}

/** The living part of a plugin, one per distinct resolved config. */
export interface PluginInstance {
  readonly hooks: { readonly [H in HookName]?: HookHandler<HookPayloads[H]> };
  /** Awaited once before the first use. */
  initialize?(): void | Promise<void>;
  /** Awaited once, after the last call on an old snapshot ended. */
  shutdown?(): void | Promise<void>;
  /** Awaited (at most one second) before this process acknowledges the change. */
  onModeChange?(change: ModeChange): void | Promise<void>;
  /** A snapshot for admin pages. */
  stats?(): unknown;
}

/** What the host hands to `create`. */
export interface PluginHost {
  /** Name under which the plugin is registered. */
  readonly name: string;
  readonly clock: Clock;
}

/** The manifest of a plugin. Plain data: other packages can write it with types alone. */
export interface PluginDefinition<C = unknown> {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly tags?: readonly string[];
  /** The plugin reads the control record in the same atomic step as its state and returns `authority`. */
  readonly modeAuthority?: boolean;
  /** With `modeAuthority`: whose control records it reads; registered under another name it is refused. */
  readonly recordsOf?: string;
  readonly hooks: Readonly<Partial<Record<HookName | (string & {}), HookDeclaration>>>;
  /** Left out: the plugin takes no config and a non-empty one is refused. */
  readonly configSchema?: ZodType<C>;
  readonly defaults?: {
    readonly mode?: ConfiguredMode;
    readonly priority?: number;
    readonly onError?: OnError;
    readonly timeoutMs?: number;
  };
  create(config: C, host: PluginHost): PluginInstance | Promise<PluginInstance>;
}
