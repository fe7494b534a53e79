import { type Aggregator, createAggregator, type ListCall } from "@gatewright/mcp-bridge/bridge";
import { renewed, type Target, upstreamsOf } from "../calls/target.ts";
import type { ItemKind, UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";

/** How upstreams are shown as one. Times in milliseconds. */
export interface AggregatesOptions {
  readonly snapshot: () => Snapshot;
  readonly call: ListCall;
  /** Keys that seal cursors, the current one first. */
  readonly secrets: readonly Uint8Array[];
  readonly separator: string;
  readonly maxNameLength: number;
  readonly listDeadlineMs: number;
  readonly freshMs: number;
  readonly failureHoldMs: number;
  readonly maxItems: number;
}

/** Endpoints whose aggregators are kept; the one that was made longest ago is forgotten first. */
const maxKept = 500;

/** The kinds of items by the method that lists them. */
export const listKinds: Readonly<Record<string, ItemKind>> = {
  "tools/list": "tool",
  "prompts/list": "prompt",
  "resources/list": "resource",
  "resources/templates/list": "resource_template",
};

/** Lists of one upstream that are kept for other gateways, which are few. */
const maxChainedCopies = 16;

interface Kept {
  readonly aggregator: Aggregator;
  /** The same for requests that came through other gateways; made for the first one. */
  chained: Aggregator | undefined;
  readonly upstreams: readonly { readonly id: string; readonly slug: string }[];
  readonly upstreamIds: ReadonlySet<string>;
  readonly fingerprint: string;
}

/** The aggregators of all endpoints; each is made anew when its upstreams, or their names, are others. */
export class Aggregates {
  readonly #options: AggregatesOptions;
  readonly #kept = new Map<string, Kept>();
  /** What of each upstream was last seen; when it differs, its lists may. */
  #seen: ReadonlyMap<string, string> = new Map();

  constructor(options: AggregatesOptions) {
    this.#options = options;
  }

  /** The aggregator of an endpoint. */
  of(target: Target): Aggregator {
    return this.#at(target).aggregator;
  }

  /**
   * The aggregator of an endpoint for the lists of requests that came through other gateways: whatever chains of gateways
   * clients make up, these copies take no place from those of everybody else.
   */
  chained(target: Target): Aggregator {
    const kept = this.#at(target);
    kept.chained ??= this.#make(kept.upstreams, {
      maxCopies: maxChainedCopies * Math.max(1, kept.upstreams.length),
    });
    return kept.chained;
  }

  /** The lists of an upstream have changed. */
  outdate(upstreamId: string): void {
    for (const { aggregator, chained, upstreamIds } of this.#kept.values()) {
      if (!upstreamIds.has(upstreamId)) continue;
      aggregator.outdate(upstreamId);
      chained?.outdate(upstreamId);
    }
  }

  /** Takes a new state of the registry: what was listed or changed since the last one is asked anew. */
  follow({ upstreams }: Snapshot): void {
    const seen = new Map([...upstreams.values()].map((record) => [record.id, versionOf(record)]));
    for (const [id, version] of seen) if (this.#seen.get(id) !== version) this.outdate(id);
    this.#seen = seen;
  }

  #at(target: Target): Kept {
    const snapshot = this.#options.snapshot();
    const key = target.id ?? "";
    return snapshot.derive(`aggregate/${key}`, () => {
      // Whoever keeps a target may have one of a former state.
      const upstreams = upstreamsOf(snapshot, renewed(snapshot, target) ?? target);
      return this.#current(key, upstreams);
    });
  }

  #current(key: string, records: readonly UpstreamRecord[]): Kept {
    const upstreams = records.map(({ id, slug }) => ({ id, slug }));
    const fingerprint = JSON.stringify(upstreams);
    const known = this.#kept.get(key);
    if (known?.fingerprint === fingerprint) return known;
    const upstreamIds = new Set(upstreams.map(({ id }) => id));
    const made = {
      aggregator: this.#make(upstreams),
      chained: undefined,
      upstreams,
      upstreamIds,
      fingerprint,
    };
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= maxKept && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, made);
    return made;
  }

  #make(upstreams: Kept["upstreams"], bounds: { readonly maxCopies?: number } = {}): Aggregator {
    const { snapshot, secrets, call, ...rules } = this.#options;
    const [secret = new Uint8Array(), ...previousSecrets] = secrets;
    return createAggregator({
      ...rules,
      ...bounds,
      upstreams,
      call,
      secret,
      previousSecrets,
      stored: (id, method) => storedItems(snapshot(), id, listKinds[method]),
    });
  }
}

function versionOf({ revision, refreshedAt }: UpstreamRecord): string {
  return `${revision}/${refreshedAt ?? ""}`;
}

/** The items that the registry keeps of an upstream, unless it was never listed. */
function storedItems(snapshot: Snapshot, upstreamId: string, kind: ItemKind | undefined) {
  if (kind === undefined || snapshot.upstreams.get(upstreamId)?.self === undefined) return undefined;
  return [...snapshot.items(upstreamId, kind).values()].map(({ body }) => body);
}
