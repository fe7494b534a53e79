import type { UpstreamSession } from "../upstream/upstream.ts";
import { severityOf } from "./log-levels.ts";

/** Longest wait for the answer to `logging/setLevel` before the call that wants the level is sent. */
const MAX_WAIT_MS = 2_000;
/** How long a server that did not take a level is not asked for it again, so that not every call waits for it. */
const RETRY_AFTER_MS = 30_000;

/** What one server was told. */
interface Told {
  /** The mildest severity that it agreed to. */
  agreed: number;
  /** The severity it was asked for last, and until when that counts although it did not agree. */
  asked: number;
  askedUntil: number;
}

/** The log levels that servers with sessions were told on behalf of stateless clients. */
export class ServerLogLevels {
  readonly #told = new WeakMap<UpstreamSession, Told>();
  readonly #now: () => number;

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Makes a server log what a client wants; others of the same session filter what they get. The call waits for it, but
   * does not end for it. A server that fails to agree is asked again later. Never rejects.
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
    const severity = severityOf(level);
    const told = this.#told.get(session) ?? { agreed: Infinity, asked: Infinity, askedUntil: 0 };
    if (told.agreed <= severity || (told.asked <= severity && this.#now() < told.askedUntil)) return;
    this.#told.set(session, told);
    told.asked = severity;
    told.askedUntil = Infinity;
    const request = { method: "logging/setLevel", params: JSON.stringify({ level }) };
    const timeoutMs = callMs > 0 ? Math.min(MAX_WAIT_MS, callMs / 2) : MAX_WAIT_MS;
    const answer = await session.request(request, { timeoutMs, signal }).catch(() => undefined);
    if (answer?.kind === "result") told.agreed = Math.min(told.agreed, severity);
    // Who gave up says nothing of the server.
    else if (told.asked === severity) told.askedUntil = signal?.aborted ? 0 : this.#now() + RETRY_AFTER_MS;
  }
}
