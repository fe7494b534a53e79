import type { LuaAlgorithm } from "./lua-algorithm.ts";

const fresh = "local capacity = burst * window";

const read = `if #raw == 28 then
      local w, t, g, s, u = struct.unpack('<I4I4I4dd', raw)
      if w == wipe and t == twipe and g == tag then time, used, born = s, u, s end
    end`;

const charge = `local price = cost * window
    if used + price <= capacity then used = used + price
    elseif price > capacity then wait = -1
    else wait = math.ceil((used + price - capacity) / limit) end`;

const view = "remaining, reset = math.floor((capacity - used) / window), math.ceil(used / limit)";

/** See `src/algorithms/outstanding.ts`. */
const due = "local due = at > now and 0 or math.max(0, cost * window - (now - at) * limit)";

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
  // Good for at least one lifetime from any write of the span of that length that `now` is in.
  kept: "born and born - born % life == now - now % life",
  expiry: "2 * life - now % life",
  refund: `${due}
    if born and due > 0 then used, changed = math.max(0, used - due), true end`,
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
    time = used > 0 and now + whole or 0
    states[i] = struct.pack('<I4I4I4dd', wipe, twipe, tag, time, used - whole * limit)`,
  // Good for every arrival time in the span of one lifetime's length that `time` is in.
  kept: "born and born - born % life == time - time % life",
  expiry: "time - time % life + life - now",
  refund: `${due}
    if due > 0 and time >= now then used, changed = math.max(0, (time - now) * limit + used - due), true end`,
};
