import type { Tier } from "./known-server.ts";

/** What is polled. The two are independent of each other. */
export type PollType = "health" | "tool_discovery";

/** A server as the poll schedule needs it. */
export interface PolledServer {
  readonly id: string;
  /** Tells gateways apart that share a server. */
  readonly gatewayId?: string | undefined;
  /** The operator's own interval for this server; wins over tier and multiplier. */
  readonly intervalMs?: number | undefined;
}

/** What an interval is computed from. */
export interface IntervalSettings {
  readonly refreshIntervalMs: number;
  readonly multipliers: Readonly<Record<Tier, number>>;
  readonly jitter: number;
  readonly spread: boolean;
}

/** The interval before jitter. Servers that are not classified and health checks of servers in use go by 1×. */
export function plainInterval(
  server: PolledServer,
  pollType: PollType,
  facts: { readonly tier: Tier | undefined; readonly inUse: boolean },
  { refreshIntervalMs, multipliers }: IntervalSettings,
): number {
  if (server.intervalMs !== undefined) return server.intervalMs;
  const slowed = facts.tier !== undefined && !(pollType === "health" && facts.inUse);
  return refreshIntervalMs * (slowed ? multipliers[facts.tier ?? "hot"] : 1);
}

/**
 * Shifts an interval by a fraction that is the same on every replica: ± jitter, drawn anew after each poll, and
 * after the very first poll a fixed phase of the server between a tenth and the whole, so that servers that
 * were first polled together drift apart at once.
 */
export function spreadInterval(
  interval: number,
  scope: string,
  polls: { readonly last: number; readonly count: number },
  { jitter, spread }: IntervalSettings,
): number {
  if (spread && polls.count === 1) return interval * (0.1 + 0.9 * unitHash(scope));
  return interval * (1 + jitter * (2 * unitHash(`${scope}:${polls.last}`) - 1));
}

/** A number in [0, 1) that depends on the text alone: FNV-1a, finished as in MurmurHash3. */
export function unitHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
