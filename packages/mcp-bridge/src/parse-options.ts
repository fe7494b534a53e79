import type { z } from "zod";

/** Wrong options. `details.path` names the place, `details.suggestion` the nearest known key. */
export class OptionsError extends Error {
  override readonly name = "OptionsError";
  readonly code = "validation_failed";
  readonly retryable = false;
  readonly details: { readonly path: string; readonly suggestion?: string };

  constructor(message: string, details: { readonly path: string; readonly suggestion?: string }) {
    super(message);
    this.details = details;
  }
}

/** Parses options strictly; an unknown key is an error that names the nearest known one. @throws OptionsError */
export function parseOptions<S extends z.ZodObject>(schema: S, options: unknown): z.output<S> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = issue?.path.join(".") ?? "";
  if (issue?.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    const suggestion = nearest(key, Object.keys(schema.shape));
    const hint = suggestion === undefined ? "" : ` Did you mean '${suggestion}'?`;
    const where = path === "" ? key : `${path}.${key}`;
    throw new OptionsError(`Unknown option '${where}'.${hint}`, {
      path: where,
      ...(suggestion !== undefined && { suggestion }),
    });
  }
  throw new OptionsError(`Option '${path}': ${issue?.message ?? "is wrong"}.`, { path });
}

function nearest(key: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((name) => ({ name, distance: distance(key.toLowerCase(), name.toLowerCase()) }))
    .sort((left, right) => left.distance - right.distance);
  const best = ranked[0];
  return best && best.distance <= Math.max(2, key.length / 3) ? best.name : undefined;
}

/** Levenshtein distance. */
function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replace = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
