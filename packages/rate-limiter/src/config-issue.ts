import type { ZodError, ZodType } from "zod";
import { RateLimiterError } from "./errors.ts";

/**
 * Parses a configuration. An unknown key is refused with its path and the nearest right key; every other
 * mistake with its path.
 *
 * @throws RateLimiterError `validation_failed` with `details.path` and, for a misspelt key, `details.suggestion`.
 */
export function parseConfig<T>(schema: ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw configError(parsed.error, (path) => keysAt(schema, path));
}

function configError(
  error: ZodError,
  keysOf: (path: readonly PropertyKey[]) => readonly string[],
): RateLimiterError {
  const issue = error.issues[0];
  const path = issue?.path ?? [];
  if (issue?.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const suggestion = nearest(key, keysOf(path));
    const where = [...path, key].map(String).join(".");
    const hint = suggestion === undefined ? "" : `; did you mean "${suggestion}"?`;
    return new RateLimiterError("validation_failed", `${where}: unknown key${hint}`, {
      cause: error,
      details: { path: where, suggestion },
    });
  }
  const where = path.map(String).join(".");
  return new RateLimiterError("validation_failed", `${where || "config"}: ${issue?.message ?? "invalid"}`, {
    cause: error,
    details: { path: where },
  });
}

/** The keys a strict object schema allows at a path. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): readonly string[] {
  let at: unknown = schema;
  for (const step of path) at = childOf(unwrap(at), step);
  const shape = (unwrap(at) as { shape?: Record<string, unknown> } | undefined)?.shape;
  return shape ? Object.keys(shape) : [];
}

function childOf(schema: unknown, step: PropertyKey): unknown {
  const node = schema as { shape?: Record<PropertyKey, unknown>; valueType?: unknown } | undefined;
  return node?.shape?.[step] ?? node?.valueType;
}

function unwrap(schema: unknown): unknown {
  let at = schema as
    | { def?: { innerType?: unknown; in?: unknown; options?: readonly unknown[] } }
    | undefined;
  while (at?.def) {
    const inner = at.def.innerType ?? at.def.in ?? at.def.options?.at(-1);
    if (inner === undefined) break;
    at = inner as typeof at;
  }
  return at;
}

/** The word nearest to `word` by edit distance, when it is near enough to be a slip. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.slice(0, 64), candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
