import {
  type Classifier,
  type ClassifierObserver,
  type ClassifierStore,
  createClassifier,
  type KnownServer,
  type PolledServer,
  type UsageSource,
} from "@gatewright/server-classifier";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import type { UpstreamPool } from "./session-pool.ts";

/** What the classifier works with. */
export interface ClassifierWiring {
  readonly config: GatewayConfig["classifier"];
  /** Use of upstreams by this replica; probes do not count in it. */
  readonly pool: Pick<UpstreamPool, "usage">;
  /** The registry as it is now; undefined when it was never read. */
  readonly snapshot: () => Snapshot | undefined;
  /** State shared with other replicas; without it this process is its own leader. */
  readonly store?: ClassifierStore | undefined;
  readonly observer: ClassifierObserver;
}

/** The store that replicas share. */
export async function wireClassifierStore(redis: RedisConnections): Promise<ClassifierStore> {
  const { commands, subscriber, prefix } = redis;
  const { createRedisClassifierStore } = await import("@gatewright/server-classifier/redis");
  return createRedisClassifierStore({ client: commands, subscriber, prefix });
}

/** The classifier over the registry's upstreams and the use that the session pool counts. */
export function wireClassifier(wiring: ClassifierWiring): Classifier {
  const { config, pool, snapshot, store, observer } = wiring;
  const pins = new Map(Object.entries(config.pins).map(([name, tier]) => [name.toLowerCase(), tier]));
  const known = ({ id, name, definition }: UpstreamRecord): KnownServer => ({
    id,
    tier: definition.tier ?? pins.get(name.toLowerCase()),
    ...(definition.url === undefined ? {} : { url: definition.url }),
  });
  return createClassifier(
    {
      enabled: config.enabled,
      cycleMs: config.cycleMs,
      leaseMs: config.leaseMs,
      heartbeatMs: config.heartbeatMs,
      errorBackoffMs: config.errorBackoffMs,
      inUseMs: config.inUseMs,
      ranking: {
        preset: config.preset,
        ratio: config.ratio,
        minHot: config.minHot,
        tiers: config.tiers,
        warmRatio: config.warmRatio,
        dormantAfterMs: config.dormantAfterMs,
        halfLifeMs: config.halfLifeMs,
        leaveFactor: config.leaveFactor,
        leaveRuns: config.leaveRuns,
        minDwellMs: config.minDwellMs,
      },
      schedule: {
        refreshIntervalMs: Math.round(config.refreshIntervalSeconds * 1_000),
        multipliers: config.multipliers,
        jitter: config.jitter,
        spread: config.spread,
        claimMs: config.claimMs,
        debounceMs: config.debounceMs,
        failureBaseMs: Math.round(config.unreachableRetrySeconds * 1_000),
        failureMaxMs: Math.round(config.unreachableRetryMaxSeconds * 1_000),
        maxTtlMs: config.maxTtlMs,
        maxPollsPerSecond: config.maxPollsPerSecond,
      },
    },
    {
      servers: () => {
        const current = snapshot();
        // A leader without a registry must not publish that there are no servers.
        if (current === undefined) throw new GatewayError("db_unavailable", "the registry was never read");
        return [...current.upstreams.values()].map(known);
      },
      usage: pool satisfies UsageSource,
      observer,
      ...(store === undefined ? {} : { store }),
    },
  );
}

/**
 * An upstream as the poll schedule knows it. Its revision is part of the scope, so that one that was changed counts as
 * never polled.
 */
export function polledServer({ id, revision, definition }: UpstreamRecord): PolledServer {
  const seconds = definition.refreshIntervalSeconds;
  return {
    id,
    gatewayId: `r${revision}`,
    ...(seconds === undefined ? {} : { intervalMs: seconds * 1_000 }),
  };
}
