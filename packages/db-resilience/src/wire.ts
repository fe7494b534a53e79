import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { Client, type QueryResult as DriverResult, type QueryConfig } from "pg";
import { sendCancelRequest } from "./cancel-request.ts";
import { toDatabaseError } from "./classify-db-error.ts";
import { type ConnectionRole, clientConfig } from "./client-config.ts";
import type { Clock } from "./clock.ts";
import { startDeadline } from "./deadline.ts";
import type { HostAddress, ParsedOptions } from "./options.ts";
import { aborted, connectTimedOut } from "./refusals.ts";
import { socketWith } from "./shared-lookup.ts";

/** What a wire tells. */
export interface WireEvents {
  /** It is gone, and was not ended from here; called once. */
  lost(error: unknown): void;
  /** Something was sent to a channel that is listened on. */
  notified?(channel: string, payload: string): void;
}

/** Transaction status as ReadyForQuery says it: idle, in a transaction, in a failed one. */
type Status = "I" | "T" | "E";

/** Node's side of pg's client that its types leave out. */
interface ClientInternals {
  readonly connection: EventEmitter & {
    readonly parsedStatements: Record<string, string>;
    close(what: { readonly type: "S"; readonly name: string }): void;
  };
  readonly processID: number | null;
  readonly secretKey: number | null;
}

interface Notice {
  readonly routine?: string | undefined;
}

type StatementCallback = (error: Error | null, result: DriverResult | DriverResult[]) => void;

/** The setting that keeps warnings from being sent; sessions begin with one that does not. */
const hidesWarnings = /client_min_messages/i;
/** Has warnings sent until the end of the transaction. */
export const hearWarnings = "set local client_min_messages = warning";
/** How long a cancel request or a goodbye is waited for. */
const lastWordsMs = 500;

/**
 * One of pg's clients on a socket of ours, from before it connects: it always has an error listener, and tells what
 * pg keeps to itself — the transaction status, a COMMIT that was not confirmed, the end of the socket.
 */
export class Wire {
  /** Settles when the socket is destroyed. */
  readonly closed: Promise<void>;
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #address: Required<HostAddress>;
  readonly #options: ParsedOptions;
  readonly #clock: Clock;
  readonly #events: WireEvents;
  #status: Status | undefined;
  #inTransaction = false;
  #unconfirmed = false;
  /** A statement of this session may have kept warnings from being sent. */
  #deaf = false;
  #copies = false;
  #lost: unknown;
  #ending = false;
  #ready: (() => void)[] = [];
  /** Names of statements that the server may have, and that are to be prepared anew. */
  readonly #forgotten = new Set<string>();

