import type { LuaAlgorithm } from "./lua-algorithm.ts";

/**
 * The script that gives back what a decision charged, where the state is still the one that was charged.
 *
 * KEYS: control record of the plugin; with flag 2 that of the tenant; one state per rule, as in a check; for each the
 *   mark of when it was last wiped by itself.
 * ARGV: 1 cost; 2 time of the charge, ms; 3 flags; 4 and 5 the wipe numbers (plugin, tenant) it was written
 *   under; then the values of each rule as in a check.
 * Returns the number of states changed. Lifetimes stay as they are.
 */
export function refundText(algorithm: LuaAlgorithm): string {
  return `
local values = redis.call('MGET', unpack(KEYS))
local cost, at, first, total = tonumber(ARGV[1]), tonumber(ARGV[2]), 1, 0
local wipe, twipe = tonumber(ARGV[4]), tonumber(ARGV[5])
local function seq(raw) return raw and tonumber(string.match(raw, '^1|%d+|[^|]+|%a+|(%d+)|') or 0) or 0 end
if seq(values[1]) ~= wipe then return 0 end
if tonumber(ARGV[3]) % 4 >= 2 then
  first = 2
  if seq(values[2]) ~= twipe then return 0 end
end
local states, n = {}, (#KEYS - first) / 2
for i = 1, n do
  local a, raw = ${algorithm.parameters} * i + ${6 - algorithm.parameters}, values[first + i]
  local wiped = tonumber(values[first + n + i])
  local limit, window = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  ${algorithm.parameters === 4 ? "local burst = tonumber(ARGV[a + 3])" : ""}
  local tag = window / 125 + ${algorithm.tag}
  local time, used, before, changed, born = 0, 0, 0, false, nil
  ${algorithm.fresh}
  if raw and not (wiped and at <= wiped) then
    ${algorithm.read}
    ${algorithm.refund}
    if changed then
      ${algorithm.pack}
      redis.call('SET', KEYS[first + i], states[i], 'KEEPTTL')
      total = total + 1
    end
  end
end
return total
`;
}
