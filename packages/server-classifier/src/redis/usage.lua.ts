import { nowLua } from "./lease.lua.ts";

/**
 * Adds one replica's report; a report that was counted already changes nothing.
 *
 * KEYS[1] uses (hash: server → total)   KEYS[2] last use (hash: server → epoch ms)
 * KEYS[3] replicas (hash: replica → `until|seq|json of sessions`)
 * ARGV[1] replica   ARGV[2] seq   ARGV[3] json of sessions   ARGV[4] report TTL ms   ARGV[5] usage TTL ms
 * ARGV[6…] server, uses, age ms (−1: not used), repeated
 * Returns now
 */
export const reportScript = `${nowLua}
local known = redis.call('HGET', KEYS[3], ARGV[1])
if known then
  local seq = tonumber(string.match(known, '^%d+|(%d+)|'))
  if seq and seq >= tonumber(ARGV[2]) then return now end
end
redis.call('HSET', KEYS[3], ARGV[1], text(now + tonumber(ARGV[4])) .. '|' .. ARGV[2] .. '|' .. ARGV[3])
for i = 6, #ARGV, 3 do
  local uses, age = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  redis.call('HINCRBY', KEYS[1], ARGV[i], text(uses))
  if age >= 0 then
    local last = tonumber(redis.call('HGET', KEYS[2], ARGV[i])) or 0
    redis.call('HSET', KEYS[2], ARGV[i], text(math.max(last, now - age)))
  end
end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[5]) end
return now
`;

/**
 * Reads all that a leader needs at one moment, and drops replicas that fell silent.
 *
 * KEYS[1] uses   KEYS[2] last use   KEYS[3] replicas   KEYS[4] snapshot
 * Returns {now, uses, last use, replicas, snapshot}, the hashes as flat lists
 */
export const collectScript = `${nowLua}
local replicas = redis.call('HGETALL', KEYS[3])
for i = 1, #replicas, 2 do
  local till = tonumber(string.match(replicas[i + 1], '^(%d+)|'))
  if not till or till <= now then redis.call('HDEL', KEYS[3], replicas[i]) end
end
return {now, redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3]), redis.call('HGETALL', KEYS[4])}
`;
