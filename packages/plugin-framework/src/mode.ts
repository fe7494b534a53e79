/**
 * The operator's switch of one plugin, read at every dispatch.
 *
 * - `enforce`: verdicts count.
 * - `permissive`: the plugin runs and may modify, but never blocks; a refusal is kept as a shadow verdict.
 * - `disabled`: registered, not invoked.
 */
export type Mode = "enforce" | "permissive" | "disabled";

/** What a configuration file may say: a {@link Mode}, or the alias for `enforce` with `onError: "ignore"`. */
export type ConfiguredMode = Mode | "enforce_ignore_error";

/** Every mode, in the order of strictness. */
export const MODES: readonly Mode[] = ["enforce", "permissive", "disabled"];

/** True when `value` is one of the three modes. */
export function isMode(value: unknown): value is Mode {
  return value === "enforce" || value === "permissive" || value === "disabled";
}
