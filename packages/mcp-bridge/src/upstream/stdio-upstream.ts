import { z } from "zod";
import { parseOptions } from "../parse-options.ts";
import type { Era } from "../revisions.ts";
import { abortError, orAborted, pause } from "./abort.ts";
import type { ChildEnd } from "./child.ts";
import { type DuplexReady, initializeDuplex, probeStdio } from "./duplex-handshake.ts";
import { DuplexSession } from "./duplex-session.ts";
import type { Counters } from "./http-session.ts";
import { OrphanGuard } from "./orphan-guard.ts";
import { RestartBackoff } from "./restart-backoff.ts";
import { StdioConnection } from "./stdio-connection.ts";
import type {
  CloseReason,
  OpenOptions,
  Upstream,
  UpstreamMessage,
  UpstreamSession,
  UpstreamStats,
} from "./upstream.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Options of {@link createStdioUpstream}. */
export interface StdioUpstreamOptions {
  /** Program to start, found by PATH or given as a path. No shell is involved. */
  readonly command: string;
  readonly args?: readonly string[];
  /** Added to a small inherited set (PATH, HOME, …); nothing else of our environment reaches the child. */
  readonly env?: { readonly [name: string]: string };
  /** Working directory. Default: ours. */
  readonly cwd?: string;
  /** `session`: one child per session; `shared`: all sessions use one. Default `session`. */
  readonly child?: "session" | "shared";
  /** `auto` asks the child (`server/discover`); the others skip that. Default `auto`. */
  readonly era?: "auto" | Era;
  /** Longest wait for the handshake of a started child. Default 10 000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for an answer to `server/discover`; silence is legacy. Default 2 000. */
  readonly probeTimeoutMs?: number;
  /** Longest wait for an answer; a call may say otherwise; 0 = none. Default 60 000. */
  readonly requestTimeoutMs?: number;
  /** Pause before a child that ended on its own is started again; doubles with each failure. Default 200. */
  readonly restartBaseMs?: number;
  /** Longest such pause. Default 30 000. */
  readonly restartMaxMs?: number;
  /** Longest pause that `open` sits out itself; a longer one is an error with `retryAfterMs`. Default 2 000. */
  readonly restartWaitMs?: number;
  /** Time that a child has after each step of stopping: end of input, SIGTERM, SIGKILL. 10 … 900, default 650. */
  readonly stopStepMs?: number;
  /** Longest message of the child in bytes. Default 64 MiB. */
  readonly maxAnswerBytes?: number;
  /** Longest line of stderr in bytes; the rest of the line is dropped. Default 8 192. */
  readonly maxStderrLineBytes?: number;
  /** Takes the lines that the child writes to stderr, and those on stdout that are no messages. */
  readonly onStderr?: (line: string) => void;
}

const milliseconds = (fallback: number) => z.int().min(0).default(fallback);

const schema = z.strictObject({
  command: z.string().min(1),
  args: z.array(z.string()).default([]),
  env: z.record(z.string(), z.string()).default({}),
  cwd: z.string().optional(),
  child: z.enum(["session", "shared"]).default("session"),
  era: z.enum(["auto", "legacy", "modern"]).default("auto"),
  connectTimeoutMs: milliseconds(10_000),
  probeTimeoutMs: milliseconds(2_000),
  requestTimeoutMs: milliseconds(60_000),
  restartBaseMs: milliseconds(200),
  restartMaxMs: milliseconds(30_000),
  restartWaitMs: milliseconds(2_000),
  stopStepMs: z.int().min(10).max(900).default(650),
  maxAnswerBytes: z
    .int()
    .min(1)
    .default(64 * 1024 * 1024),
  maxStderrLineBytes: z.int().min(1).default(8_192),
  onStderr: z.custom<(line: string) => void>((value) => typeof value === "function").optional(),
});

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
  return new StdioUpstream(parseOptions(schema, options), deps.now ?? (() => performance.now()));
}

/** Environment that a child inherits. */
const INHERITED = [
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "SHELL",
  "TERM",
  "LANG",
  "LC_ALL",
  "TZ",
  "TMPDIR",
  "SYSTEMROOT",
  "APPDATA",
  "LOCALAPPDATA",
  "PATHEXT",
  "TEMP",
];

