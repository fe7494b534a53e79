import type { z } from "zod";
import { nearestKey } from "./nearest-key.ts";
import { budgetSchema, hedgeSchema, overrideSchema, policySchema } from "./policy-schema.ts";

type Issue = z.core.$ZodIssue;

/** One sentence per mistake: its path, what is wrong, and the nearest right key for an unknown one. */
export function describeIssues(issues: readonly Issue[], base: readonly PropertyKey[] = []): string[] {
  return issues.flatMap((issue) => {
    const path = [...base, ...issue.path];
    if (issue.code === "invalid_union") return describeIssues(issue.errors.at(-1) ?? [], path);
    if (issue.code !== "unrecognized_keys") return `${path.join(".") || "policy"}: ${issue.message}`;
    return issue.keys.map((key) => {
      const nearest = nearestKey(key, Object.keys(schemaAt(path).shape));
      return `${[...path, key].join(".")}: unknown key${nearest ? `, did you mean ${nearest}?` : ""}`;
    });
  });
}

/** An override lies two levels down, below it and below the policy are `hedge` and `budget`. */
function schemaAt(path: readonly PropertyKey[]) {
  if (path.length === 0) return policySchema;
  if (path.length === 2) return overrideSchema;
  return path[0] === "budget" ? budgetSchema : hedgeSchema;
}
