import type { UpstreamSession } from "../upstream/upstream.ts";
import { severityOf } from "./log-levels.ts";

/** Longest wait for the answer to `logging/setLevel` before the call that wants the level is sent. */
const MAX_WAIT_MS = 2_000;

/** The log levels that servers with sessions were told on behalf of stateless clients. */
export class ServerLogLevels {
  readonly #levels = new WeakMap<UpstreamSession, string>();

  /**
   * Makes a server log what a client wants; others of the same session filter what they get. The call waits for it, but
   * does not end for it. Never rejects.
   *
   * @param callMs time that the call has; 0 = no limit
   */
  async want(
    session: UpstreamSession,
    level: string,
    callMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (session.capabilities["logging"] === undefined) return;
    const current = this.#levels.get(session);
    if (current !== undefined && severityOf(current) <= severityOf(level)) return;
    this.#levels.set(session, level);
    const request = { method: "logging/setLevel", params: JSON.stringify({ level }) };
    const timeoutMs = callMs > 0 ? Math.min(MAX_WAIT_MS, callMs / 2) : MAX_WAIT_MS;
    await session.request(request, { timeoutMs, signal }).catch(() => undefined);
  }
}
