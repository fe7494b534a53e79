import type { UpstreamRecord } from "../registry/records.ts";

/** Whether the operator declared that one session of the upstream may serve all callers. */
export function isDeclaredShared({ definition }: UpstreamRecord): boolean {
  return definition.stateless || (definition.command !== undefined && definition.child === "shared");
}

/**
 * Whether one session of the upstream may serve several callers: it was declared so, or it speaks a revision without
 * sessions over HTTP to callers that have none either. A program remembers what it likes, whatever it speaks.
 */
export function isShared(record: UpstreamRecord, inSession: boolean): boolean {
  if (isDeclaredShared(record)) return true;
  return !inSession && record.self?.era === "modern" && record.definition.command === undefined;
}
