import { createHash } from "node:crypto";
import type { PolledServer, PollType } from "./poll-interval.ts";

/** Name of a poll's state: a hash, so that no id, URL or secret in one is ever readable in a key. */
export function scopeKey(server: PolledServer, pollType: PollType): string {
  const parts = JSON.stringify([server.id, server.gatewayId ?? "", pollType]);
  return createHash("sha256").update(parts).digest("hex").slice(0, 32);
}
