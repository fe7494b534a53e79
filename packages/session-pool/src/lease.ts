import type { FaultKind } from "./session-factory.ts";
import type { SessionKey } from "./session-key.ts";

/**
 * What the holder of a lease found.
 * - `ok`, `application_error` the session goes back
 * - `broken` transport error: the session is discarded
 * - `lost` the upstream no longer knows the session: discarded
 * - `timeout` the session goes back, until too many in a row retire it
 * - `cancelled` the caller gave up or the fault was on this side: the session goes back, nothing was learnt of it
 * - `unauthorized` the key's sessions are discarded and the next connect resolves credentials anew
 */
export type ReleaseVerdict =
  | "ok"
  | "application_error"
  | "broken"
  | "lost"
  | "timeout"
  | "cancelled"
  | "unauthorized";

/** The pool as a lease sees it. */
export interface LeaseOwner<E> {
  release(entry: E, startedMs: number, probe: boolean, verdict: ReleaseVerdict): void;
  classify(error: unknown): FaultKind;
}

/** What was lent: the place of a session in the pool. */
export interface Lent<S> {
  readonly session: S;
  readonly bucket: { readonly key: SessionKey };
}

/** A session on loan. Give it back exactly once: by `release`, `fail` or `await using`; more do nothing. */
export class Lease<S> {
  readonly #owner: LeaseOwner<unknown>;
  readonly #entry: Lent<S>;
  readonly #startedMs: number;
  readonly #probe: boolean;
  #released = false;

  /** Made by the pool. */
  constructor(owner: LeaseOwner<never>, entry: Lent<S>, startedMs: number, probe: boolean) {
    this.#owner = owner as LeaseOwner<unknown>;
    this.#entry = entry;
    this.#startedMs = startedMs;
    this.#probe = probe;
  }

  /** The session itself. */
  get session(): S {
    return this.#entry.session;
  }

  /** The key that it was leased for. */
  get key(): SessionKey {
    return this.#entry.bucket.key;
  }

  /** Gives the session back with a verdict. Never throws; what has to be closed is closed in the background. */
  release(verdict: ReleaseVerdict = "ok"): void {
    if (this.#released) return;
    this.#released = true;
    this.#owner.release(this.#entry, this.#startedMs, this.#probe, verdict);
  }

  /** Gives the session back after a failed call; the factory's `classify` decides what that means. */
  fail(error: unknown): FaultKind {
    const kind = this.#owner.classify(error);
    this.release(verdictOf(kind));
    return kind;
  }

  [Symbol.dispose](): void {
    this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.release();
    return Promise.resolve();
  }
}

function verdictOf(kind: FaultKind): ReleaseVerdict {
  switch (kind) {
    case "transport":
      return "broken";
    case "session_lost":
      return "lost";
    case "timeout":
    case "unauthorized":
      return kind;
    case "application":
    case "refused":
      return "application_error";
    case "local":
    case "aborted":
    case "misrouted":
      return "cancelled";
  }
}
