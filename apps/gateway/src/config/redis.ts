import { z } from "zod";

const node = z
  .string()
  .regex(/^(\[[0-9a-f:.]+\]|[^\s:/@[\]]+):[1-9]\d{0,4}$/i, "has to be host:port")
  .refine((text) => portOf(text) <= 65_535, "has a port above 65535");

const nodes = z
  .array(node)
  .min(1)
  .max(64)
  .describe("Some of the nodes as host:port; the others are found by them.");

const login = {
  username: z.string().min(1).optional(),
  password: z.string().min(1).optional(),
  tls: z.boolean().default(false).describe("Encrypt the connections."),
};

const sentinel = z
  .strictObject({
    name: z.string().min(1).describe("Name by which the sentinels know the master."),
    nodes,
    ...login,
    db: z.int().min(0).default(0).describe("Number of the database."),
    sentinelUsername: z.string().min(1).optional().describe("For the sentinels themselves."),
    sentinelPassword: z.string().min(1).optional().describe("For the sentinels themselves."),
  })
  .describe("A master that Redis Sentinel watches; the gateway follows every failover.");

const cluster = z.strictObject({ nodes, ...login }).describe("A Redis Cluster.");

/** Shared state of several replicas; with none of `url`, `sentinel` and `cluster` everything stays in this process. */
export const redisConfig = z
  .strictObject({
    url: z
      .string()
      .regex(/^rediss?:\/\//, "has to begin with redis:// or rediss://")
      .optional()
      .describe("redis:// or rediss:// URL of one server."),
    sentinel: sentinel.optional(),
    cluster: cluster.optional(),
    prefix: z.string().min(1).max(32).default("gw").describe("First part of every key."),
    connectTimeoutMs: z.int().min(50).max(60_000).default(2_000).describe("Longest attempt to connect."),
    commandTimeoutMs: z
      .int()
      .min(10)
      .max(60_000)
      .default(1_000)
      .describe("Longest wait for a reply; the limiter's own deadline is shorter."),
  })
  .superRefine((config, context) => {
    const [first, ...others] = topologies.filter((name) => config[name] !== undefined);
    for (const name of others) {
      context.addIssue({
        code: "custom",
        path: [name],
        message: `is one way to name Redis, and redis.${first} another: leave one out`,
      });
    }
  })
  .prefault({});

/** Where Redis is, in one of three ways. */
export type RedisPlace =
  | { readonly kind: "single"; readonly url: string }
  | ({ readonly kind: "sentinel" } & z.infer<typeof sentinel>)
  | ({ readonly kind: "cluster" } & z.infer<typeof cluster>);

const topologies = ["url", "sentinel", "cluster"] as const;

/** Where Redis is; undefined when there is none. */
export function redisPlace(config: z.infer<typeof redisConfig>): RedisPlace | undefined {
  if (config.cluster !== undefined) return { kind: "cluster", ...config.cluster };
  if (config.sentinel !== undefined) return { kind: "sentinel", ...config.sentinel };
  return config.url === undefined ? undefined : { kind: "single", url: config.url };
}

/** Host and port of a node; an IPv6 address is without its brackets. */
export function addressOf(text: string): { readonly host: string; readonly port: number } {
  const host = text.slice(0, text.lastIndexOf(":"));
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: portOf(text) };
}

function portOf(text: string): number {
  return Number(text.slice(text.lastIndexOf(":") + 1));
}
