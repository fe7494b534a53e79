import { createHash } from "node:crypto";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import { type ClientHello, DownstreamSession, type TakenOver } from "./downstream-session.ts";
import type { EventLogLimits, EventLogTotal } from "./event-log.ts";
import { Outboxes } from "./outbox.ts";

/**
 * How a session ended: `ended` here, by its client, by silence or with this process; `evicted`, ended at another replica;
 * `let_go`, another replica goes on with it.
 */
export type SessionEnd = "ended" | "evicted" | "let_go";

/** One session as the administrator sees it. */
export interface SessionDescription {
  /** Part of a hash: the id itself is a secret. */
  readonly session: string;
  readonly endpoint: string;
  /** Which owner of the session this replica is. */
  readonly epoch: number;
  readonly certain: boolean;
  readonly streaming: boolean;
  readonly calls: number;
  /** Upstreams that a session is open with. */
  readonly upstreams: readonly string[];
}

/** Bounds of {@link DownstreamSessions}. */
export interface DownstreamSessionsOptions {
  readonly maxSessions: number;
  /** Most of one principal; as many as in all by default. */
  readonly maxPerPrincipal?: number;
  readonly idleMs: number;
  readonly maxBufferedBytes: number;
  /** Events kept for clients that lose their connection, for five minutes; 100 and 1 MiB a session by default. */
  readonly log?: EventLogLimits;
  /** Bytes of such events in all sessions; 64 MiB by default. */
  readonly maxLogBytes?: number;
  /** Time between two comments on an open stream; 15 s by default. */
  readonly keepAliveMs?: number;
  /** Called once with every session that ended, and how. */
  readonly onEnd: (session: DownstreamSession, how: SessionEnd) => void;
  /** Called again and again, several times in `idleMs`, with every session that goes on. */
  readonly onAlive?: (session: DownstreamSession) => void;
  /** Monotonic milliseconds; `performance.now` by default. */
  readonly now?: () => number;
}

const defaultLog: EventLogLimits = { maxEvents: 100, maxBytes: 1_048_576 };

/** How long an event is kept at least as far as the reaper is concerned. */
const eventAgeMs = 300_000;

/** The sessions of legacy clients in this process. */
export class DownstreamSessions {
  readonly #sessions = new Map<string, DownstreamSession>();
  /** How many of them there are, by the key of their principal. */
  readonly #perPrincipal = new Map<string, number>();
  readonly #options: DownstreamSessionsOptions;
  readonly #now: () => number;
  readonly #reaper: NodeJS.Timeout;
  readonly #keepAlive: NodeJS.Timeout;
  readonly #logTotal: EventLogTotal;
  readonly #outboxes = new Outboxes();

