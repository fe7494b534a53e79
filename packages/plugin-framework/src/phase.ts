/**
 * The author's declaration of what a handler does; phases run in this order.
 *
 * - `sequential`: one after the other, chained; may block and modify.
 * - `transform`: one after the other; may modify, a block is refused as an error.
 * - `audit`: one after the other; observes, its `modify` and `block` are dropped and recorded.
 * - `concurrent`: all at once; may block, cannot modify. The first block or failure aborts the siblings.
 * - `fire_and_forget`: after the result is known, bounded, sees the final payload.
 */
export type Phase = "sequential" | "transform" | "audit" | "concurrent" | "fire_and_forget";

/** Every phase in the order in which it runs. */
export const PHASES: readonly Phase[] = ["sequential", "transform", "audit", "concurrent", "fire_and_forget"];

/**
 * What happens when a handler throws or times out: `fail` hands a `PluginError` to the caller,
 * `ignore` goes on, `disable` goes on and switches the plugin off until it is enabled again.
 */
export type OnError = "fail" | "ignore" | "disable";

/** How much of a payload a handler looks at; decides who needs a parsed body and what the size guard measures. */
export type Reads = "none" | "outcome" | "body";
