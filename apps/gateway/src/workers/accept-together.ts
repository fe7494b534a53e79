import type { Registry } from "../registry/registry.ts";
import type { PrimaryLink } from "./primary-link.ts";

/** What the primary tells all workers when an operator has accepted a database server at one of them. */
export const acceptedNews = "database-accepted";

/**
 * A registry whose acceptance of a database server is an acceptance by all workers: without a Redis, or while it is away,
 * each of them remembers by itself which histories it has seen, and whoever asks cannot choose the worker that answers.
 */
export function acceptTogether(registry: Registry, primary: Pick<PrimaryLink, "call" | "on">): Registry {
  const stop = primary.on(acceptedNews, () => void registry.acceptServer().catch(() => undefined));
  return {
    ...registry,
    async acceptServer() {
      await registry.acceptServer();
      await primary.call("database", "accepted");
    },
    async close() {
      stop();
      await registry.close();
    },
  };
}