  constructor(options: DownstreamSessionsOptions) {
    this.#options = options;
    this.#logTotal = { bytes: 0, maxBytes: options.maxLogBytes ?? 67_108_864 };
    this.#now = options.now ?? (() => performance.now());
    const interval = Math.max(1_000, Math.min(30_000, options.idleMs / 4));
    this.#reaper = setInterval(() => this.endIdle(), interval).unref();
    this.#keepAlive = setInterval(() => {
      for (const session of this.#sessions.values()) session.keepAlive();
    }, options.keepAliveMs ?? 15_000).unref();
  }

  /** Sessions that live. */
  get size(): number {
    return this.#sessions.size;
  }

  /**
   * Opens a session.
   *
   * @throws {GatewayError} `overloaded` when there are too many, in all or of this principal
   */
  open(principal: Principal, target: Target, hello: ClientHello, takenOver?: TakenOver): DownstreamSession {
    if (this.#refusal(principal) !== undefined) this.endIdle();
    const refusal = this.#refusal(principal);
    if (refusal !== undefined) throw new GatewayError("overloaded", refusal, { retryAfterMs: 1_000 });
    const session = new DownstreamSession(principal, target, hello, {
      maxBufferedBytes: this.#options.maxBufferedBytes,
      log: this.#options.log ?? defaultLog,
      logTotal: this.#logTotal,
      outboxes: this.#outboxes,
      now: this.#now,
      ...(takenOver && { takenOver }),
    });
    this.#sessions.set(session.id, session);
    this.#perPrincipal.set(principal.key, this.#countOf(principal) + 1);
    return session;
  }

  /**
   * The session of an id, if it belongs to the principal and the endpoint.
   *
   * @throws {GatewayError} `not_found` when there is none, `forbidden` when it is another user's
   */
  get(id: string, principal: Principal, target: Target): DownstreamSession {
    const session = this.#sessions.get(id);
    if (session === undefined || session.target.id !== target.id) {
      throw new GatewayError("not_found", "there is no such session; initialize again");
    }
    if (session.principal.key !== principal.key) {
      throw new GatewayError("forbidden", "this session belongs to somebody else");
    }
    session.usedAtMs = this.#now();
    return session;
  }

  /** What is open, at most `max` of them, without anything that would let somebody in. */
  describe(max: number): SessionDescription[] {
    return [...this.#sessions.values()]
      .slice(0, max)
      .map(({ id, target, hold, streaming, calls, opened }) => ({
        session: createHash("sha256").update(id).digest("base64url").slice(0, 16),
        endpoint: target.id ?? "all",
        epoch: hold?.epoch ?? 1,
        certain: hold?.certain ?? true,
        streaming,
        calls: calls.size,
        upstreams: [...opened.values()],
      }));
  }

  /** The session of an id, whosever it is. */
  peek(id: string): DownstreamSession | undefined {
    return this.#sessions.get(id);
  }

  /** Ends one session. */
  end(session: DownstreamSession, how: SessionEnd = "ended"): void {
    if (!this.#sessions.delete(session.id)) return;
    const left = this.#countOf(session.principal) - 1;
    if (left > 0) this.#perPrincipal.set(session.principal.key, left);
    else this.#perPrincipal.delete(session.principal.key);
    if (how === "let_go" && !session.bound) session.letGo();
    else session.end();
    this.#options.onEnd(session, how);
  }

  /** Ends the session of an id that was ended at another replica. */
  evict(id: string): void {
    const session = this.#sessions.get(id);
    if (session !== undefined) this.end(session, "evicted");
  }

  /** Leaves the session of an id to another replica; calls in flight end in peace. */
  letGo(id: string): void {
    const session = this.#sessions.get(id);
    if (session !== undefined) this.end(session, "let_go");
  }

  /** Ends the sessions that nobody used for too long; an open stream or call counts as use. */
  endIdle(): void {
    const before = this.#now() - this.#options.idleMs;
    const logged = this.#now() - eventAgeMs;
    for (const session of this.#sessions.values()) {
      session.expireEvents(logged);
      if (session.usedAtMs < before && !session.streaming && session.calls.size === 0) this.end(session);
      else this.#options.onAlive?.(session);
    }
  }

  /** Ends the open streams and tells their clients to come back; the sessions stay. */
  endStreams(): void {
    for (const session of this.#sessions.values()) session.endStream();
  }

  /** Leaves the sessions without calls in flight to other replicas, as far as these can take them over. */
  letIdleGo(): DownstreamSession[] {
    const idle = [...this.#sessions.values()].filter((session) => {
      return session.hold !== undefined && !session.bound && session.calls.size === 0;
    });
    for (const session of idle) this.end(session, "let_go");
    return idle;
  }

  /** Ends all calls, and all sessions; those that other replicas can take over are left to them. */
  close(): void {
    clearInterval(this.#reaper);
    clearInterval(this.#keepAlive);
    for (const session of [...this.#sessions.values()]) {
      for (const call of session.calls.values()) call.abort();
      this.end(session, session.hold === undefined || session.bound ? "ended" : "let_go");
    }
  }

  #countOf({ key }: Principal): number {
    return this.#perPrincipal.get(key) ?? 0;
  }

  /** Why there is no room for a session of this principal. */
  #refusal(principal: Principal): string | undefined {
    const { maxSessions, maxPerPrincipal = maxSessions } = this.#options;
    if (this.#sessions.size >= maxSessions) return "too many client sessions are open";
    return this.#countOf(principal) >= maxPerPrincipal
      ? "too many client sessions of this user are open"
      : undefined;
  }
}
