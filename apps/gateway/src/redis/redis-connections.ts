import { Redis, type RedisOptions } from "ioredis";
import type { Logger } from "pino";
import type { GatewayConfig } from "../config/gateway-config.ts";

/** What a look at Redis found. */
export type RedisHealth = "ok" | "down";

/** The connections of one process to Redis. */
export interface RedisConnections {
  /** For commands: fails at once while Redis is away, and within the command timeout when it hangs. */
  readonly commands: Redis;
  /** Listens to channels, does nothing else and has no command timeout. */
  readonly subscriber: Redis;
  /** First part of every key. */
  readonly prefix: string;
  /** Asks for a sign of life; looks at the same time share one question. Never rejects. */
  health(): Promise<RedisHealth>;
  /** Ends both connections. Idempotent. */
  close(): void;
}

/** Longest pause between two attempts to connect. */
const maxPauseMs = 1_000;
/** A connection that has been silent for so long after a command is opened anew. */
const silenceMs = 5_000;
/** Longest wait of a health check. */
const healthTimeoutMs = 250;

/** ioredis options with its ordinary reply shapes. */
type ClientOptions = RedisOptions & { replyMapping?: "legacy" };

/**
 * Opens the connections. Resolves as soon as Redis answers, or after the connect timeout without it: both
 * connections go on trying by themselves, and nothing that happens to them ends the process.
 */
export async function openRedis(
  config: GatewayConfig["redis"] & { readonly url: string },
  logger: Logger,
): Promise<RedisConnections> {
  const { url, prefix, connectTimeoutMs, commandTimeoutMs } = config;
  const shared: ClientOptions = {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    autoResendUnfulfilledCommands: false,
    connectTimeout: connectTimeoutMs,
    keepAlive: 10_000,
    // Jittered, so that many replicas do not come back in one moment.
    retryStrategy: (attempt) =>
      Math.min(50 * 2 ** Math.min(attempt, 5), maxPauseMs) * (0.5 + Math.random() / 2),
  };
  const commands = new Redis(url, { ...shared, commandTimeout: commandTimeoutMs, socketTimeout: silenceMs });
  const subscriber = new Redis(url, shared);
  for (const [name, client] of Object.entries({ commands, subscriber })) watch(client, name, logger);
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
      commands.disconnect();
      subscriber.disconnect();
    },
  };
}

/** Says once when a connection is lost and once when it is back; an unheard error would end the process. */
function watch(client: Redis, connection: string, logger: Logger): void {
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

async function firstConnect(client: Redis, timeoutMs: number): Promise<void> {
  const connecting = client.connect().catch(() => undefined);
  await beforeTimeout(connecting, timeoutMs);
}

async function ask(client: Redis): Promise<RedisHealth> {
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
