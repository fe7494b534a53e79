import { type CallPhase, UpstreamError } from "./upstream-error.ts";

/** The error of a fired signal. */
export function abortError(signal: AbortSignal, phase: CallPhase): UpstreamError {
  return new UpstreamError("aborted", "The request was aborted.", { phase, cause: signal.reason });
}

/** Waits; ends early, with an error, when the signal fires. @throws UpstreamError `aborted` */
export function pause(
  milliseconds: number,
  signal: AbortSignal | undefined,
  phase: CallPhase = "not_sent",
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(settle, Math.max(0, milliseconds));
    function settle() {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }
    function onAbort() {
      clearTimeout(timer);
      if (signal) reject(abortError(signal, phase));
    }
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Stops waiting for work that others share when the signal fires; the work goes on. @throws UpstreamError */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortError(signal, "not_sent"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
