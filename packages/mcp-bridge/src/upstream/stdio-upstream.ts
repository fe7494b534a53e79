import type { z } from "zod";
import { parseOptions } from "../parse-options.ts";
import type { Era } from "../revisions.ts";
import { abortError, orAborted, pause } from "./abort.ts";
import type { ChildEnd } from "./child.ts";
import { type DuplexReady, initializeDuplex, probeStdio } from "./duplex-handshake.ts";
import { DuplexSession } from "./duplex-session.ts";
import type { Counters } from "./http-session.ts";
import { inheritedEnvironment } from "./inherited-environment.ts";
import { OrphanGuard } from "./orphan-guard.ts";
import { prober } from "./prober.ts";
import { encodeRequest } from "./request-body.ts";
import { type RestartBackoff, RestartBackoffs } from "./restart-backoff.ts";
import { SharedSubscriptions } from "./shared-subscriptions.ts";
import { StdioConnection } from "./stdio-connection.ts";
import { type StdioUpstreamOptions, stdioUpstreamSchema } from "./stdio-upstream-options.ts";
import type {
  CloseReason,
  OpenOptions,
  Upstream,
  UpstreamMessage,
  UpstreamSession,
  UpstreamStats,
} from "./upstream.ts";
import { cannotResume, UpstreamError } from "./upstream-error.ts";

/** What {@link createStdioUpstream} takes from outside. */
export interface StdioUpstreamDeps {
  /** Monotonic milliseconds. Default `performance.now`. */
  readonly now?: () => number;
}

/**
 * An MCP server that is a program: started on demand, in a process group of its own, ended with its session, and
 * ended too when this process dies.
 *
 * @throws OptionsError for unknown or wrong options
 */
export function createStdioUpstream(options: StdioUpstreamOptions, deps: StdioUpstreamDeps = {}): Upstream {
  return new StdioUpstream(parseOptions(stdioUpstreamSchema, options), deps.now ?? (() => performance.now()));
}

/** A process that had lived this long counts as having started well. */
const HEALTHY_AFTER_MS = 10_000;

/** A running child and the sessions on it. */
interface Running extends DuplexReady {
  readonly connection: StdioConnection;
  readonly sessions: Set<DuplexSession>;
  /** Who subscribed to what, where sessions share the child. */
  readonly subscriptions: SharedSubscriptions | undefined;
}

/** Longest wait for a server to take a resource out that nobody wants to hear of. */
const UNSUBSCRIBE_MS = 5_000;

