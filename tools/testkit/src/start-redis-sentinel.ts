import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { eventually } from "./eventually.ts";
import type { RedisClientOptions } from "./redis-client-options.ts";
import { type RedisServer, startRedis } from "./start-redis.ts";

/** A master with one replica, watched by three sentinels (quorum two, down after 500 ms). */
export interface RedisSentinel {
  /** The name under which the sentinels know the master. */
  readonly name: string;
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
  /** Host and port of the sentinels, as ioredis takes them. */
  readonly addresses: readonly { host: string; port: number }[];
  /** The server that the sentinels call master at the moment. */
  master(): Promise<RedisServer>;
  /** A new ioredis client that follows the master, closed by `close()`. */
  client(options?: RedisClientOptions): Redis;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const name = "gatewright";

/** Starts master, replica and sentinels and waits until each sentinel knows them all. */
export async function startRedisSentinel(): Promise<RedisSentinel> {
  const all: RedisServer[] = [];
  const clients = new Set<Redis>();
  const close = async () => {
    for (const client of clients) client.disconnect();
    await Promise.all(all.map((server) => server.close()));
  };
  const start = async (options: Parameters<typeof startRedis>[0]) => {
    const server = await startRedis(options);
    all.push(server);
    return server;
  };
  try {
    const args = ["--repl-diskless-sync-delay", "0"];
    const master = await start({ args });
    const replica = await start({ args: [...args, "--replicaof", master.host, String(master.port)] });
    const sentinelConfig = configOf(master);
    const sentinels = await Promise.all([1, 2, 3].map(() => start({ sentinelConfig })));
    const servers = [master, replica];
    await Promise.all(sentinels.map((sentinel) => untilComplete(sentinel, sentinels.length - 1)));
    const addresses = sentinels.map(({ host, port }) => ({ host, port }));
    return {
      name,
      servers,
      sentinels,
      addresses,
      master: () => currentMaster(sentinels, servers),
      client(options = {}) {
        const defaults: RedisClientOptions = {
          sentinels: addresses,
          name,
          maxRetriesPerRequest: 1,
          retryStrategy: (attempt) => Math.min(attempt * 20, 200),
        };
        const client = new Redis(Object.assign(defaults, options));
        client.on("error", () => {});
        clients.add(client);
        return client;
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function configOf(master: RedisServer) {
  return async (port: number, directory: string) => {
    const file = join(directory, "sentinel.conf");
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${directory}`,
      `sentinel monitor ${name} ${master.host} ${master.port} 2`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 3000`,
      "",
    ];
    await writeFile(file, lines.join("\n"));
    return file;
  };
}

async function untilComplete(sentinel: RedisServer, others: number): Promise<void> {
  const client = sentinel.client();
  await eventually(
    async () => {
      const state = toRecord(await client.call("SENTINEL", "MASTER", name));
      return state["num-slaves"] === "1" && state["num-other-sentinels"] === String(others);
    },
    { timeoutMs: 20_000, intervalMs: 50 },
  );
  client.disconnect();
}

async function currentMaster(sentinels: readonly RedisServer[], servers: readonly RedisServer[]) {
  for (const sentinel of sentinels) {
    if (!sentinel.running) continue;
    const client = sentinel.client();
    const address = await client.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name).finally(() => {
      client.disconnect();
    });
    const port = Array.isArray(address) ? Number(address[1]) : undefined;
    const found = servers.find((server) => server.port === port);
    if (found) return found;
  }
  throw new Error("No sentinel names a master.");
}

/** Sentinel answers come as a flat list or, in RESP3, as a map. */
function toRecord(reply: unknown): Record<string, string> {
  if (!Array.isArray(reply)) return Object.assign({}, reply) as Record<string, string>;
  const entries: [string, string][] = [];
  for (let at = 0; at + 1 < reply.length; at += 2) entries.push([String(reply[at]), String(reply[at + 1])]);
  return Object.fromEntries(entries);
}
