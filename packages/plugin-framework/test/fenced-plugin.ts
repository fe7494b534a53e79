import type { Mode, ModeAuthority, PluginDefinition } from "../src/index.ts";
import { controlKey, laneOf } from "../src/redis/index.ts";

/** The commands that the plugin needs. */
export interface QuotaClient {
  eval(script: string, keyCount: number, ...args: (string | number)[]): Promise<unknown>;
}

/** A script that decides under the control record and counts in the same step: what makes a plugin fenced. */
const SCRIPT = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local mode, revs, wipes = ARGV[1], {0, 0}, {0, 0}
for i = 1, #KEYS - 1 do
  local packed = redis.call('GET', KEYS[i])
  if packed then
    local rev, uuid, name, wipe, expires, by = packed:match('^1|(%d+)|([^|]*)|([^|]*)|(%d+)|(%d+)|(.*)$')
    if expires ~= '0' and tonumber(expires) <= now then
      rev, name = string.format('%.0f', rev + 1), 'inherit'
      redis.call('SET', KEYS[i], '1|' .. rev .. '|' .. uuid .. '~x|inherit|' .. wipe .. '|0|' .. by)
    end
    revs[i], wipes[i] = tonumber(rev), tonumber(wipe)
    if name ~= 'inherit' then mode = name end
  end
end
if mode == 'disabled' then return {mode, revs[1], revs[2], 0, 1} end
local key, epoch = KEYS[#KEYS], wipes[1] .. ':' .. wipes[2]
local count, seen = 0, redis.call('GET', key)
if seen then
  local e, c = seen:match('^([%d:]+) (%d+)$')
  if e == epoch then count = tonumber(c) end
end
if count >= tonumber(ARGV[2]) then return {mode, revs[1], revs[2], count, 0} end
redis.call('SET', key, epoch .. ' ' .. string.format('%.0f', count + 1), 'PX', 3600000)
return {mode, revs[1], revs[2], count + 1, 1}`;

/** A quota per user, counted in Redis: the smallest plugin with mode authority. */
export function quotaPlugin(client: QuotaClient, limit: number, prefix = "gw"): PluginDefinition {
  return {
    name: "quota",
    version: "1.0.0",
    description: "So many calls per user and wipe.",
    modeAuthority: true,
    hooks: { tool_pre_invoke: { reads: "none" } },
    create: () => ({
      hooks: {
        async tool_pre_invoke(_payload, { user, tenantId, configuredMode }) {
          const lane = laneOf(tenantId);
          const keys = [controlKey(prefix, "quota", lane)];
          if (tenantId !== undefined) keys.push(controlKey(prefix, "quota", lane, tenantId));
          keys.push(`${prefix}:{l${lane}}:quota:${tenantId ?? "_"}:${String(user)}`);
          const reply = await client.eval(SCRIPT, keys.length, ...keys, configuredMode, limit);
          const [mode, rev, tenantRev, count, fits] = reply as [Mode, number, number, number, number];
          const authority: ModeAuthority = { mode, rev, tenantRev };
          const headers = { "x-quota-used": String(count) };
          if (fits === 1) return { authority, headers };
          const block = {
            reason: "quota used up",
            description: `${limit} calls`,
            code: "rate_limited",
            headers,
          };
          return { authority, block: { ...block, httpStatus: 429 } };
        },
      },
    }),
  };
}
