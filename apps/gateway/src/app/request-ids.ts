import { randomBytes } from "node:crypto";

/** Names requests: a random prefix for this process, then a count. */
export function createRequestIds(): () => string {
  const prefix = randomBytes(4).toString("hex");
  let count = 0;
  return () => `${prefix}-${(++count).toString(36)}`;
}
