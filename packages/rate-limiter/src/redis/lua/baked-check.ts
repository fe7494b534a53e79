import { CONTROL_RECORD } from "./control-record.ts";
import type { LuaAlgorithm } from "./lua-algorithm.ts";

/** What one rule holds its keys to, as numbers to write into a script. */
export interface BakedRule {
  readonly limit: number;
  readonly windowMs: number;
  /** Lifetime of a state, ms. */
  readonly lifeMs: number;
  readonly burst: number;
}

/** More rules than this would take more local variables than a Lua function may have. */
export const MOST_BAKED_RULES = 16;

/**
 * The script of {@link checkText} for one list of rules, whose numbers are written into it and whose loops are
 * unrolled: what Redis spends on arguments, tables and calls is more than it spends on the states. KEYS, state and
 * answer are the same; ARGV is 1 = ((cost × 4) + mode) × 16 + flags, without flag 2 (whether there is a tenant is
 * known); with flag 8 then the cost of each rule.
 */
export function bakedCheckText(
  algorithm: LuaAlgorithm,
  rules: readonly BakedRule[],
  hasTenant: boolean,
): string {
  const first = hasTenant ? 3 : 2;
  const n = rules.length;
  const each = (make: (rule: BakedRule, i: number) => string) =>
    rules.map((rule, at) => make(rule, at + 1)).join("\n");
  const names = (name: string) => rules.map((_, at) => `${name}${at + 1}`).join(", ");
  const zeros = rules.map(() => "0").join(", ");
  const open = ({ limit, windowMs, lifeMs, burst }: BakedRule, i: number) => `
  local raw, limit, window, life, burst = values[${first + i - 1}], ${limit}, ${windowMs}, ${lifeMs}, ${burst}
  local tag, time, used, before, born, moved = ${windowMs / 125 + algorithm.tag}, 0, 0, 0, nil, false
  local wait, remaining, reset = 0, 0, 0
  ${algorithm.fresh}
  if raw then
    ${algorithm.read}
  end
  ${algorithm.settle}`;
  const close = (i: number) => `${algorithm.view}
  m${i}, r${i}, w${i} = remaining, reset, wait`;
  return `
local call, keys = redis.call, KEYS
local values = call('MGET', unpack(keys))
local flags, mode, cost, own, passes = 0, 0, 1, false, true
local rev, wipe, trev, twipe = 0, 0, 0, 0
if ARGV[1] ~= '64' then
  local ask = tonumber(ARGV[1])
  flags, mode, cost = ask % 16, math.floor(ask / 16) % 4, math.floor(ask / 64)
end
if values[1]${hasTenant ? " or values[2]" : ""} then
  ${CONTROL_RECORD}
  if values[1] then rev, wipe = record(1) end
  ${hasTenant ? "if values[2] then trev, twipe = record(2) end" : ""}
end
if mode == 2 then return struct.pack('<dddddd', mode, rev, trev, wipe, twipe, now) end
if flags > 0 then
  if flags % 8 >= 4 and values[#keys] then mode, cost = mode + 4, 0 end
  if flags % 2 == 1 then cost = 0 end
  own = flags >= 8 and cost > 0
end
local ${names("s")}
local ${names("x")}
local ${names("m")} = ${zeros}
local ${names("r")} = ${zeros}
local ${names("w")} = ${zeros}
${each((rule, i) => {
  const pack = algorithm.pack.replace("states[i]", `s${i}`);
  return `do
  ${open(rule, i)}
  local cost = cost
  if own then cost = tonumber(ARGV[${i + 1}]) end
  if cost > 0 then
    ${algorithm.charge}
    if wait == 0 then
      ${pack}
      if not (${algorithm.kept}) then x${i} = ${algorithm.expiry} end
    else
      passes = false
      if moved then
        ${pack}
        call('SET', keys[${first + i - 1}], s${i}, 'PX', ${algorithm.expiry})
      end
    end
  end
  ${close(i)}
end`;
})}
if passes then
  if cost > 0 then
    ${each(
      (_, i) => `if x${i} then call('SET', keys[${first + i - 1}], s${i}, 'PX', x${i})
    elseif s${i} then call('SET', keys[${first + i - 1}], s${i}, 'KEEPTTL') end`,
    )}
    if flags % 8 >= 4 then call('SET', keys[#keys], '1', 'PX', 60000) end
  end
${
  n === 1
    ? ""
    : `else
  ${each(
    (rule, i) => `if w${i} == 0 then
    ${open(rule, i)}
    ${close(i)}
  end`,
  )}`
}
end
return struct.pack('<${"d".repeat(6 + 3 * n)}', mode, rev, trev, wipe, twipe, now, ${rules.map((_, at) => `m${at + 1}, r${at + 1}, w${at + 1}`).join(", ")})
`;
}
