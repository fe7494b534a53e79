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

interface Kept {
  readonly aggregator: Aggregator;
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
    const snapshot = this.#options.snapshot();
    const key = target.id ?? "";
    return snapshot.derive(`aggregate/${key}`, () => {
      // Whoever keeps a target may have one of a former state.
      const upstreams = upstreamsOf(snapshot, renewed(snapshot, target) ?? target);
      return this.#current(key, upstreams);
    });
  }

  /** The lists of an upstream have changed. */
  outdate(upstreamId: string): void {
    for (const { aggregator, upstreamIds } of this.#kept.values()) {
      if (upstreamIds.has(upstreamId)) aggregator.outdate(upstreamId);
    }
  }

  /** Takes a new state of the registry: what was listed or changed since the last one is asked anew. */
  follow({ upstreams }: Snapshot): void {
    const seen = new Map([...upstreams.values()].map((record) => [record.id, versionOf(record)]));
    for (const [id, version] of seen) if (this.#seen.get(id) !== version) this.outdate(id);
    this.#seen = seen;
  }

  #current(key: string, upstreams: readonly UpstreamRecord[]): Aggregator {
    const named = upstreams.map(({ id, slug }) => ({ id, slug }));
    const fingerprint = JSON.stringify(named);
    const known = this.#kept.get(key);
    if (known?.fingerprint === fingerprint) return known.aggregator;
    const { snapshot, secrets, call, ...rules } = this.#options;
    const [secret = new Uint8Array(), ...previousSecrets] = secrets;
    const aggregator = createAggregator({
      ...rules,
      upstreams: named,
      call,
      secret,
      previousSecrets,
      stored: (id, method) => storedItems(snapshot(), id, listKinds[method]),
    });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= maxKept && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, { aggregator, fingerprint, upstreamIds: new Set(named.map(({ id }) => id)) });
    return aggregator;
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
