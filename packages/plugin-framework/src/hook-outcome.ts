import type { Mode } from "./mode.ts";
import type { Violation } from "./violation.ts";

/**
 * Under which mode a fenced plugin decided: it read the control record in the same atomic step as its state.
 * Only plugins that declare `modeAuthority` may return it.
 */
export interface ModeAuthority {
  /** Mode in force: tenant record, else global record, else {@link PluginContext.configuredMode}. */
  readonly mode: Mode;
  /** `rev` of the global record that was read; 0 when there is none. */
  readonly rev: number;
  /** `rev` of the tenant's record that was read; left out or 0 when there is none. */
  readonly tenantRev?: number;
}

/** What every outcome of a handler may carry. */
export interface OutcomeExtras {
  /** Namespaced by plugin in the result. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Response headers, merged also when the call is allowed. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Wish for another attempt after so many milliseconds; the result carries the maximum over plugins. */
  readonly retryDelayMs?: number;
  readonly authority?: ModeAuthority;
}

/** What a handler returns: nothing, extras alone, an edited payload, or a refusal. */
export type HookOutcome<P> =
  | undefined
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler without a return statement is the common case.
  | void
  | (OutcomeExtras & { readonly continue?: true; readonly modify?: undefined; readonly block?: undefined })
  | (OutcomeExtras & { readonly continue?: true; readonly modify: P; readonly block?: undefined })
  | (OutcomeExtras & {
      readonly block: Violation;
      readonly modify?: undefined;
      readonly continue?: undefined;
    });
