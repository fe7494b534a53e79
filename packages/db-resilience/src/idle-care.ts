import type { ParsedOptions } from "./options.ts";

/** What is to be done with a connection that is idle: nothing, ask it for a sign of life, or close it. */
export type IdleCare = "leave" | "ask" | "close";

/** Decides it for a connection that has been idle for `idleMs` in a pool of `live` connections. */
export function idleCare(idleMs: number, live: number, options: ParsedOptions["pool"]): IdleCare {
  const { size, min, overflowIdleMs, idleTimeoutMs, keepAliveMs } = options;
  if (live > size && idleMs > overflowIdleMs) return "close";
  if (live > min && idleMs > idleTimeoutMs) return "close";
  return idleMs > keepAliveMs ? "ask" : "leave";
}
