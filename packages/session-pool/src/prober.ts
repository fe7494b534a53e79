import type { Clock } from "./clock.ts";
import type { ProbeVerdict, SessionProbe } from "./session-factory.ts";

/** What a chain of probes found, and which probe found it. */
export interface ChainVerdict {
  readonly verdict: ProbeVerdict;
  readonly probe: string;
}

/**
 * Asks probes in order until one has an answer; `unsupported` passes on to the next. A chain in which none is
 * supported ends `ok`, since a server that says so is alive. One deadline holds for the whole chain; a probe that
 * does not answer in time makes the session unhealthy.
 */
export async function runProbes<S>(
  session: S,
  probes: readonly SessionProbe<S>[],
  timeoutMs: number,
  clock: Clock,
): Promise<ChainVerdict> {
  const abort = new AbortController();
  let asked = "";
  const silence = Promise.withResolvers<ChainVerdict>();
  const timer = clock.setTimer(
    () => {
      silence.resolve({ verdict: "timeout", probe: asked });
      abort.abort(new DOMException("probe timed out", "TimeoutError"));
    },
    timeoutMs,
    false,
  );
  const chain = async (): Promise<ChainVerdict> => {
    for (const probe of probes) {
      asked = probe.name;
      const verdict = await ask(probe, session, abort.signal);
      if (verdict !== "unsupported") return { verdict, probe: probe.name };
    }
    return { verdict: "ok", probe: asked };
  };
  try {
    return await Promise.race([chain(), silence.promise]);
  } finally {
    timer.cancel();
  }
}

async function ask<S>(probe: SessionProbe<S>, session: S, signal: AbortSignal): Promise<ProbeVerdict> {
  try {
    return await probe.run(session, { signal });
  } catch {
    return "terminal";
  }
}
