import { CONTROL_RECORD } from "./control-record.ts";
import type { LuaAlgorithm } from "./lua-algorithm.ts";

/**
 * The script of a check, around the statements of one algorithm.
 *
 * KEYS: control record of the plugin; with flag 2 that of the tenant; one state per rule (`…:rl:<tenant>:<rule>:<id>`,
 *   where `<rule>` names window and algorithm too); with flag 4 the mark of a dedupe id. All in one lane, so in one
 *   slot.
 * ARGV: 1 = ((cost × 4) + mode when no record says otherwise) × 16 + flags, with modes 0 enforce, 1 permissive,
 *   2 disabled and flags 1 ask only, 2 tenant record, 4 dedupe mark, 8 own costs; then per rule what the algorithm
 *   takes: limit, window in ms, lifetime of its state in ms if that is not the window, burst if it has one; with
 *   flag 8 then the cost of each rule.
 * Returns a packed string, little endian: doubles mode (plus 4 when the dedupe mark was there), rev, rev of the
 *   tenant's record, wipe number, that of the tenant, time in ms; then per rule doubles remaining, ms to reset,
 *   ms to wait (0 passes, -1 never passes). In mode disabled the rules are left out and nothing is written.
 * State: packed, little endian: wipe numbers (two I4), tag of algorithm and window (I4), then what the algorithm
 *   keeps. One written under other wipe numbers or another tag reads as fresh. Every write sets a lifetime.
 */
export function checkText(algorithm: LuaAlgorithm): string {
  const { parameters, lifetime } = algorithm;
  // Written out twice rather than called: a function would cost a tenth of the script.
  const open = `local a, raw = ${parameters} * i + ${2 - parameters}, values[first + i]
  local limit, window, life = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + ${lifetime}])
  ${parameters === 4 ? "local burst = tonumber(ARGV[a + 3])" : ""}
  local tag = window / 125 + ${algorithm.tag}
  local time, used, before, moved, wait, remaining, reset, born = 0, 0, 0, false, 0, 0, 0, nil
  ${algorithm.fresh}
  if raw then
    ${algorithm.read}
  end
  ${algorithm.settle}`;
  const close = `${algorithm.view}
  local at = 3 * i + 4
  out[at], out[at + 1], out[at + 2] = remaining, reset, wait`;
  return `
local values = redis.call('MGET', unpack(KEYS))
local ask = tonumber(ARGV[1])
local flags, mode, cost = ask % 16, math.floor(ask / 16) % 4, math.floor(ask / 64)
local first, n = 1, #KEYS - 1
local rev, wipe, trev, twipe = 0, 0, 0, 0

${CONTROL_RECORD}
if values[1] then rev, wipe = record(1) end
if flags % 4 >= 2 then
  first, n = 2, n - 1
  if values[2] then trev, twipe = record(2) end
end
if mode == 2 then return struct.pack('<dddddd', mode, rev, trev, wipe, twipe, now) end
if flags % 8 >= 4 then
  n = n - 1
  if values[#KEYS] then mode, cost = mode + 4, 0 end
end
if flags % 2 == 1 then cost = 0 end

local states, expiries, out, passes = {}, {}, { mode, rev, trev, wipe, twipe, now, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, true
for i = 1, n do
  local cost = cost
  if flags >= 8 and cost > 0 then cost = tonumber(ARGV[${parameters} * n + 1 + i]) end
  ${open}
  if cost > 0 then
    ${algorithm.charge}
    if wait == 0 then
      ${algorithm.pack}
      if not (${algorithm.kept}) then expiries[i] = ${algorithm.expiry} end
    else
      passes = false
      if moved then
        ${algorithm.pack}
        redis.call('SET', KEYS[first + i], states[i], 'PX', ${algorithm.expiry})
      end
    end
  end
  ${close}
end
if passes then
  if cost > 0 then
    for i = 1, n do
      if expiries[i] then redis.call('SET', KEYS[first + i], states[i], 'PX', expiries[i])
      elseif states[i] then redis.call('SET', KEYS[first + i], states[i], 'KEEPTTL') end
    end
    if flags % 8 >= 4 then redis.call('SET', KEYS[#KEYS], '1', 'PX', 60000) end
  end
elseif n > 1 then
  for i = 1, n do
    if out[3 * i + 6] == 0 then
      ${open}
      ${close}
    end
  end
end
if n == 1 then return struct.pack('<ddddddddd', unpack(out, 1, 9)) end
if n == 2 then return struct.pack('<dddddddddddd', unpack(out, 1, 12)) end
if n == 3 then return struct.pack('<ddddddddddddddd', unpack(out, 1, 15)) end
return struct.pack('<' .. string.rep('d', 6 + 3 * n), unpack(out, 1, 6 + 3 * n))
`;
}
