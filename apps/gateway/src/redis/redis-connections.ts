import type { Logger } from "pino";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { RedisPlace } from "../config/redis.ts";
import type { RedisClient } from "./redis-clients.ts";

/** What a look at Redis found. */
export type RedisHealth = "ok" | "down";

/** The connections of one process to Redis. */
export interface RedisConnections {
  /** For commands: fails at once while Redis is away, and within the command timeout when it hangs. */
  readonly commands: RedisClient;
  /** Listens to channels, does nothing else and has no command timeout. */
  readonly subscriber: RedisClient;
  /** First part of every key. */
  readonly prefix: string;
  /** Asks for a sign of life; looks at the same time share one question. Never rejects. */
  health(): Promise<RedisHealth>;
  /** Ends both connections. Idempotent. */
  close(): void;
}

/** Pause before a connection that the driver has given up is opened anew. */
const againMs = 100;
/** Longest wait of a health check. */
const healthTimeoutMs = 250;

/**
 * Opens the connections. Resolves as soon as Redis answers, or after the connect timeout without it: both
 * connections go on trying by themselves, and nothing that happens to them ends the process.
 */
export async function openRedis(
  place: RedisPlace,
  { prefix, connectTimeoutMs, commandTimeoutMs }: GatewayConfig["redis"],
  logger: Logger,
): Promise<RedisConnections> {
  // The driver is loaded by those who use it: a start without Redis does not wait for it.
  const { createRedisClient } = await import("./redis-clients.ts");
  const commands = createRedisClient(place, { connectTimeoutMs, commandTimeoutMs });
  const subscriber = createRedisClient(place, { connectTimeoutMs });
  const closing = new AbortController();
  for (const [name, client] of Object.entries({ commands, subscriber })) {
    watch(client, name, logger);
    keepOpen(client, closing.signal);
  }
  await firstConnect(commands, connectTimeoutMs);

  let asked: Promise<RedisHealth> | undefined;
  return {
    commands,
    subscriber,
    prefix,
    health() {
      asked ??= ask(commands).finally(() => {
        asked = undefined;
      });
      return asked;
    },
    close() {
      closing.abort();
      commands.disconnect();
      subscriber.disconnect();
    },
  };
}

/** Says once when a connection is lost and once when it is back; an unheard error would end the process. */
function watch(client: RedisClient, connection: string, logger: Logger): void {
  let lost = false;
  client.on("error", (error) => {
    if (!lost) logger.warn({ err: error, connection }, "Redis is out of reach");
    lost = true;
  });
  client.on("ready", () => {
    if (lost) logger.info({ connection }, "Redis answers again");
    lost = false;
  });
}

/**
 * Opens anew what the driver gives up in spite of its retry strategy: it does where sentinels tell of a new master just
 * while it asks them for the master, and would then be closed for good.
 */
function keepOpen(client: RedisClient, closing: AbortSignal): void {
  client.on("end", () => {
    const open = () => {
      if (!closing.aborted && client.status === "end") client.connect().catch(() => undefined);
    };
    if (!closing.aborted) setTimeout(open, againMs).unref();
  });
}

async function firstConnect(client: RedisClient, timeoutMs: number): Promise<void> {
  const connecting = client.connect().catch(() => undefined);
  await beforeTimeout(connecting, timeoutMs);
}

async function ask(client: RedisClient): Promise<RedisHealth> {
  if (client.status !== "ready") return "down";
  const answer = client.ping().then(
    () => "ok" as const,
    () => "down" as const,
  );
  return (await beforeTimeout(answer, healthTimeoutMs)) ?? "down";
}

function beforeTimeout<T>(work: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), timeoutMs);
    work.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}
