import { MAX_FUTURE_MS } from "../poll-state.ts";
import { nowLua } from "./lease.lua.ts";

/** A poll's state as a string, its fields in this order; the Lua side of poll-state.ts. */
const stateLua = `
local fields = {'last', 'count', 'failures', 'retryAt', 'forcedAt', 'ttlMs', 'claimedAt', 'heldAt'}
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
local function wish(state, at)
  local earlier, later = math.min(state.forcedAt, at), math.max(state.forcedAt, at)
  if earlier <= believed(state.claimedAt) then return later end
  return earlier
end
`;

/**
 * Claims polls that are due, each for one holder.
 *
 * KEYS[i] state of poll i (string, with TTL)
 * ARGV[1] state TTL ms   ARGV[2] grants at most, then for each poll: token, interval ms, longest pause ms,
 * claim ms, and what the caller remembers: last poll, failures, forced at, ttl ms
 * Returns {now, granted 0|1, state, repeated}
 */
export const claimScript = `${nowLua}${stateLua}
local reply, left = {now}, tonumber(ARGV[2])
for i = 1, #KEYS do
  local at = 3 + (i - 1) * 8
  local function number(n) return tonumber(ARGV[at + n]) or 0 end
  local token, interval, pause, claim = ARGV[at], number(1), number(2), number(3)
  local state = unpackState(redis.call('GET', KEYS[i]))
  local last, knownLast, forced = believed(state.last), believed(number(4)), number(6)
  state.last = math.max(last, knownLast)
  if knownLast > last then state.ttlMs = number(7) end
  if knownLast >= last then state.failures = math.max(state.failures, number(5)) end
  if forced > state.last then state.forcedAt = wish(state, forced) end
  if state.retryAt > now + pause then state.retryAt = 0 end
  local due = state.retryAt
  if state.last > 0 then
    local wanted = state.last + math.max(interval, state.ttlMs)
    if state.forcedAt > 0 then wanted = math.min(wanted, state.forcedAt) end
    due = math.max(wanted, state.retryAt)
  end
  local held = state.heldAt
  local claimed = held > 0 and held <= now + ${MAX_FUTURE_MS} and now < held + claim
  local granted = 0
  if left > 0 and not claimed and due <= now then
    left = left - 1
    granted = 1
    state.claimedAt, state.heldAt, state.holder = now, now, token
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
 * ARGV[1] state TTL ms, then for each poll: kind (completed, failed, abandoned, renewed, forced), token, and
 * two numbers: ttl ms and 0; base ms and max ms; pause ms and 0; 0 and 0; debounce ms and 0
 * Returns {now, state, repeated}
 */
export const finishScript = `${nowLua}${stateLua}
local reply = {now}
for i = 1, #KEYS do
  local at = 2 + (i - 1) * 4
  local kind, token, a, b = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local state = unpackState(redis.call('GET', KEYS[i]))
  if kind == 'forced' then
    state.forcedAt = wish(state, now + a)
  elseif kind == 'renewed' then
    if state.holder == token then state.heldAt = now end
  else
    if kind == 'completed' then
      state.last, state.count, state.failures, state.retryAt, state.ttlMs = now, state.count + 1, 0, 0, a
      if state.holder == token and state.forcedAt <= state.claimedAt then state.forcedAt = 0 end
    elseif kind == 'failed' then
      state.failures = state.failures + 1
      state.retryAt = now + math.min(b, a * 2 ^ (state.failures - 1))
    end
    if state.holder == token then
      if kind == 'abandoned' and a > 0 then state.retryAt = now + a end
      state.claimedAt, state.heldAt, state.holder = 0, 0, ''
    end
  end
  local packed = packState(state)
  redis.call('SET', KEYS[i], packed, 'PX', ARGV[1])
  reply[#reply + 1] = packed
end
return reply
`;
