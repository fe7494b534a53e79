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
 * KEYS[1]  `<prefix>:{db}:fence`, value `timeline|systemIdentifier|branch|era`, no TTL
 * ARGV[1]  the whole new value; ARGV[2] its timeline, ARGV[3] its system identifier, ARGV[4] its era, ARGV[5] its branch
 * Returns the value in force: the new one when there was none, when it is of a later era, when it has a higher
 * timeline of the same cluster, or when it has the first branch of the same timeline.
 */
const raiseScript = `
local current = redis.call('GET', KEYS[1])
if current then
  local timeline, system, branch, era = string.match(current, '^(%d+)|([^|]*)|([^|]*)|(%d+)$')
  timeline, era = tonumber(timeline), tonumber(era)
  if tonumber(ARGV[4]) < era then return current end
  if tonumber(ARGV[4]) == era then
    if tonumber(ARGV[2]) < timeline then return current end
    if tonumber(ARGV[2]) == timeline and (branch ~= '' or ARGV[5] == '') then return current end
    if timeline > 0 and system ~= ARGV[3] then return current end
  end
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]`;

/** Begins an era after the present one and after ARGV[1], in which nothing was seen. KEYS[1] as above; returns the value. */
const overruleScript = `
local current = redis.call('GET', KEYS[1])
local era = current and tonumber(string.match(current, '|(%d+)$')) or 0
local value = '0|||' .. (math.max(era, tonumber(ARGV[1])) + 1)
redis.call('SET', KEYS[1], value)
return value`;

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
      const { timeline, systemIdentifier, era, branch } = fence;
      const args = [format(fence), timeline, systemIdentifier, era, branch];
      return parse(String(await client.eval(raiseScript, 1, key, ...args)));
    },
    async overrule(era) {
      return parse(String(await client.eval(overruleScript, 1, key, era)));
    },
  };
}

function format({ timeline, systemIdentifier, branch, era }: Fence): string {
  return `${timeline}|${systemIdentifier}|${branch}|${era}`;
}

function parse(text: string): Fence {
  const [timeline = "", systemIdentifier = "", branch = "", era = ""] = text.split("|");
  return { era: Number(era), timeline: Number(timeline), systemIdentifier, branch };
}
