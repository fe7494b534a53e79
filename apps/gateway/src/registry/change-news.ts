import type { ResilientDatabase } from "@gatewright/db-resilience";
import type { RedisConnections } from "../redis/redis-connections.ts";

/** How replicas hear at once that another has changed the registry. Best effort: a poll stands behind it. */
export interface ChangeNews {
  /** A statement that tells it as part of the change, or undefined. */
  readonly statement: string | undefined;
  /** Tells it once the change is made. Never rejects. */
  tell(version: number): void;
  stop(): void;
}

/** By Redis. */
export function newsByRedis(redis: RedisConnections, hear: (version: number) => void): ChangeNews {
  const { commands, subscriber, prefix } = redis;
  const channel = `${prefix}:registry`;
  const onMessage = (from: string, message: string) => {
    if (from === channel) hear(Number(message));
  };
  const listen = () => void subscriber.subscribe(channel).catch(() => undefined);
  subscriber.on("message", onMessage);
  // Without an offline queue a connection that is down now subscribes when it is ready; one that waits connects.
  subscriber.on("ready", listen);
  if (subscriber.status === "ready") listen();
  if (subscriber.status === "wait") void subscriber.connect().catch(() => undefined);
  return {
    statement: undefined,
    tell: (version) => void commands.publish(channel, String(version)).catch(() => undefined),
    stop() {
      subscriber.off("message", onMessage);
      subscriber.off("ready", listen);
    },
  };
}

const channel = "gatewright_registry";

/** By the database's own LISTEN and NOTIFY, which needs a direct connection. */
export function newsByNotify(
  database: Pick<ResilientDatabase, "listen">,
  hear: (version?: number) => void,
): ChangeNews {
  return {
    statement: `select pg_notify('${channel}', $1)`,
    tell: () => undefined,
    stop: database.listen(channel, {
      notified: (payload) => hear(Number(payload)),
      listening: () => hear(),
    }),
  };
}

/** By nothing but the poll. */
export const noNews: ChangeNews = { statement: undefined, tell: () => undefined, stop: () => undefined };
