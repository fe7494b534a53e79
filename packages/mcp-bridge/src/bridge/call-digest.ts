import { createHash } from "node:crypto";
import type { RequestMessage } from "../message.ts";

/** Members of `params` that differ between a call and its continuation. */
const VOLATILE: ReadonlySet<string> = new Set(["_meta", "inputResponses", "requestState"]);

/**
 * A digest of what a call asks for: method and params without metadata and answers, keys in order. Equal for a call
 * and its continuation, different for any other call.
 */
export function callDigest(message: RequestMessage): string {
  const params = Object.entries(message.params ?? {}).filter(([key]) => !VOLATILE.has(key));
  const text = JSON.stringify([message.method, Object.fromEntries(params)], sorted);
  return createHash("sha256").update(text).digest("base64url");
}

/** A replacer for JSON.stringify that writes the keys of every object in order. */
function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  // A null prototype keeps a member named __proto__ an ordinary member.
  const copy: { [key: string]: unknown } = Object.create(null);
  for (const [key, member] of entries) copy[key] = member;
  return copy;
}
