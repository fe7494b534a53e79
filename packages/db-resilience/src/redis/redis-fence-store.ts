import type { Fence, FenceStore } from "../fence-store.ts";

/** What the store uses of an ioredis client (single server, Sentinel or Cluster). */
export interface RedisFenceClient {
  get(key: string): Promise<string | null>;
  eval(script: string, numberOfKeys: number, ...args: (string | number)[]): Promise<unknown>;
}

/** Options of {@link createRedisFenceStore}. */
export interface RedisFenceStoreOptions {
  /** Prefix of the key `<prefix>:{db}:fence`; default "gw". */
  readonly prefix?: string;
}

/**
 * Raises the fence in one step.
 *
 * KEYS[1]  `<prefix>:{db}:fence`, value `timeline|systemIdentifier|branch`, no TTL
 * ARGV[1]  timeline, ARGV[2] the whole new value
 * Returns the value in force: the new one when there was none or it has a higher timeline of the same cluster.
 */
const raiseScript = `
local current = redis.call('GET', KEYS[1])
if current then
  local timeline, system = string.match(current, '^(%d+)|([^|]*)|')
  local newSystem = string.match(ARGV[2], '^%d+|([^|]*)|')
  if system ~= newSystem or tonumber(ARGV[1]) <= tonumber(timeline) then return current end
end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]`;

/** Replaces the value whatever was there. KEYS[1] as above; ARGV[1] the new value, or empty for none. */
const resetScript = `
if ARGV[1] == '' then return redis.call('DEL', KEYS[1]) end
return redis.call('SET', KEYS[1], ARGV[1])`;

/**
 * Keeps the fence in Redis, so that it holds for all replicas and survives their restarts. Use a client with
 * `enableOfflineQueue: false` and a `commandTimeout`. When Redis forgets, each process puts back what it has seen.
 */
export function createRedisFenceStore(
  client: RedisFenceClient,
  { prefix = "gw" }: RedisFenceStoreOptions = {},
): FenceStore {
  const key = `${prefix}:{db}:fence`;
  return {
    async read() {
      const text = await client.get(key);
      return text === null ? undefined : parse(text);
    },
    async raise(fence) {
      return parse(String(await client.eval(raiseScript, 1, key, fence.timeline, format(fence))));
    },
    async reset(fence) {
      await client.eval(resetScript, 1, key, fence ? format(fence) : "");
    },
  };
}

function format({ timeline, systemIdentifier, branch }: Fence): string {
  return `${timeline}|${systemIdentifier}|${branch}`;
}

function parse(text: string): Fence {
  const [timeline = "", systemIdentifier = "", branch = ""] = text.split("|");
  return { timeline: Number(timeline), systemIdentifier, branch };
}
