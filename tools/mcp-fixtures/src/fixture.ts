/** What every fixture server offers to a test, whichever protocol era it speaks. */
export interface Fixture {
  /** The MCP endpoint, for example `http://127.0.0.1:40123/mcp`. */
  readonly url: string;
  readonly port: number;
  /** A snapshot of what the server has seen so far; the same, and what else it counts, is at `GET /stats`. */
  stats(): FixtureStats;
  /** Answers nothing any more, destroys every socket, resolves when the port is free. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a fixture counted since it was started. All figures are whole numbers. */
export interface FixtureStats {
  /** Requests by JSON-RPC method; a GET or DELETE counts under its HTTP method, an unreadable body under `invalid`. */
  readonly requests: Readonly<Record<string, number>>;
  /** Sum of `requests`. */
  readonly total: number;
  readonly sessionsOpened: number;
  readonly sessionsClosed: number;
  /** POST exchanges under way now, and the most there ever were at once. */
  readonly concurrent: number;
  readonly concurrentMax: number;
  /** POST exchanges whose client went away before the whole answer was out. */
  readonly aborted: number;
  /** TCP connections open now, and how many were ever accepted. */
  readonly connections: number;
  readonly connectionsAccepted: number;
}

/** Where a fixture listens. */
export interface ListenOptions {
  /** Default 0: a free port is chosen. */
  readonly port?: number;
  /** Default `127.0.0.1`. */
  readonly host?: string;
}

/** The protocol revisions a fixture serves: sessions (`legacy`), stateless (`modern`), or both on one URL. */
export type Era = "dual" | "legacy" | "modern";