class StdioUpstream implements Upstream {
  readonly #options: z.output<typeof stdioUpstreamSchema>;
  readonly #now: () => number;
  readonly #guard = new OrphanGuard();
  readonly #backoffs: RestartBackoffs;
  readonly #connections = new Set<StdioConnection>();
  readonly #sessions = new Set<DuplexSession>();
  readonly #counters: Counters = {
    sessionsOpen: 0,
    sessionsOpened: 0,
    requestsActive: 0,
    requestsTotal: 0,
    requestsFailed: 0,
    nextId: 1,
  };
  #era: Era | undefined;
  #shared: Promise<Running> | undefined;
  #closed = false;

  constructor(options: z.output<typeof stdioUpstreamSchema>, now: () => number) {
    this.#options = options;
    this.#now = now;
    this.#era = options.era === "auto" ? undefined : options.era;
    this.#backoffs = new RestartBackoffs({
      baseMs: options.restartBaseMs,
      maxMs: options.restartMaxMs,
      healthyAfterMs: HEALTHY_AFTER_MS,
      now,
    });
  }

  async open(options: OpenOptions): Promise<UpstreamSession> {
    if (this.#closed) throw closedError();
    if (options.resume !== undefined) throw cannotResume();
    const shared = this.#options.child === "shared";
    if (shared && options.env !== undefined) throw notOnShared();
    const running = shared ? await this.#joinShared(options) : await this.#start(options);
    const { connection, sessions, subscriptions, handshake } = running;
    const { clientInfo, capabilities, onMessage } = options;
    const profile =
      running.profile.era === "modern" ? { ...running.profile, clientInfo, capabilities } : running.profile;
    const session: DuplexSession = new DuplexSession({
      connection,
      profile,
      handshake,
      requestTimeoutMs: this.#options.requestTimeoutMs,
      counters: this.#counters,
      onMessage,
      subscriptions,
      release: async () => {
        sessions.delete(session);
        if (!shared) await connection.stop();
      },
    });
    sessions.add(session);
    this.#sessions.add(session);
    void session.closed.then(() => this.#sessions.delete(session));
    if (connection.ended) session.lost(exited(connection.ended));
    return session;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const closing = [...this.#sessions].map((session) => session.close());
    await Promise.all([...closing, ...[...this.#connections].map((connection) => connection.stop())]);
    this.#guard.close();
  }

  stats(): UpstreamStats {
    const { nextId: _, ...counters } = this.#counters;
    return { era: this.#era ?? "unknown", ...counters };
  }

  /**
   * The shared child, started by whoever comes first. Its start belongs to no single caller, so neither do the
   * capabilities that it is shown: nobody can be asked there.
   */
  #joinShared(options: OpenOptions): Promise<Running> {
    if (!this.#shared) {
      const starting = this.#start({ ...options, signal: undefined, capabilities: {} });
      this.#shared = starting;
      const forget = () => {
        if (this.#shared === starting) this.#shared = undefined;
      };
      starting.catch(forget);
    }
    return orAborted(this.#shared, options.signal);
  }

  async #start(options: OpenOptions): Promise<Running> {
    await this.#sitOut(this.#backoffs.of(options.env), options.signal);
    if (this.#era !== undefined) return await this.#startAs(this.#era, options);
    try {
      return await this.#startAs(undefined, options);
    } catch (error) {
      // Some legacy servers end when their first message is not `initialize`.
      const died =
        UpstreamError.is(error) && error.code === "upstream_unreachable" && error.phase !== "not_sent";
      if (!died || this.#closed) throw error;
      return await this.#startAs("legacy", options);
    }
  }

  async #startAs(era: Era | undefined, options: OpenOptions): Promise<Running> {
    const { signal } = options;
    if (signal?.aborted) throw abortError(signal, "not_sent");
    if (this.#closed) throw closedError();
    const sessions = new Set<DuplexSession>();
    const backoff = this.#backoffs.of(options.env);
    let connection: StdioConnection;
    try {
      connection = this.#spawn(sessions, options, backoff);
    } catch (error) {
      backoff.failed(0);
      throw error;
    }
    const { connectTimeoutMs, probeTimeoutMs } = this.#options;
    const context = { connection, counters: this.#counters, connectTimeoutMs, probeTimeoutMs };
    try {
      const modern = era === "legacy" ? undefined : await probeStdio(context, { ...options, ...prober });
      if (modern === undefined && era === "modern") throw notModern();
      const ready = modern ?? (await initializeDuplex(context, options));
      this.#era ??= ready.profile.era;
      backoff.succeeded();
      return { connection, sessions, subscriptions: this.#subscriptionsOn(connection, ready), ...ready };
    } catch (error) {
      const alive = connection.ended === undefined;
      if (alive && !isCallersOwn(error)) backoff.failed(0);
      void connection.stop();
      throw error;
    }
  }

  #spawn(
    sessions: Set<DuplexSession>,
    { env: ownEnv, shared = false }: OpenOptions,
    backoff: RestartBackoff,
  ): StdioConnection {
    const { command, args, env, cwd, maxAnswerBytes, maxStderrLineBytes, stopStepMs, onStderr } =
      this.#options;
    const startedAt = this.#now();
    const connection = new StdioConnection({
      command,
      args,
      env: { ...inheritedEnvironment(), ...env, ...ownEnv },
      cwd,
      maxLineBytes: maxAnswerBytes,
      maxStderrLineBytes,
      stopStepMs,
      shared: shared || this.#options.child === "shared",
      guard: this.#guard,
      onStderr,
      onMessage: (message: UpstreamMessage) => {
        for (const session of sessions) session.deliver(message);
      },
      onEnd: (end: ChildEnd) => {
        this.#connections.delete(connection);
        if (!end.stopped) backoff.failed(this.#now() - startedAt);
        if (this.#options.child === "shared") this.#shared = undefined;
        for (const session of [...sessions]) session.lost(exited(end));
      },
    });
    this.#connections.add(connection);
    return connection;
  }

  /** In revisions with sessions a server does not know that its connection has several. */
  #subscriptionsOn(connection: StdioConnection, { profile }: DuplexReady): SharedSubscriptions | undefined {
    if (this.#options.child !== "shared" || profile.era !== "legacy") return undefined;
    return new SharedSubscriptions((uri) => {
      const id = this.#counters.nextId++;
      const request = { method: "resources/unsubscribe", params: JSON.stringify({ uri }) };
      connection.call(id, encodeRequest(request, id, profile), UNSUBSCRIBE_MS, {}).catch(() => undefined);
    });
  }

  /** Waits until a child may be started again. */
  async #sitOut(backoff: RestartBackoff, signal: AbortSignal | undefined): Promise<void> {
    const remaining = backoff.remainingMs();
    if (remaining === 0) return;
    if (remaining > this.#options.restartWaitMs) {
      throw new UpstreamError("upstream_unreachable", "The upstream's process keeps ending.", {
        phase: "not_sent",
        retryAfterMs: Math.ceil(remaining),
      });
    }
    await pause(remaining, signal);
  }
}

/** Whether a start failed for its caller: that gave up, or said what the program refused. Others need not wait for it. */
function isCallersOwn(error: unknown): boolean {
  return UpstreamError.is(error) && (error.code === "aborted" || error.rpcCode !== undefined);
}

function exited(end: ChildEnd): CloseReason {
  return { kind: "exited", detail: end.detail };
}

function closedError(): UpstreamError {
  return new UpstreamError("closed", "The upstream is closed.", { phase: "not_sent" });
}

function notOnShared(): UpstreamError {
  return new UpstreamError("upstream_protocol", "A shared child has no environment of one caller's.", {
    phase: "not_sent",
  });
}

function notModern(): UpstreamError {
  return new UpstreamError("upstream_protocol", "The upstream speaks no stateless revision.", {
    phase: "response_received",
  });
}