  constructor(
    address: Required<HostAddress>,
    options: ParsedOptions,
    clock: Clock,
    role: ConnectionRole,
    events: WireEvents,
  ) {
    this.#address = address;
    this.#options = options;
    this.#clock = clock;
    this.#events = events;
    this.#socket = socketWith(options.lookup);
    this.#client = new Client(clientConfig(address, options, this.#socket, role));
    this.closed = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    this.#client.on("error", (error) => this.lose(error));
    this.#client.on("end", () => this.lose(new Error("Connection terminated unexpectedly")));
    this.#client.on("notice", (notice: Notice) => {
      if (notice.routine === "SyncRepWaitForLSN") this.#unconfirmed = true;
    });
    if (events.notified) {
      this.#client.on("notification", ({ channel, payload }) => events.notified?.(channel, payload ?? ""));
    }
    for (const event of ["copyInResponse", "copyOutResponse"]) {
      this.#internals.connection.on(event, () => {
        this.#copies = true;
      });
    }
    this.#internals.connection.on("readyForQuery", ({ status }: { status?: Status }) => {
      this.#status = status;
      this.#inTransaction = status !== "I";
      for (const resolve of this.#ready.splice(0)) resolve();
    });
  }

  /**
   * Connects and logs in within `connectTimeoutMs`; the name is resolved anew each time.
   *
   * @throws DatabaseError as the table says; an attempt that fails leaves no socket behind.
   */
  async open(signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const give = (error?: unknown) => {
        clear();
        signal?.removeEventListener("abort", abort);
        if (error === undefined) return resolve();
        this.destroy();
        reject(error);
      };
      const abort = () => give(aborted(signal?.reason));
      const clear = startDeadline(this.#clock, this.#options.pool.connectTimeoutMs, () =>
        give(connectTimedOut()),
      );
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort, { once: true });
      this.#client.connect().then(
        () => give(),
        (error: unknown) => give(toDatabaseError(error)),
      );
    });
  }

  /** Process id of the backend. */
  get backendPid(): number {
    return this.#internals.processID ?? 0;
  }

  /** The connection has failed by itself. */
  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** What it has failed with. */
  get lostBy(): unknown {
    return this.#lost;
  }

  /** It is being ended from here, or has been. */
  get isEnding(): boolean {
    return this.#ending;
  }

  /** What the server said last; undefined while a statement is unfinished. */
  get status(): Status | undefined {
    return this.#status;
  }

  /** Whether a transaction was open when the server last said so. */
  get inTransaction(): boolean {
    return this.#inTransaction;
  }

  /** Since the last `send` something was committed without the confirmation of the standby that it should have had. */
  get unconfirmed(): boolean {
    return this.#unconfirmed;
  }

  /** Since the last `send` the server began to copy data from or to here, which pg throws away. */
  get copies(): boolean {
    return this.#copies;
  }

  /** Lets the process end in spite of this socket, or not. */
  keepProcessAlive(yes: boolean): void {
    if (yes) this.#socket.ref();
    else this.#socket.unref();
  }

  /** The text that was prepared under this name, or undefined. */
  preparedText(name: string | undefined): string | undefined {
    if (!name) return undefined;
    return this.#internals.connection.parsedStatements[name];
  }

  /** Has what was prepared under this name prepared anew at its next use. */
  forget(name: string | undefined): void {
    if (!name) return;
    delete this.#internals.connection.parsedStatements[name];
    this.#forgotten.add(name);
  }

  /**
   * Sends a statement; with `commits`, after making sure that a warning that it was not confirmed will be heard. Behind a
   * pooler only in transactions: a session's setting would stay with a server that others use.
   */
  send(config: QueryConfig, commits: boolean, done: StatementCallback): void {
    // No error where the server does not have it, nor in a transaction that has failed.
    if (config.name && this.#forgotten.delete(config.name))
      this.#internals.connection.close({ type: "S", name: config.name });
    this.#status = undefined;
    this.#unconfirmed = false;
    this.#copies = false;
    const pooled = this.#options.pooler === "transaction";
    const ours = pooled && config.text.endsWith(hearWarnings);
    if (!ours && hidesWarnings.test(config.text)) this.#deaf = true;
    if (!commits || !this.#deaf || (pooled && !this.#inTransaction)) {
      this.#client.query(config, done);
      return;
    }
    const hear = this.#inTransaction ? hearWarnings : "set session client_min_messages = warning";
    // In a transaction that has failed this fails too, and so does the COMMIT.
    this.#client.query(hear, (error: Error | null) => {
      // What was given up meanwhile is not sent, nor is what might commit unheard.
      if (this.#ending) return;
      if (error && !this.#inTransaction) return done(error, []);
      this.#status = undefined;
      this.#client.query(config, done);
    });
  }

  /** Waits until the server is ready for the next statement, or gone; false when it is neither for long. */
  whenReady(): Promise<boolean> {
    if (this.#status !== undefined || this.isLost) return Promise.resolve(true);
    return new Promise((resolve) => {
      const clear = startDeadline(this.#clock, lastWordsMs, () => resolve(false));
      this.#ready.push(() => {
        clear();
        resolve(true);
      });
    });
  }

  /** The server, or a statement's error, says that the connection is gone. */
  lose(error: unknown): void {
    if (this.isLost) return;
    this.#lost = error;
    for (const resolve of this.#ready.splice(0)) resolve();
    const expected = this.#ending;
    this.#socket.destroy();
    if (!expected) this.#events.lost(error);
  }

  /** Asks the server to stop what is running, on a connection of its own; then this one is to be destroyed. */
  async cancel(): Promise<void> {
    this.#ending = true;
    const { processID, secretKey } = this.#internals;
    if (processID === null || secretKey === null) return;
    // The very server, which the name may not stand for any more.
    const address = this.#socket.remoteAddress ?? this.#address.host;
    const target = { ...this.#address, address, processId: processID, secretKey };
    await sendCancelRequest(target, this.#options.ssl, lastWordsMs);
  }

  /** Says goodbye to the server and closes the socket. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#client.end().catch(() => {});
    const timer = this.#clock.setTimeout(() => this.#socket.destroy(), lastWordsMs);
    this.closed.then(() => this.#clock.clearTimeout(timer));
  }

  /** Closes the socket at once; idempotent. */
  destroy(): void {
    this.#ending = true;
    this.#socket.destroy();
  }

  get #internals(): ClientInternals {
    return this.#client as unknown as ClientInternals;
  }
}
