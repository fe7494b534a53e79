import { classify } from "../../src/index.ts";
import { servers, used } from "./usage.ts";

/** What a leader of this epoch publishes: the tiers of servers of which the first is in use. */
export const publication = (epoch: number, ids = 5, versionSeen = 0) => ({
  epoch,
  versionSeen,
  ttlMs: 60_000,
  classification: classify(servers(ids), [used("s1", 5)], "contextforge", 1_000),
});
