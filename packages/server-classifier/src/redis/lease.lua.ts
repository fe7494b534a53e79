/** Defines `now`, epoch milliseconds of the server. First line of every script here. */
export const nowLua = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
`;

/**
 * Takes or renews the leader's lease.
 *
 * KEYS[1] leader (string: instance id, with TTL)   KEYS[2] epoch (integer, no TTL)
 * ARGV[1] instance id   ARGV[2] lease ms   ARGV[3] largest epoch the caller saw
 * Returns {leader 0|1, epoch, ms until the lease ends, now}
 *
 * A caller that saw a larger epoch than is stored saw it before the data was lost. Then the epoch goes above it whoever
 * leads: replicas that remember would not take a smaller one. The holder takes it over with its next renewal.
 */
export const acquireScript = `${nowLua}
local holder = redis.call('GET', KEYS[1])
local epoch = tonumber(redis.call('GET', KEYS[2])) or 0
local seen = tonumber(ARGV[3])
if not holder or seen > epoch then
  epoch = math.max(epoch, seen) + 1
  redis.call('SET', KEYS[2], text(epoch))
end
if not holder or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1, epoch, tonumber(ARGV[2]), now}
end
return {0, epoch, math.max(0, redis.call('PTTL', KEYS[1])), now}
`;

/**
 * Gives the lease back: compare and delete.
 *
 * KEYS[1] leader   ARGV[1] instance id   ARGV[2] channel
 * Returns 1 when it was held, else 0
 */
export const releaseScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], 'released')
return 1
`;
