/**
 * One account of a shared retry budget: books what a process tells of it and takes at most one retry, atomically.
 *
 * KEYS[1] the account, a hash `earned floor at` (milli-retries, milli-retries, epoch ms); `earned` and, by one second's
 * refill at most, `floor` are below zero while processes that decided alone spent more than there was
 * KEYS[2] what this process told before, a hash `deposits earned floor`
 * ARGV[1] ratio × 1000   ARGV[2] floor per second × 1000   ARGV[3] burst × 1000
 * ARGV[4] 1 to withdraw, −1 or −2 to give one back that was paid from what was earned or from the floor, 0 to book only
 * ARGV[5] time to live, ms
 * ARGV[6], ARGV[7], ARGV[8] totals of the process: deposits, retries it granted alone from what was earned, and from the
 * floor   ARGV[9], ARGV[10], ARGV[11] those it knows to be booked, for when KEYS[2] is gone
 * Returns {granted 0, 1 from what was earned, 2 from the floor; whole retries left}. Time is the server's. Integers only, so no sum drifts; time that
 * gave no whole milli-retry yet is kept.
 */
export const withdrawScript = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ratio, perSecond, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local told = redis.call('HMGET', KEYS[2], 'deposits', 'earned', 'floor')
local function news(i)
  return math.max(0, tonumber(ARGV[5 + i]) - (tonumber(told[i]) or tonumber(ARGV[8 + i])))
end
local deposits, earnedSpent, floorSpent = news(1), news(2), news(3)
local account = redis.call('HMGET', KEYS[1], 'earned', 'floor', 'at')
local earned = tonumber(account[1]) or 0
local most = perSecond > 0 and math.max(1000, perSecond) or 0
local floor = tonumber(account[2]) or most
local at = tonumber(account[3]) or now
earned = math.min(burst, earned + ratio * deposits - 1000 * earnedSpent)
local gained = math.floor(math.max(0, now - at) * perSecond / 1000)
floor = math.max(-most, floor + gained - 1000 * floorSpent)
if floor >= most then
  floor = most
  at = math.max(now, at)
elseif gained > 0 then
  at = at + math.floor(gained * 1000 / perSecond)
end
local granted = 0
local wanted = tonumber(ARGV[4])
if wanted == 1 then
  if earned >= 1000 then
    earned = earned - 1000
    granted = 1
  elseif floor >= 1000 then
    floor = floor - 1000
    granted = 2
  end
elseif wanted == -1 then
  earned = math.min(burst, earned + 1000)
elseif wanted == -2 then
  floor = math.min(most, floor + 1000)
end
redis.call('HSET', KEYS[1], 'earned', string.format('%.0f', earned), 'floor', string.format('%.0f', floor), 'at', string.format('%.0f', at))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if deposits + earnedSpent + floorSpent > 0 then
  for i, field in ipairs({'deposits', 'earned', 'floor'}) do
    redis.call('HSET', KEYS[2], field, string.format('%.0f', math.max(tonumber(told[i]) or 0, tonumber(ARGV[5 + i]))))
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return {granted, math.max(0, math.floor(earned / 1000)) + math.max(0, math.floor(floor / 1000))}
`;
