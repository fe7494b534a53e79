import type { GatewayConfig } from "../config/gateway-config.ts";

/** By what replicas share counters, modes, sessions and classification, and how much that is worth. */
export type Sharing =
  /** All replicas over one Redis count as one. */
  | { readonly by: "redis"; readonly guarantee: "shared" }
  /** The workers of one primary: limits are divided among them, sessions end with their worker. */
  | { readonly by: "workers"; readonly workers: number; readonly guarantee: "best-effort" }
  /** Nothing is shared with other gateways. */
  | { readonly by: "none"; readonly guarantee: "local" };

/** How this gateway shares. */
export function sharingOf({ redis, server }: GatewayConfig): Sharing {
  if (redis.url !== undefined) return { by: "redis", guarantee: "shared" };
  const { workers } = server;
  return workers > 1
    ? { by: "workers", workers, guarantee: "best-effort" }
    : { by: "none", guarantee: "local" };
}
