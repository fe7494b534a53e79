/**
 * One account of a shared retry budget: books deposits and takes at most one retry, atomically.
 *
 * KEYS[1] the account, a hash `earned floor at` (milli-retries, milli-retries, epoch ms)
 * ARGV[1] ratio × 1000   ARGV[2] floor per second × 1000   ARGV[3] burst × 1000
 * ARGV[4] deposits to book   ARGV[5] 1 to withdraw, −1 to give one back, 0 to book only
 * ARGV[6] time to live, ms
 * Returns {granted 0|1, whole retries left}. Time is the server's. Integers only, so no sum drifts; time that
 * gave no whole milli-retry yet is kept.
 */
export const withdrawScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ratio, perSecond, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local account = redis.call('HMGET', KEYS[1], 'earned', 'floor', 'at')
local earned = tonumber(account[1]) or 0
local most = perSecond > 0 and math.max(1000, perSecond) or 0
local floor = tonumber(account[2]) or most
local at = tonumber(account[3]) or now
earned = math.min(burst, earned + ratio * tonumber(ARGV[4]))
local gained = math.floor(math.max(0, now - at) * perSecond / 1000)
if floor + gained >= most then
  floor = most
  at = math.max(now, at)
elseif gained > 0 then
  floor = floor + gained
  at = at + math.floor(gained * 1000 / perSecond)
end
local granted = 0
local wanted = tonumber(ARGV[5])
if wanted == 1 then
  if earned >= 1000 then
    earned = earned - 1000
    granted = 1
  elseif floor >= 1000 then
    floor = floor - 1000
    granted = 1
  end
elseif wanted == -1 then
  earned = earned + 1000
end
redis.call('HSET', KEYS[1], 'earned', string.format('%.0f', earned), 'floor', string.format('%.0f', floor), 'at', string.format('%.0f', at))
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return {granted, math.floor(earned / 1000) + math.floor(floor / 1000)}
`;
