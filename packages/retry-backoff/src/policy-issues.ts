import type { z } from "zod";
import { nearestKey } from "./nearest-key.ts";
import { budgetSchema, overrideSchema, policySchema } from "./policy-schema.ts";

/** One sentence per mistake: its path, what is wrong, and the nearest right key for an unknown one. */
export function describeIssues(issues: readonly z.core.$ZodIssue[]): string[] {
  return issues.flatMap((issue) => {
    if (issue.code === "invalid_union") {
      const nested = issue.errors.at(-1) ?? [];
      return describeIssues(nested.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })));
    }
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [`${path || "policy"}: ${issue.message}`];
    return issue.keys.map((key) => {
      const nearest = nearestKey(key, keysAt(issue.path));
      return `${path ? `${path}.` : ""}${key}: unknown key${nearest ? `, did you mean ${nearest}?` : ""}`;
    });
  });
}

function keysAt(path: readonly PropertyKey[]): string[] {
  switch (path[0]) {
    case "overrides":
      return path.length > 2 ? ["delayMs", "maxHedges"] : overrideSchema.keyof().options;
    case "budget":
      return budgetSchema.keyof().options;
    case "hedge":
      return ["delayMs", "maxHedges"];
    default:
      return policySchema.keyof().options;
  }
}
