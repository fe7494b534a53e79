import type { z } from "zod";
import { ClassifierError } from "./errors.ts";
import { nearestKey } from "./nearest-key.ts";

/**
 * Checks options against a strict schema.
 *
 * @throws ClassifierError `invalid_options`, naming the path of each mistake and the nearest right key.
 */
export function parseOptions<S extends z.ZodObject>(schema: S, options: unknown): z.output<S> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const known = Object.keys(schema.shape);
  const issues = parsed.error.issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [`${path || "options"}: ${issue.message}`];
    return issue.keys.map((key) => {
      const nearest = nearestKey(key, known);
      return `${path ? `${path}.` : ""}${key}: unknown key${nearest ? `, did you mean ${nearest}?` : ""}`;
    });
  });
  throw new ClassifierError("invalid_options", `invalid classifier options: ${issues.join("; ")}`, {
    details: { issues },
  });
}
