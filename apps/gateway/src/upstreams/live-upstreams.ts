import {
  type OpenOptions,
  type Upstream,
  UpstreamError,
  type UpstreamSession,
} from "@gatewright/mcp-bridge/upstream";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { hasOwnCredentials, onBehalfOf } from "./user-credentials.ts";

/** Which revisions a connection may speak: whatever the upstream prefers, or those with sessions alone. */
export type ConnectionEra = "auto" | "legacy";

interface Live {
  readonly id: string;
  readonly upstream: Upstream;
  /** What the connection depends on; another one means another connection. */
  readonly fingerprint: string;
}

/** The connections of the registered upstreams; one for each way of speaking, made at first use. */
export class LiveUpstreams {
  readonly #live = new Map<string, Live>();
  readonly #connect: (record: UpstreamRecord, era: ConnectionEra) => Upstream;
  readonly #onRetired: (id: string) => Promise<void>;

  /**
   * @param connect makes the connection of an upstream
   * @param onRetired ends the sessions of an upstream whose connection is about to be replaced or removed
   */
  constructor(
    connect: (record: UpstreamRecord, era: ConnectionEra) => Upstream,
    onRetired: (id: string) => Promise<void>,
  ) {
    this.#connect = connect;
    this.#onRetired = onRetired;
  }

  /** The connection of an upstream; one of its own for a user with own credentials. */
  get(record: UpstreamRecord, era: ConnectionEra = "auto", user?: string): Upstream {
    const own = hasOwnCredentials(record, user) ? `/${user}` : "";
    const key = `${record.id}/${era}${own}`;
    const known = this.#live.get(key);
    if (known !== undefined) return known.upstream;
    const upstream = this.#connect(onBehalfOf(record, user), era);
    this.#live.set(key, { id: record.id, upstream, fingerprint: fingerprintOf(record) });
    return upstream;
  }

  /**
   * Opens a session. One that should have sessions speaks a legacy revision; an upstream that refuses the handshake
   * knows only modern ones, and is spoken to in those.
   */
  async open(
    record: UpstreamRecord,
    era: ConnectionEra,
    options: OpenOptions,
    user?: string,
  ): Promise<UpstreamSession> {
    if (era === "legacy") {
      try {
        return await this.get(record, "legacy", user).open(options);
      } catch (error) {
        const refused = UpstreamError.is(error) && error.phase === "response_received";
        if (!refused) throw error;
      }
    }
    return this.get(record, "auto", user).open(options);
  }

  /** Ends the connections of upstreams that are gone, or that are reached in another way now. */
  follow(snapshot: Snapshot): void {
    for (const [key, live] of this.#live) {
      const record = snapshot.upstreams.get(live.id);
      if (record !== undefined && fingerprintOf(record) === live.fingerprint) continue;
      this.#live.delete(key);
      void this.#onRetired(live.id)
        .catch(() => undefined)
        .then(() => live.upstream.close());
    }
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    const all = [...this.#live.values()];
    this.#live.clear();
    await Promise.all(all.map((live) => live.upstream.close()));
  }
}

/** Whether two records of an upstream are reached in the same way, so that sessions may stay. */
export function isReachedAlike(one: UpstreamRecord, other: UpstreamRecord): boolean {
  return fingerprintOf(one) === fingerprintOf(other);
}

function fingerprintOf({ definition, credentials }: UpstreamRecord): string {
  const { url, transport, command, args, cwd, child } = definition;
  return JSON.stringify([url, transport, command, args, cwd, child, credentials]);
}
