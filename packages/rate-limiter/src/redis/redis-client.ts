import type { Corkable } from "./write-batch.ts";

/**
 * The members of an ioredis client (`Redis` or `Cluster`, version 5 or 6) that the store uses. Give it
 * `enableOfflineQueue: false` and `maxRetriesPerRequest` of at most 1, so that a dead server fails at once.
 */
export interface RedisClient extends RedisNode {
  /** Sends any command; the reply's strings come as buffers. */
  callBuffer(command: string, ...args: (string | number)[]): Promise<unknown>;
  set(key: string, value: string, px: "PX", ms: number): Promise<unknown>;
  set(key: string, value: string, px: "PX", ms: number, nx: "NX"): Promise<unknown>;
  /** The connection's socket, where there is one: what one turn of the event loop sends becomes one write. */
  readonly stream?: Corkable;
  /** Cluster only: the nodes, each a client of its own. */
  nodes?(role: "master"): RedisNode[];
}

/** One server, for scanning its keys. */
export interface RedisNode {
  scan(
    cursor: string,
    match: "MATCH",
    pattern: string,
    count: "COUNT",
    keys: number,
  ): Promise<[string, string[]]>;
}
