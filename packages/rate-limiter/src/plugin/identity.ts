import { ANONYMOUS } from "../subject.ts";

/**
 * The name a principal is counted by: its email, else its id, else its sub, else the string itself. A blank or
 * missing principal is `anonymous`.
 */
export function identityOf(principal: unknown): string {
  if (typeof principal === "object" && principal !== null) {
    const { email, id, sub } = principal as { email?: unknown; id?: unknown; sub?: unknown };
    return text(email) ?? text(id) ?? text(sub) ?? ANONYMOUS;
  }
  return text(principal) ?? ANONYMOUS;
}

function text(value: unknown): string | undefined {
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value !== "string") return undefined;
  const trimmed = value.trim();
  return trimmed === "" ? undefined : trimmed;
}
