/** Number of the attempt, from the second on. */
const attemptHeader = "x-gatewright-attempt";
/** Milliseconds after which nobody waits for the answer any more. */
export const timeoutHeader = "x-gatewright-timeout-ms";

/**
 * The headers of one attempt: the call's own, the number of a repeat, and the time left where the policy or the caller
 * limits it, so that the upstream need not work for nobody. Undefined when they are those of the call.
 */
export function attemptHeaders(
  own: Readonly<Record<string, string>> | undefined,
  count: number,
  limitMs: number | undefined,
): Readonly<Record<string, string>> | undefined {
  if (count === 1 && limitMs === undefined) return undefined;
  return {
    ...own,
    ...(count === 1 ? {} : { [attemptHeader]: String(count) }),
    ...(limitMs === undefined ? {} : { [timeoutHeader]: String(Math.max(1, Math.floor(limitMs))) }),
  };
}

/** How long the caller says it waits. */
export function callerTimeoutMs(value: string | string[] | undefined): number | undefined {
  return typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}
