/**
 * The operator's switch. `enforce`: refusals count. `permissive`: everything is computed and charged as enforce
 * would, but always allowed. `disabled`: allowed, nothing charged.
 */
export type Mode = "enforce" | "permissive" | "disabled";
