import type { z } from "zod";
import { parseOptions } from "../parse-options.ts";
import { abortError, orAborted } from "./abort.ts";
import { initializeDuplex } from "./duplex-handshake.ts";
import { DuplexSession } from "./duplex-session.ts";
import { HttpConnection } from "./http-connection.ts";
import { type HandshakeContext, initializeHttp, type ProbeVerdict, probeHttp } from "./http-handshake.ts";
import { type Counters, HttpSession } from "./http-session.ts";
import { type HttpUpstreamOptions, httpUpstreamSchema } from "./http-upstream-options.ts";
import { prober } from "./prober.ts";
import { SseConnection } from "./sse-connection.ts";
import type {
  CloseReason,
  OpenOptions,
  ResumableSession,
  Upstream,
  UpstreamSession,
  UpstreamStats,
} from "./upstream.ts";
import { cannotResume, UpstreamError } from "./upstream-error.ts";

/** What {@link createHttpUpstream} takes from outside. */
export interface HttpUpstreamDeps {
  /** Monotonic milliseconds, for the age of verdicts. Default `performance.now`. */
  readonly now?: () => number;
}

/**
 * An MCP server behind streamable HTTP, or behind HTTP+SSE where it is older. Sessions share one TCP pool; ids are unique over all of them.
 *
 * @throws OptionsError for unknown or wrong options
 */
export function createHttpUpstream(options: HttpUpstreamOptions, deps: HttpUpstreamDeps = {}): Upstream {
  return new HttpUpstream(parseOptions(httpUpstreamSchema, options), deps.now ?? (() => performance.now()));
}

