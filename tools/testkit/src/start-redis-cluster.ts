import { Cluster } from "ioredis";
import { eventually } from "./eventually.ts";
import type { RedisClusterClientOptions } from "./redis-client-options.ts";
import { type RedisServer, startRedis } from "./start-redis.ts";

/** Options of {@link startRedisCluster}. */
export interface StartRedisClusterOptions {
  /** Milliseconds after which a silent node counts as failing; default 1 000. */
  nodeTimeoutMs?: number;
}

/** A Redis Cluster of three masters without replicas; the 16 384 slots are split evenly, in order. */
export interface RedisCluster {
  readonly nodes: readonly RedisServer[];
  /** A new ioredis cluster client, closed by `close()`. */
  client(options?: RedisClusterClientOptions): Cluster;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const slots = 16_384;
const masters = 3;

/** Starts three masters and waits until each of them calls the cluster complete. */
export async function startRedisCluster(options: StartRedisClusterOptions = {}): Promise<RedisCluster> {
  const args = [
    ...["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"],
    ...["--cluster-node-timeout", String(options.nodeTimeoutMs ?? 1_000)],
    ...["--repl-diskless-sync-delay", "0"],
  ];
  const nodes = await startAll(args);
  const clients = new Set<Cluster>();
  const close = async () => {
    for (const client of clients) client.disconnect();
    await Promise.all(nodes.map((node) => node.close()));
  };
  try {
    await join(nodes);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    nodes,
    client(clientOptions = {}) {
      const places = nodes.map(({ host, port }) => ({ host, port }));
      const client = new Cluster(places, clientOptions);
      client.on("error", () => {});
      clients.add(client);
      return client;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function startAll(args: readonly string[]): Promise<RedisServer[]> {
  const starts = await Promise.allSettled(
    Array.from({ length: masters }, () => startRedis({ args, withBusPort: true })),
  );
  const nodes = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
  const failed = starts.find((start) => start.status === "rejected");
  if (!failed) return nodes;
  await Promise.all(nodes.map((node) => node.close()));
  throw failed.reason;
}

async function join(nodes: readonly RedisServer[]): Promise<void> {
  const clients = nodes.map((node) => node.client());
  await Promise.all(
    clients.map(async (client, index) => {
      const first = Math.ceil((slots * index) / nodes.length);
      const last = Math.ceil((slots * (index + 1)) / nodes.length) - 1;
      await client.cluster("ADDSLOTSRANGE", first, last);
      await client.cluster("SET-CONFIG-EPOCH", index + 1);
    }),
  );
  for (const node of nodes.slice(1)) await clients[0]?.cluster("MEET", node.host, node.port);
  for (const client of clients) {
    await eventually(async () => {
      const info = await client.cluster("INFO");
      const complete =
        info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${nodes.length}`);
      // A message published before all links are up does not reach every node.
      return complete && !String(await client.cluster("NODES")).includes(" disconnected");
    });
    client.disconnect();
  }
}
