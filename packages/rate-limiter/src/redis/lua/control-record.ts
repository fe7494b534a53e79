/**
 * Declares `record(i)`: reads the control record in `values[i]`, sets `mode` by it, and returns its revision and wipe
 * number. One that has expired is replaced by its successor, or read as it where the server takes no writes; one that
 * is none counts as absent.
 */
export const CONTROL_RECORD = `local function record(i)
  local r, uuid, name, w, expires, by = string.match(values[i], '^1|(%d+)|([^|]+)|(%a+)|(%d+)|(%d+)|([^|]*)$')
  if not r then return 0, 0 end
  if expires ~= '0' and tonumber(expires) <= now then
    r = string.format('%.0f', r + 1)
    name = 'inherit'
    redis.pcall('SET', KEYS[i], '1|' .. r .. '|' .. uuid .. '~x|inherit|' .. w .. '|0|' .. by)
  end
  if name == 'enforce' then mode = 0 elseif name == 'permissive' then mode = 1 elseif name == 'disabled' then mode = 2 end
  return tonumber(r), tonumber(w)
end`;
