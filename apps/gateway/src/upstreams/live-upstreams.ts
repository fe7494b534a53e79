import type { Upstream } from "@gatewright/mcp-bridge/upstream";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";

interface Live {
  readonly upstream: Upstream;
  /** What the connection depends on; another one means another connection. */
  readonly fingerprint: string;
}

/** The connections of the registered upstreams; one each, made at first use. */
export class LiveUpstreams {
  readonly #live = new Map<string, Live>();
  readonly #connect: (record: UpstreamRecord) => Upstream;
  readonly #onRetired: (id: string) => Promise<void>;

  /**
   * @param connect makes the connection of an upstream
   * @param onRetired ends the sessions of an upstream whose connection is about to be replaced or removed
   */
  constructor(connect: (record: UpstreamRecord) => Upstream, onRetired: (id: string) => Promise<void>) {
    this.#connect = connect;
    this.#onRetired = onRetired;
  }

  /** The connection of an upstream. */
  get(record: UpstreamRecord): Upstream {
    const known = this.#live.get(record.id);
    if (known !== undefined) return known.upstream;
    const upstream = this.#connect(record);
    this.#live.set(record.id, { upstream, fingerprint: fingerprintOf(record) });
    return upstream;
  }

  /** Ends the connections of upstreams that are gone, or that are reached in another way now. */
  follow(snapshot: Snapshot): void {
    for (const [id, live] of this.#live) {
      const record = snapshot.upstreams.get(id);
      if (record !== undefined && fingerprintOf(record) === live.fingerprint) continue;
      this.#live.delete(id);
      void this.#onRetired(id).finally(() => live.upstream.close());
    }
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    const all = [...this.#live.values()];
    this.#live.clear();
    await Promise.all(all.map((live) => live.upstream.close()));
  }
}

function fingerprintOf({ definition, credentials }: UpstreamRecord): string {
  const { url, command, args, cwd } = definition;
  return JSON.stringify([url, command, args, cwd, credentials]);
}
