import type { LuaAlgorithm } from "./lua-algorithm.ts";

const read = `if #raw == 28 then
      local w, t, g, s, u, b = struct.unpack('<I4I4I4dI4I4', raw)
      if w == wipe and t == twipe and g == tag then time, used, before, born = s, u, b, s end
    end`;

const pack = "states[i] = struct.pack('<I4I4I4dI4I4', wipe, twipe, tag, time, used, before)";

const refund = `if at >= time and at <= now and now - time < window then
  used, changed = math.max(0, used - cost), true
end`;

/** See `src/algorithms/fixed-window.ts`. */
export const FIXED_WINDOW: LuaAlgorithm = {
  tag: 1,
  parameters: 2,
  lifetime: 1,
  fresh: "",
  read,
  settle: `if time > now then time, moved = now, true end
  if now - time >= window then time, used = now, 0 end`,
  charge: `if used + cost <= limit then used = used + cost
    elseif cost > limit then wait = -1
    else wait = time + window - now end`,
  view: `if used < limit then remaining = limit - used end
  if used > 0 then reset = time + window - now end`,
  pack,
  kept: "born == time",
  expiry: "life",
  refund,
};

/** See `src/algorithms/sliding-window.ts`. */
export const SLIDING_WINDOW: LuaAlgorithm = {
  tag: 2,
  parameters: 3,
  lifetime: 2,
  fresh: "",
  read,
  settle: `if time > now then time, moved = now, true end
  if now - time >= window then
    if now - time >= 2 * window then time, used, before = now, 0, 0
    else time, used, before = time + window, 0, used end
  end
  local room = (limit - used) * window - before * (window - (now - time))`,
  charge: `if cost * window <= room then
      used = used + cost
      room = room - cost * window
    elseif cost > limit then wait = -1
    else
      local free = limit - cost
      if used <= free then wait = time - now + window - math.floor((free - used) * window / before)
      else wait = time - now + 2 * window - math.floor(free * window / used) end
    end`,
  view: `if room > 0 then remaining = math.floor(room / window) end
  if used > 0 then reset = time + 2 * window - now elseif before > 0 then reset = time + window - now end`,
  pack,
  kept: "born == time",
  expiry: "life",
  refund,
};
