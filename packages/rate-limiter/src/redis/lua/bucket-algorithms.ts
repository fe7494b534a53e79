import type { LuaAlgorithm } from "./lua-algorithm.ts";

const fresh = "local capacity = tonumber(ARGV[a + 3]) * window";

const read = `if #raw == 28 then
      local w, t, g, s, u = struct.unpack('<I4I4I4dd', raw)
      if w == wipe and t == twipe and g == tag then time, used = s, u end
    end`;

const charge = `local price = cost * window
    if used + price <= capacity then used = used + price
    elseif price > capacity then wait = -1
    else wait = math.ceil((used + price - capacity) / limit) end`;

const view = "remaining, reset = math.floor((capacity - used) / window), math.ceil(used / limit)";

/** See `src/algorithms/token-bucket.ts`. */
export const TOKEN_BUCKET: LuaAlgorithm = {
  tag: 4,
  parameters: 4,
  lifetime: 2,
  fresh,
  read,
  settle: `if used > capacity then used = capacity end
  if now > time then used = used - (now - time) * limit else moved = time > now end
  if used < 0 then used = 0 end
  time = now`,
  charge,
  view,
  pack: "states[i] = struct.pack('<I4I4I4dd', wipe, twipe, tag, time, used)",
  refund: "used, changed = math.max(0, used - cost * window), true",
};

/** See `src/algorithms/gcra.ts`. Between `settle` and `pack`, `used` is how far ahead the arrival time is. */
export const GCRA: LuaAlgorithm = {
  tag: 5,
  parameters: 4,
  lifetime: 2,
  fresh,
  read,
  settle: `if time >= now then used = (time - now) * limit + used else used = 0 end
  if used > capacity then used, moved = capacity, true end`,
  charge,
  view,
  pack: `local whole = math.floor(used / limit)
    states[i] = struct.pack('<I4I4I4dd', wipe, twipe, tag, used > 0 and now + whole or 0, used - whole * limit)`,
  refund: `if time >= now then
  used, changed = math.max(0, (time - now) * limit + used - cost * window), true
end`,
};
