import { MAX_FUTURE_MS } from "../poll-state.ts";
import { nowLua } from "./lease.lua.ts";

/** A poll's state as a string, its fields in this order; the Lua side of poll-state.ts. */
const stateLua = `
local fields = {'last', 'count', 'failures', 'retryAt', 'forcedAt', 'ttlMs', 'claimedAt'}
local function unpackState(packed)
  local state, n = {holder = ''}, 0
  for part in string.gmatch(packed or '', '([^|]*)|?') do
    n = n + 1
    if n <= #fields then state[fields[n]] = tonumber(part) or 0 end
    if n == #fields + 1 then state.holder = part end
  end
  for i = 1, #fields do
    local value = state[fields[i]]
    if not value or value ~= value or value < 0 or value > 9e15 then state[fields[i]] = 0 end
  end
  return state
end
local function packState(state)
  local parts = {}
  for i = 1, #fields do parts[i] = text(state[fields[i]]) end
  return table.concat(parts, '|') .. '|' .. state.holder
end
local function believed(last)
  if last > 0 and last <= now + ${MAX_FUTURE_MS} then return last end
  return 0
end
`;

/**
 * Claims polls that are due, each for one holder.
 *
 * KEYS[i] state of poll i (string, with TTL)
 * ARGV[1] state TTL ms   ARGV[2] grants at most, then for each poll: token, interval ms, claim ms, the
 * caller's last poll
 * Returns {now, granted 0|1, state, repeated}
 */
export const claimScript = `${nowLua}${stateLua}
local reply, left = {now}, tonumber(ARGV[2])
for i = 1, #KEYS do
  local at = 3 + (i - 1) * 4
  local token, interval, claim = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local state = unpackState(redis.call('GET', KEYS[i]))
  state.last = math.max(believed(state.last), believed(tonumber(ARGV[at + 3]) or 0))
  local due = state.retryAt
  if state.last > 0 then
    local wanted = state.last + math.max(interval, state.ttlMs)
    if state.forcedAt > 0 then wanted = math.min(wanted, state.forcedAt) end
    due = math.max(wanted, state.retryAt)
  end
  local claimed = state.claimedAt > 0 and now < state.claimedAt + claim
  local granted = 0
  if left > 0 and not claimed and due <= now then
    left = left - 1
    granted = 1
    state.claimedAt = now
    state.holder = token
  end
  local packed = packState(state)
  redis.call('SET', KEYS[i], packed, 'PX', ARGV[1])
  reply[#reply + 1] = granted
  reply[#reply + 1] = packed
end
return reply
`;

/**
 * Books how polls ended, or that one is wished for.
 *
 * KEYS[i] state of poll i (string, with TTL)
 * ARGV[1] state TTL ms, then for each poll: kind (completed, failed, abandoned, forced), token, and
 * two numbers: ttl ms and 0; base ms and max ms; 0 and 0; debounce ms and 0
 * Returns {now, state, repeated}
 */
export const finishScript = `${nowLua}${stateLua}
local reply = {now}
for i = 1, #KEYS do
  local at = 2 + (i - 1) * 4
  local kind, token, a, b = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local state = unpackState(redis.call('GET', KEYS[i]))
  if kind == 'forced' then
    if state.forcedAt == 0 then state.forcedAt = now + a end
  else
    if kind == 'completed' then
      state.last, state.count, state.failures, state.retryAt, state.ttlMs = now, state.count + 1, 0, 0, a
      if state.forcedAt <= state.claimedAt then state.forcedAt = 0 end
    elseif kind == 'failed' then
      state.failures = state.failures + 1
      state.retryAt = now + math.min(b, a * 2 ^ (state.failures - 1))
    end
    if state.holder == token then
      state.claimedAt = 0
      state.holder = ''
    end
  end
  local packed = packState(state)
  redis.call('SET', KEYS[i], packed, 'PX', ARGV[1])
  reply[#reply + 1] = packed
end
return reply
`;
