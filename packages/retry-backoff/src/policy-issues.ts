import type { z } from "zod";
import { nearestKey } from "./nearest-key.ts";

/** One sentence per mistake: where it is and what is wrong. */
export function describeIssues(
  issues: readonly z.core.$ZodIssue[],
  base: readonly PropertyKey[] = [],
): string[] {
  return issues.flatMap((issue) => {
    const path = [...base, ...issue.path];
    if (issue.code === "invalid_union") return describeIssues(issue.errors[0] ?? [], path);
    if (issue.code === "unrecognized_keys") return [...path, issue.message].join(".");
    return `${path.join(".") || "policy"}: ${issue.message}`;
  });
}

/** Begins with an unknown key, which is the end of its path, and names the nearest one that its object has. */
export const suggestKeys: z.core.$ZodErrorMap = ({ code, keys, inst }) => {
  if (code !== "unrecognized_keys") return undefined;
  const known = Object.keys((inst as z.ZodObject).shape);
  const wrong = (keys as string[]).map((key) => {
    const nearest = nearestKey(key, known);
    return `${key}: unknown key${nearest ? `, did you mean ${nearest}?` : ""}`;
  });
  return wrong.join("; ");
};