/** A process that had lived this long counts as having started well. */
const HEALTHY_AFTER_MS = 10_000;

/** A running child and the sessions on it. */
interface Running extends DuplexReady {
  readonly connection: StdioConnection;
  readonly sessions: Set<DuplexSession>;
}

class StdioUpstream implements Upstream {
  readonly #options: z.output<typeof schema>;
  readonly #now: () => number;
  readonly #guard = new OrphanGuard();
  readonly #backoff: RestartBackoff;
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

  constructor(options: z.output<typeof schema>, now: () => number) {
    this.#options = options;
    this.#now = now;
    this.#era = options.era === "auto" ? undefined : options.era;
    this.#backoff = new RestartBackoff({
      baseMs: options.restartBaseMs,
      maxMs: options.restartMaxMs,
      healthyAfterMs: HEALTHY_AFTER_MS,
      now,
    });
  }

  async open(options: OpenOptions): Promise<UpstreamSession> {
    if (this.#closed) throw closedError();
    const shared = this.#options.child === "shared";
    const running = shared ? await this.#joinShared(options) : await this.#start(options);
    const { connection, sessions, handshake } = running;
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

  /** The shared child, started by whoever comes first. Its start belongs to no single caller. */
  #joinShared(options: OpenOptions): Promise<Running> {
    if (!this.#shared) {
      const starting = this.#start({ ...options, signal: undefined });
      this.#shared = starting;
      const forget = () => {
        if (this.#shared === starting) this.#shared = undefined;
      };
      starting.catch(forget);
    }
    return orAborted(this.#shared, options.signal);
  }

  async #start(options: OpenOptions): Promise<Running> {
    await this.#sitOut(options.signal);
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
    const connection = this.#spawn(sessions);
    const { connectTimeoutMs, probeTimeoutMs } = this.#options;
    const context = { connection, counters: this.#counters, connectTimeoutMs, probeTimeoutMs };
    try {
      const modern = era === "legacy" ? undefined : await probeStdio(context, options);
      if (modern === undefined && era === "modern") throw notModern();
      const ready = modern ?? (await initializeDuplex(context, options));
      this.#era ??= ready.profile.era;
      this.#backoff.succeeded();
      return { connection, sessions, ...ready };
    } catch (error) {
      const alive = connection.ended === undefined;
      if (alive && !(UpstreamError.is(error) && error.code === "aborted")) this.#backoff.failed(0);
      void connection.stop();
      throw error;
    }
  }

  #spawn(sessions: Set<DuplexSession>): StdioConnection {
    const { command, args, env, cwd, maxAnswerBytes, maxStderrLineBytes, stopStepMs, onStderr } =
      this.#options;
    const startedAt = this.#now();
    const connection = new StdioConnection({
      command,
      args,
      env: { ...inheritedEnvironment(), ...env },
      cwd,
      maxLineBytes: maxAnswerBytes,
      maxStderrLineBytes,
      stopStepMs,
      guard: this.#guard,
      onStderr,
      onMessage: (message: UpstreamMessage) => {
        for (const session of sessions) session.deliver(message);
      },
      onEnd: (end: ChildEnd) => {
        this.#connections.delete(connection);
        if (!end.stopped) this.#backoff.failed(this.#now() - startedAt);
        if (this.#options.child === "shared") this.#shared = undefined;
        for (const session of [...sessions]) session.lost(exited(end));
      },
    });
    this.#connections.add(connection);
    return connection;
  }

  /** Waits until a child may be started again. */
  async #sitOut(signal: AbortSignal | undefined): Promise<void> {
    const remaining = this.#backoff.remainingMs();
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

function exited(end: ChildEnd): CloseReason {
  return { kind: "exited", detail: end.detail };
}

function inheritedEnvironment(): { [name: string]: string } {
  return Object.fromEntries(
    INHERITED.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function closedError(): UpstreamError {
  return new UpstreamError("closed", "The upstream is closed.", { phase: "not_sent" });
}

function notModern(): UpstreamError {
  return new UpstreamError("upstream_protocol", "The upstream speaks no stateless revision.", {
    phase: "response_received",
  });
}
