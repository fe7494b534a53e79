import type { LuaAlgorithm } from "./lua-algorithm.ts";

/** See `src/algorithms/sliding-log.ts`. `before` is the log as a flat table of times and costs. */
export const SLIDING_LOG: LuaAlgorithm = {
  tag: 3,
  parameters: 2,
  lifetime: 1,
  fresh: "before = {}",
  read: `local w, t, g = 0, 0, 0
    if #raw >= 12 then w, t, g = struct.unpack('<I4I4I4', raw) end
    if w == wipe and t == twipe and g == tag then
      for at = 13, #raw, 12 do
        before[#before + 1], before[#before + 2] = struct.unpack('<dI4', raw, at)
      end
    end`,
  settle: `local alive = {}
  for e = 1, #before, 2 do
    local at, amount = before[e], before[e + 1]
    if at > now then at, moved = now, true end
    if now - at < window then
      if alive[#alive - 1] == at then alive[#alive] = alive[#alive] + amount
      else alive[#alive + 1] = at; alive[#alive + 1] = amount end
      used = used + amount
    end
  end
  before = alive`,
  charge: `if used + cost <= limit then
      used = used + cost
      if before[#before - 1] == now then before[#before] = before[#before] + cost
      else before[#before + 1] = now; before[#before + 1] = cost end
    elseif cost > limit then wait = -1
    else
      local excess = used + cost - limit
      for e = 1, #before, 2 do
        excess = excess - before[e + 1]
        if excess <= 0 then
          wait = before[e] + window - now
          break
        end
      end
    end`,
  view: `if used < limit then remaining = limit - used end
  if #before > 0 then reset = before[#before - 1] + window - now end`,
  pack: `local parts = { struct.pack('<I4I4I4', wipe, twipe, tag) }
    for e = 1, #before, 2 do parts[#parts + 1] = struct.pack('<dI4', before[e], before[e + 1]) end
    states[i] = table.concat(parts)`,
  kept: "false",
  expiry: "life",
  refund: `for e = 1, #before, 2 do
  if before[e] == at and now - at < window then
    before[e + 1], changed = before[e + 1] - cost, true
    if before[e + 1] <= 0 then table.remove(before, e); table.remove(before, e) end
    break
  end
end`,
};
