import { Cluster, Redis, type RedisOptions } from "ioredis";
import { addressOf, type RedisPlace } from "../config/redis.ts";

/** A client of one server, of the master that sentinels name, or of a cluster. */
export type RedisClient = Redis | Cluster;

/** Bounds of a connection, milliseconds. */
export interface ConnectionTimes {
  readonly connectTimeoutMs: number;
  /** Longest wait for a reply; undefined for a connection that only listens. */
  readonly commandTimeoutMs?: number;
}

/** ioredis options with its ordinary reply shapes. */
type ClientOptions = RedisOptions & { replyMapping?: "legacy" };

/** The same of a cluster. */
type ClusterClientOptions = NonNullable<ConstructorParameters<typeof Cluster>[1]>;

/** Longest pause between two attempts to connect. */
const maxPauseMs = 1_000;
/** A connection that has been silent for so long after a command is opened anew. */
const silenceMs = 5_000;
/** How often a command follows a slot that has moved before it fails; the caller has a policy for that. */
const maxRedirections = 4;

/** Makes a client that connects when it is told to, and then goes on trying by itself. */
export function createRedisClient(place: RedisPlace, times: ConnectionTimes): RedisClient {
  const connection = connectionOptions(times);
  switch (place.kind) {
    case "single":
      return new Redis(place.url, { ...connection, ...followOptions });
    case "sentinel":
      return new Redis({ ...connection, ...followOptions, ...sentinelOptions(place, times) });
    case "cluster":
      return new Cluster(place.nodes.map(addressOf), clusterOptions(place, connection, times));
  }
}

/** Jittered, so that many replicas do not come back in one moment. */
function pauseMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 5), maxPauseMs) * (0.5 + Math.random() / 2);
}

function connectionOptions({ connectTimeoutMs, commandTimeoutMs }: ConnectionTimes): ClientOptions {
  return {
    maxRetriesPerRequest: 1,
    autoResendUnfulfilledCommands: false,
    connectTimeout: connectTimeoutMs,
    keepAlive: 10_000,
    ...(commandTimeoutMs === undefined
      ? // Whoever listens subscribes again by himself. Nobody would hear of the failure of a SUBSCRIBE that ioredis makes,
        // and an unheard rejection ends the process.
        { autoResubscribe: false }
      : { commandTimeout: commandTimeoutMs, socketTimeout: silenceMs }),
  };
}

const followOptions: ClientOptions = {
  lazyConnect: true,
  enableOfflineQueue: false,
  retryStrategy: pauseMs,
  // A master that became a replica refused the command without carrying it out: look for the master, and send it again.
  reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 2 : false),
};

function sentinelOptions(
  place: Extract<RedisPlace, { kind: "sentinel" }>,
  { connectTimeoutMs }: ConnectionTimes,
): ClientOptions {
  return {
    sentinels: place.nodes.map(addressOf),
    name: place.name,
    db: place.db,
    ...loginOptions(place),
    ...(place.sentinelUsername !== undefined && { sentinelUsername: place.sentinelUsername }),
    ...(place.sentinelPassword !== undefined && { sentinelPassword: place.sentinelPassword }),
    ...(place.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
    sentinelRetryStrategy: pauseMs,
    sentinelReconnectStrategy: pauseMs,
    sentinelCommandTimeout: connectTimeoutMs,
    // A master that hangs does not close its connections: the sentinels say that there is another one.
    failoverDetector: true,
  };
}

function clusterOptions(
  place: Extract<RedisPlace, { kind: "cluster" }>,
  connection: ClientOptions,
  { connectTimeoutMs }: ConnectionTimes,
): ClusterClientOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: pauseMs,
    slotsRefreshTimeout: connectTimeoutMs,
    maxRedirections,
    redisOptions: { ...connection, ...loginOptions(place) },
  };
}

function loginOptions({
  username,
  password,
  tls,
}: {
  username?: string | undefined;
  password?: string | undefined;
  tls: boolean;
}): ClientOptions {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: {} }),
  };
}