class HttpUpstream implements Upstream {
  readonly #options: z.output<typeof httpUpstreamSchema>;
  readonly #now: () => number;
  readonly #connection: HttpConnection;
  readonly #sessions = new Set<UpstreamSession>();
  readonly #counters: Counters = {
    sessionsOpen: 0,
    sessionsOpened: 0,
    requestsActive: 0,
    requestsTotal: 0,
    requestsFailed: 0,
    nextId: 1,
  };
  readonly #context: HandshakeContext;
  #verdict: { readonly verdict: ProbeVerdict; readonly until: number } | undefined;
  #probing: Promise<ProbeVerdict> | undefined;
  #closed = false;
  /** The transport that the last legacy handshake succeeded on. */
  #transport: "streamable" | "sse" | undefined;

  constructor(options: z.output<typeof httpUpstreamSchema>, now: () => number) {
    this.#options = options;
    this.#now = now;
    this.#connection = new HttpConnection({
      url: new URL(options.url),
      headers: options.headers,
      dispatcher: options.dispatcher,
      lookup: options.lookup,
      connections: options.connections,
      connectTimeoutMs: options.connectTimeoutMs,
      keepAliveTimeoutMs: options.keepAliveTimeoutMs,
    });
    this.#transport = options.transport === "auto" ? undefined : options.transport;
    this.#context = { connection: this.#connection, limits: options, counters: this.#counters };
  }

  async open(options: OpenOptions): Promise<UpstreamSession> {
    if (this.#closed) throw new UpstreamError("closed", "The upstream is closed.", { phase: "not_sent" });
    if (options.resume !== undefined) return this.#resume(options, options.resume);
    const verdict = await orAborted(this.#eraOf(options), options.signal);
    if (verdict.era === "modern") return this.#openModern(options, verdict);
    if (this.#transport === "sse") return await this.#openSse(options);
    try {
      const session = await this.#openLegacy(options);
      this.#transport ??= "streamable";
      return session;
    } catch (error) {
      if (this.#transport !== undefined || !isOtherTransport(error)) throw error;
      return await this.#openSse(options);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#sessions].map((session) => session.close()));
    await this.#connection.destroy().catch(() => undefined);
  }

  stats(): UpstreamStats {
    const { nextId: _, ...counters } = this.#counters;
    return { era: this.#verdict?.verdict.era ?? "unknown", ...counters };
  }

  #openModern(options: OpenOptions, verdict: ProbeVerdict & { era: "modern" }): UpstreamSession {
    const { protocolVersion, handshake } = verdict;
    const { clientInfo, capabilities, onMessage } = options;
    return this.#track(
      new HttpSession({
        ...this.#context,
        profile: { era: "modern", protocolVersion, clientInfo, capabilities },
        handshake,
        sessionId: undefined,
        onMessage,
      }),
    );
  }

  async #openLegacy(options: OpenOptions): Promise<UpstreamSession> {
    const { protocolVersion, handshake, sessionId } = await initializeHttp(this.#context, options);
    const { clientInfo, capabilities, onMessage, onGap, signal } = options;
    const profile = { era: "legacy", protocolVersion, clientInfo, capabilities } as const;
    const session = this.#track(
      new HttpSession({ ...this.#context, profile, handshake, sessionId, onMessage, onGap }),
    );
    try {
      if (signal?.aborted) throw abortError(signal, "response_received");
      await session.notify({ method: "notifications/initialized" }, signal ? { signal } : {});
    } catch (error) {
      void session.close();
      throw error;
    }
    if (this.#options.serverStream) await session.listen(options.streamWaitMs ?? 0);
    return session;
  }

  #resume(
    options: OpenOptions,
    { protocolVersion, handshake, sessionId }: ResumableSession,
  ): UpstreamSession {
    if (this.#options.transport === "sse") throw cannotResume();
    const { clientInfo, capabilities, onMessage, onGap } = options;
    const profile = { era: "legacy", protocolVersion, clientInfo, capabilities } as const;
    const session = this.#track(
      new HttpSession({ ...this.#context, profile, handshake, sessionId, onMessage, onGap }),
    );
    if (this.#options.serverStream) void session.listen(0);
    return session;
  }

  /** Opens a session over HTTP+SSE (2024-11-05). */
  async #openSse(options: OpenOptions): Promise<UpstreamSession> {
    const { handshakeTimeoutMs, requestTimeoutMs, maxAnswerBytes } = this.#options;
    let session: DuplexSession | undefined;
    let ended: CloseReason | undefined;
    const connection = new SseConnection(this.#connection, {
      maxEventBytes: maxAnswerBytes,
      timeoutMs: handshakeTimeoutMs,
      shared: options.shared ?? false,
      onMessage: (message) => session?.deliver(message),
      onEnd: (reason) => {
        ended = reason;
        session?.lost(reason);
      },
    });
    await connection.open(options.signal);
    const counters = this.#counters;
    try {
      const context = { connection, counters, connectTimeoutMs: handshakeTimeoutMs, probeTimeoutMs: 0 };
      const { profile, handshake } = await initializeDuplex(context, options);
      const { onMessage } = options;
      const release = () => connection.stop();
      session = new DuplexSession({
        connection,
        profile,
        handshake,
        requestTimeoutMs,
        counters,
        onMessage,
        release,
      });
    } catch (error) {
      void connection.stop();
      throw error;
    }
    if (ended) session.lost(ended);
    this.#transport = "sse";
    return this.#track(session);
  }

  #track<S extends UpstreamSession>(session: S): S {
    this.#sessions.add(session);
    void session.closed.then(() => this.#sessions.delete(session));
    return session;
  }

  /** The cached verdict, or one probe that all waiting openers share. */
  #eraOf(options: OpenOptions): Promise<ProbeVerdict> {
    const legacy = this.#options.era === "legacy" || this.#options.transport === "sse";
    if (legacy) return Promise.resolve({ era: "legacy", evidence: "configured" });
    const known = this.#verdict;
    if (known && this.#now() < known.until) return Promise.resolve(known.verdict);
    this.#probing ??= this.#probe(options).finally(() => {
      this.#probing = undefined;
    });
    return this.#probing;
  }

  async #probe(options: OpenOptions): Promise<ProbeVerdict> {
    // Shared by all openers, therefore not bound to the signal of the first one; its own timeout bounds it.
    const verdict = await probeHttp(this.#context, { ...options, ...prober, signal: undefined });
    if (verdict.era === "legacy" && this.#options.era === "modern") {
      const text = `The upstream speaks no stateless revision (${verdict.evidence}).`;
      throw new UpstreamError("upstream_protocol", text, { phase: "response_received" });
    }
    const ttl = verdict.era === "legacy" ? this.#options.legacyVerdictTtlMs : modernTtl(verdict);
    this.#verdict = { verdict, until: this.#now() + ttl };
    return verdict;
  }
}

/** Whether a failed `initialize` lets the older transport be tried (2025-11-25, "Backwards Compatibility"). */
function isOtherTransport(error: unknown): boolean {
  if (!UpstreamError.is(error) || error.code !== "upstream_status") return false;
  return error.httpStatus === 400 || error.httpStatus === 404 || error.httpStatus === 405;
}

const MIN_MODERN_TTL_MS = 60_000;

/** A modern verdict holds as long as the server lets its discovery be cached, and at least a minute. */
function modernTtl(verdict: ProbeVerdict & { era: "modern" }): number {
  const { ttlMs } = verdict.handshake as { ttlMs?: unknown };
  return typeof ttlMs === "number" ? Math.max(MIN_MODERN_TTL_MS, ttlMs) : MIN_MODERN_TTL_MS;
}
