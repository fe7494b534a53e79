import type { SubscriptionFilter } from "@gatewright/mcp-bridge/bridge";
import { renewed, type Target, upstreamsOf } from "../calls/target.ts";
import { announcedBy } from "../polling/announced.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { isDeclaredShared } from "../upstreams/is-shared.ts";

/** The lists of an endpoint, by the notification that tells of their change. */
const listChanges = {
  tools: "notifications/tools/list_changed",
  prompts: "notifications/prompts/list_changed",
  resources: "notifications/resources/list_changed",
} as const;

/** What the clients of an endpoint follow, in one state of the registry. */
export interface Followed {
  /** What is heard of which upstream for clients with a session. */
  readonly filters: ReadonlyMap<string, SubscriptionFilter>;
  /**
   * What the endpoint's lists are made of, by their notification: another one means that the list has changed. Of
   * upstreams that do not announce changes of their own it is known by what they were found to have.
   */
  readonly made: ReadonlyMap<string, string>;
  /** Everything that followers act on: with the same, nothing is to be done. */
  readonly key: string;
  /** Notifications of those of its lists that are not empty for sure. */
  readonly lists: ReadonlySet<string>;
  /** The endpoint is no more. */
  readonly gone: boolean;
}

/** What the clients of an endpoint follow; computed once for all of them. */
export function followedBy(snapshot: Snapshot, target: Target): Followed {
  return snapshot.derive(`followed/${target.id ?? ""}`, () => {
    const now = renewed(snapshot, target);
    return {
      ...follow(now === undefined ? [] : upstreamsOf(snapshot, now), target),
      gone: now === undefined,
    };
  });
}

function follow(upstreams: readonly UpstreamRecord[], target: Target): Omit<Followed, "gone"> {
  const filters = new Map<string, SubscriptionFilter>();
  const lists = new Set<string>();
  const parts = new Map<string, unknown[]>();
  for (const upstream of upstreams) {
    const { id, slug, self, refreshedAt } = upstream;
    for (const [kind, notification] of Object.entries(listChanges)) {
      const offers = self?.capabilities[kind] as { readonly listChanged?: unknown } | undefined;
      if (offers !== undefined) lists.add(notification);
      const silent = offers !== undefined && offers.listChanged !== true;
      const part = [id, slug, self !== undefined, silent ? refreshedAt : ""];
      const known = parts.get(notification);
      if (known === undefined) parts.set(notification, [part]);
      else known.push(part);
    }
    const filter = announcedBy(upstream);
    if (filter !== undefined && !tellsItself(upstream, target)) filters.set(id, filter);
  }
  const made = new Map([...parts].map(([notification, part]) => [notification, JSON.stringify(part)]));
  // Whoever gets credentials of one's own listens by those from then on.
  const users = upstreams.map(({ credentials }) => Object.keys(credentials.users ?? {}));
  return { filters, made, key: JSON.stringify([[...made], [...filters], users]), lists };
}

/**
 * Whether clients are told by their own sessions with an upstream. Programs are not started to be listened to: those that run
 * for a client tell by themselves, and one that all share runs anyhow, and tells nobody in particular. So does the session
 * with the one upstream of a plain endpoint, where that has sessions.
 */
function tellsItself(upstream: UpstreamRecord, target: Target): boolean {
  const { definition, self } = upstream;
  if (definition.command !== undefined) return definition.child !== "shared";
  return target.kind === "plain" && self?.era !== "modern" && !isDeclaredShared(upstream);
}
