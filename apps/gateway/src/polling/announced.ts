import type { SubscriptionFilter } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamRecord } from "../registry/records.ts";

const listChanges: ReadonlySet<string> = new Set([
  "notifications/tools/list_changed",
  "notifications/prompts/list_changed",
  "notifications/resources/list_changed",
]);

/** Whether a message says that a list has changed. */
export function isListChange(message: { readonly kind: string; readonly method: string }): boolean {
  return message.kind === "notification" && listChanges.has(message.method);
}

/** The changes of its lists that an upstream says it announces; undefined when there are none. */
export function announcedBy({ self }: UpstreamRecord): SubscriptionFilter | undefined {
  const says = (name: string) => {
    return (self?.capabilities[name] as { readonly listChanged?: unknown } | undefined)?.listChanged === true;
  };
  const filter = {
    ...(says("tools") && { toolsListChanged: true }),
    ...(says("prompts") && { promptsListChanged: true }),
    ...(says("resources") && { resourcesListChanged: true }),
  };
  return Object.keys(filter).length === 0 ? undefined : filter;
}
