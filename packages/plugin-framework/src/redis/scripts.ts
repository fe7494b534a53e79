import { createHash } from "node:crypto";
import { EXPIRED_SUFFIX } from "../control/control-record.ts";

/** A Lua script and how many of its arguments are keys. */
export interface Script {
  readonly lua: string;
  readonly keys: number;
  readonly sha: string;
}

function script(keys: number, lua: string): Script {
  return { keys, lua, sha: createHash("sha1").update(lua).digest("hex") };
}

const CLOCK = `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/**
 * `load(key)`: the stored record and its rev, after replacing an expired one by its successor. The successor is
 * the same in every lane and in every script: rev + 1, the uuid with a suffix, `inherit`. A server that takes no writes
 * (full, a replica) is read from all the same: whoever reads next computes it anew.
 */
const LOAD = `${CLOCK}
local function load(key)
  local packed = redis.call('GET', key)
  if not packed then return '', 0 end
  local rev, uuid, wipe, expires, by = packed:match('^1|(%d+)|([^|]*)|[^|]*|(%d+)|(%d+)|(.*)$')
  if not rev then return '', 0 end
  if expires ~= '0' and tonumber(expires) <= now then
    rev = string.format('%.0f', rev + 1)
    packed = '1|' .. rev .. '|' .. uuid .. '${EXPIRED_SUFFIX}|inherit|' .. wipe .. '|0|' .. by
    redis.pcall('SET', key, packed)
  end
  return packed, tonumber(rev)
end
`;

/** KEYS: record. Returns the packed record, '' when there is none. */
export const READ = script(1, `${LOAD} local packed = load(KEYS[1]) return packed`);

/**
 * KEYS: record. ARGV: expected rev, ttl in ms (0: none), `1|rev|uuid|mode|wipeSeq|`, expiresAt without ttl, setBy.
 * Returns {1, new packed} or {0, stored packed}. The record itself never has a TTL.
 */
export const WRITE = script(
  1,
  `${LOAD}
local packed, rev = load(KEYS[1])
if rev ~= tonumber(ARGV[1]) then return {0, packed} end
local expires = ARGV[4]
if ARGV[2] ~= '0' then expires = string.format('%.0f', now + ARGV[2]) end
packed = ARGV[3] .. expires .. '|' .. ARGV[5]
redis.call('SET', KEYS[1], packed)
return {1, packed}`,
);

/**
 * KEYS: copy. ARGV: packed record, its rev (0: there is none, only look). Keeps a newer copy. Returns {1, packed} when
 * the copy was changed, else {0, what it is}.
 */
export const COPY = script(
  1,
  `${LOAD}
local packed, rev = load(KEYS[1])
if rev > tonumber(ARGV[2]) or packed == ARGV[1] or ARGV[2] == '0' then return {0, packed} end
redis.call('SET', KEYS[1], ARGV[1])
return {1, ARGV[1]}`,
);

/**
 * KEYS: members. ARGV: replica, expiry in ms. Drops those that have not beaten for that long. Returns whether it was one
 * (1 or 0), and for how long the list has been kept: `~since` in it has that time as a negative score, so it is lost with
 * the list, and is set anew when nobody has beaten for so long.
 */
export const BEAT = script(
  1,
  `${CLOCK}
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - ARGV[2])
local since = redis.call('ZSCORE', KEYS[1], '~since')
if not since or (gone > 0 and redis.call('ZCARD', KEYS[1]) == 1) then
  since = -now
  redis.call('ZADD', KEYS[1], since, '~since')
end
local new = redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2)
return {1 - new, now + since}`,
);

/** KEYS: members. ARGV: expiry in ms. Returns those that live. */
export const MEMBERS = script(
  1,
  `${CLOCK} return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now - ARGV[1]), '+inf')`,
);

/** KEYS: acks. ARGV: replica, `rev|uuid`, rev, ttl in ms. A late acknowledgement never hides a newer one. */
export const ACK = script(
  1,
  `local at = redis.call('HGET', KEYS[1], ARGV[1])
if at and tonumber(at:match('^%d+')) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`,
);
