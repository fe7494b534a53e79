import type { NotificationMessage } from "../message.ts";
import { endsPart } from "../part-of-resource.ts";
import type { UpstreamSession } from "../upstream/upstream.ts";

/** What a listener wants to hear of (2026-07-28, `subscriptions/listen`). */
export interface SubscriptionFilter {
  readonly toolsListChanged?: boolean | undefined;
  readonly promptsListChanged?: boolean | undefined;
  readonly resourcesListChanged?: boolean | undefined;
  /** URIs of resources whose updates are wanted. */
  readonly resourceSubscriptions?: readonly string[] | undefined;
}

/** The kinds of list whose changes can be heard of. */
export const LIST_KINDS = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"] as const;

/** The notification of each kind of list. */
export const LIST_NOTIFICATIONS: { readonly [kind in (typeof LIST_KINDS)[number]]: string } = {
  toolsListChanged: "notifications/tools/list_changed",
  promptsListChanged: "notifications/prompts/list_changed",
  resourcesListChanged: "notifications/resources/list_changed",
};

/** A filter from a client's `params.notifications`; what is malformed is left out. */
export function readFilter(value: unknown): SubscriptionFilter {
  if (typeof value !== "object" || value === null) return {};
  const wanted = value as { readonly [key: string]: unknown };
  const uris = wanted["resourceSubscriptions"];
  return {
    ...Object.fromEntries(LIST_KINDS.filter((kind) => wanted[kind] === true).map((kind) => [kind, true])),
    ...(Array.isArray(uris) && {
      resourceSubscriptions: uris.filter((uri): uri is string => typeof uri === "string"),
    }),
  };
}

/** Everything that any of the filters wants. */
export function unionOf(filters: Iterable<SubscriptionFilter>): SubscriptionFilter {
  const kinds = new Set<string>();
  const uris = new Set<string>();
  for (const filter of filters) {
    for (const kind of LIST_KINDS) if (filter[kind] === true) kinds.add(kind);
    for (const uri of filter.resourceSubscriptions ?? []) uris.add(uri);
  }
  return {
    ...Object.fromEntries(LIST_KINDS.filter((kind) => kinds.has(kind)).map((kind) => [kind, true])),
    ...(uris.size > 0 && { resourceSubscriptions: [...uris].sort() }),
  };
}

const RESOURCE = "resource ";

/** The parts of a filter that a server may honour or refuse one by one, each by a key: kinds of lists, then resources. */
export function partsOf(filter: SubscriptionFilter): string[] {
  const kinds = LIST_KINDS.filter((kind) => filter[kind] === true);
  return [...kinds, ...(filter.resourceSubscriptions ?? []).map((uri) => RESOURCE + uri)];
}

/** The filter that consists of parts. */
export function filterOf(parts: readonly string[]): SubscriptionFilter {
  return unionOf(
    parts.map((part) =>
      part.startsWith(RESOURCE) ? { resourceSubscriptions: [part.slice(RESOURCE.length)] } : { [part]: true },
    ),
  );
}

/** What both filters want. */
export function intersectionOf(left: SubscriptionFilter, right: SubscriptionFilter): SubscriptionFilter {
  const uris = new Set(right.resourceSubscriptions ?? []);
  const common = (left.resourceSubscriptions ?? []).filter((uri) => uris.has(uri));
  const kinds = LIST_KINDS.filter((kind) => left[kind] === true && right[kind] === true);
  return {
    ...Object.fromEntries(kinds.map((kind) => [kind, true])),
    ...(common.length > 0 && { resourceSubscriptions: common }),
  };
}

/** True when `wide` wants all that `narrow` wants. */
export function covers(wide: SubscriptionFilter, narrow: SubscriptionFilter): boolean {
  const uris = new Set(wide.resourceSubscriptions ?? []);
  return (
    LIST_KINDS.every((kind) => narrow[kind] !== true || wide[kind] === true) &&
    (narrow.resourceSubscriptions ?? []).every((uri) => uris.has(uri))
  );
}

/**
 * Tells whether a notification is one that the filter wants. An update may name a part of a subscribed resource. What a
 * notification costs depends on the lengths of the URIs, of which there are few, not on their number.
 */
export function matcherOf(filter: SubscriptionFilter): (message: NotificationMessage) => boolean {
  const methods = new Set(LIST_KINDS.filter((kind) => filter[kind]).map((kind) => LIST_NOTIFICATIONS[kind]));
  const uris = new Set(filter.resourceSubscriptions ?? []);
  const lengths = new Set([...uris].map(({ length }) => length));
  return (message) => {
    if (message.method !== "notifications/resources/updated") return methods.has(message.method);
    const uri = message.params?.["uri"];
    if (typeof uri !== "string") return false;
    for (const length of lengths) {
      if (endsPart(uri, length) && uris.has(uri.slice(0, length))) return true;
    }
    return false;
  };
}

/** What a legacy server can tell of, by the capabilities it declared. */
export function legacyOffer(session: UpstreamSession, wanted: SubscriptionFilter): SubscriptionFilter {
  const capability = (name: string, flag: string) => {
    const value = session.capabilities[name] as { readonly [key: string]: unknown } | undefined;
    return value?.[flag] === true;
  };
  return {
    ...(wanted.toolsListChanged === true && capability("tools", "listChanged") && { toolsListChanged: true }),
    ...(wanted.promptsListChanged === true &&
      capability("prompts", "listChanged") && { promptsListChanged: true }),
    ...(wanted.resourcesListChanged === true &&
      capability("resources", "listChanged") && { resourcesListChanged: true }),
    ...(wanted.resourceSubscriptions &&
      capability("resources", "subscribe") && { resourceSubscriptions: wanted.resourceSubscriptions }),
  };
}
