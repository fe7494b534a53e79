/**
 * Raises the wipe number of one control record, so that every state of its scope reads as empty.
 *
 * KEYS: the control record.
 * ARGV: 1 uuid for the new revision; 2 who; 3 and 4 highest rev and wipe number seen, for a record that was lost.
 * Returns rev and wipe number of the record written. Mode and expiry stay as they are.
 */
export const WIPE = `
local rev, mode, wipe, expires = 0, 'inherit', 0, '0'
local raw = redis.call('GET', KEYS[1])
if raw then
  local r, m, w, e = string.match(raw, '^1|(%d+)|[^|]+|(%a+)|(%d+)|(%d+)|')
  if r then rev, mode, wipe, expires = tonumber(r), m, tonumber(w), e end
end
rev = math.max(rev, tonumber(ARGV[3])) + 1
wipe = math.max(wipe, tonumber(ARGV[4])) + 1
local text = string.format('1|%.0f|%s|%s|%.0f|%s|%s', rev, ARGV[1], mode, wipe, expires, ARGV[2])
redis.call('SET', KEYS[1], text)
return { rev, wipe }
`;

/**
 * Empties single states, and marks when, so that what was charged before is not given back to the state after. Begins
 * with the clock line.
 *
 * KEYS: the states, then the mark of each.
 * ARGV: lifetime of each mark in ms: as long as something charged before may be given back.
 */
export const WIPE_KEYS = `
local n = #KEYS / 2
for i = 1, n do
  redis.call('UNLINK', KEYS[i])
  redis.call('SET', KEYS[n + i], string.format('%.0f', now), 'PX', ARGV[i])
end
return n
`;

/**
 * Removes those of some states that a wipe emptied.
 *
 * KEYS: the control record, then states.
 * ARGV: 1 where in a state its wipe number begins: 1 for that of the plugin, 5 for that of the tenant.
 * Returns the number of keys removed.
 */
export const SWEEP = `
local raw, from = redis.call('GET', KEYS[1]), tonumber(ARGV[1])
local wipe = raw and tonumber(string.match(raw, '^1|%d+|[^|]+|%a+|(%d+)|') or 0) or 0
local dead = {}
for i = 2, #KEYS do
  local head = redis.call('GETRANGE', KEYS[i], from - 1, from + 2)
  if #head == 4 and struct.unpack('<I4', head) ~= wipe then dead[#dead + 1] = KEYS[i] end
end
if #dead > 0 then redis.call('UNLINK', unpack(dead)) end
return #dead
`;
