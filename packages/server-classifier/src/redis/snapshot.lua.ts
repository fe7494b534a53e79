import { nowLua } from "./lease.lua.ts";

/**
 * Replaces the snapshot, unless a later leader is in office, and forgets the use of servers that left.
 *
 * KEYS[1] snapshot (hash: `#` → json with version and epoch, `s` + server → json)   KEYS[2] epoch
 * KEYS[3] uses   KEYS[4] last use
 * ARGV[1] epoch of the caller   ARGV[2] TTL ms   ARGV[3] largest version the caller saw
 * ARGV[4] metadata json   ARGV[5] channel   ARGV[6…] server, json, repeated
 * Returns {accepted 0|1, now, version}
 */
export const publishScript = `${nowLua}
local epoch = tonumber(redis.call('GET', KEYS[2])) or 0
local mine = tonumber(ARGV[1])
if mine < epoch then return {0, now, 0} end
if mine > epoch then redis.call('SET', KEYS[2], text(mine)) end
local head = redis.call('HGET', KEYS[1], '#')
local version = head and tonumber(string.match(head, '^{"version":(%d+)')) or 0
version = math.max(version, tonumber(ARGV[3])) + 1
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '#', '{"version":' .. text(version) .. ',"epoch":' .. text(mine) .. ',"metadata":' .. ARGV[4] .. '}')
local known = {}
for i = 6, #ARGV, 2 do
  known[ARGV[i]] = true
  redis.call('HSET', KEYS[1], 's' .. ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for k = 3, 4 do
  local servers = redis.call('HKEYS', KEYS[k])
  for i = 1, #servers do
    if not known[servers[i]] then redis.call('HDEL', KEYS[k], servers[i]) end
  end
end
redis.call('PUBLISH', ARGV[5], 'published')
return {1, now, version}
`;

/**
 * Reads the snapshot.
 *
 * KEYS[1] snapshot
 * Returns {now, snapshot as a flat list}
 */
export const readScript = `${nowLua}
return {now, redis.call('HGETALL', KEYS[1])}
`;
