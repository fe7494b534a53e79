import type { decide, giveUp } from "./decide.ts";
import type { RetryError } from "./errors.ts";
import type { resultSignal } from "./result-signals.ts";

/** What is lent by the root entry to the files that it loads later: they import none of it, so it stays one file. */
export interface Core {
  readonly decide: typeof decide;
  readonly giveUp: typeof giveUp;
  readonly resultSignal: typeof resultSignal;
  readonly RetryError: typeof RetryError;
}
