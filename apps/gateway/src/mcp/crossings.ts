import type { Bridge } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamMessage } from "@gatewright/mcp-bridge/upstream";
import type { Crossing } from "../calls/crossing.ts";
import type { Route } from "../calls/target.ts";
import type { Exchange } from "./exchange.ts";
import { LegacyClient } from "./legacy-client.ts";
import type { Listening } from "./listening.ts";
import { ModernClient } from "./modern-client.ts";

/** What bridging works with. */
export interface CrossingDeps {
  readonly bridge: Bridge;
  readonly listening: Listening;
  /** How long a question waits for a client with a session. */
  readonly questionTimeoutMs: number;
  /** Takes what an upstream says during a call, beside the client. */
  readonly hear: (upstreamId: string, message: UpstreamMessage) => void;
}

/** How a request gets into a session that does not speak what its client speaks; plain JSON-RPC takes any session. */
export function crossingOf(deps: CrossingDeps, exchange: Exchange, route: Route): Crossing | undefined {
  const { era, session } = exchange;
  if (era === "modern") {
    return new ModernClient(deps.bridge, exchange, (message) => deps.hear(route.upstream.id, message));
  }
  if (session === undefined) return undefined;
  return new LegacyClient(deps, exchange, session, route);
}
