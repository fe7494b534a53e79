import { defineScript } from "./script.ts";

/*
 * An owner record is a hash: owner (instance UUID, empty when released), url, principal (keyed hash), epoch (whole
 * number, grows by one with every owner), beatAt (ms by Redis TIME; 0 when released), sealed (sealed state and upstream
 * ids, never empty), rev (which of its owner's writings that is, so that one that comes late undoes none). Every script works on one record, so on one slot. Time is always the server's.
 */

const NOW = `local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)`;

/**
 * Makes the record of a new session. Asking again after a lost reply finds the record made, writes it anew and is answered
 * alike.
 * KEYS[1] record. ARGV: owner, url, principal, ttlMs, sealed.
 * Returns the epoch, or 0 when the session ended or is another's.
 */
export const claimScript = defineScript(`${NOW}
if redis.call('EXISTS', KEYS[1]) == 1 then
  local r = redis.call('HMGET', KEYS[1], 'owner', 'principal', 'epoch', 'rev')
  if r[1] ~= ARGV[1] or r[2] ~= ARGV[3] or r[3] ~= '1' or r[4] ~= '0' then return 0 end
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'url', ARGV[2], 'principal', ARGV[3], 'epoch', 1, 'beatAt', now, 'sealed', ARGV[5], 'rev', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`);

/**
 * Reads where a session is.
 * KEYS[1] record.
 * Returns nil without a record, else {owner, url, principal, epoch, age of the last beat in ms}.
 */
export const readScript = defineScript(`${NOW}
local r = redis.call('HMGET', KEYS[1], 'owner', 'url', 'principal', 'epoch', 'beatAt')
if not r[4] then return nil end
return { r[1], r[2], r[3], tonumber(r[4]), now - tonumber(r[5]) }`);

/**
 * Sign of life of an owner, and what is sealed when it changed. A record that Redis has lost is made anew, but only whole: a
 * beat without the sealed part is told that it is missing, and changes nothing. So is a record that an earlier owner, who does
 * not know that it is one, made anew. A session that was ended leaves a trace, so that it is not.
 * KEYS[1] record. ARGV: owner, epoch, ttlMs, sealed or "" for no change, rev of what is sealed, url, principal.
 * Returns 1, 2 when the record is missing, 3 when the session was ended, 0 when it belongs to another owner or epoch.
 */
export const beatScript = defineScript(`${NOW}
local r = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'rev')
if not r[1] and redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HEXISTS', KEYS[1], 'ended') == 1 and 3 or 0
elseif not r[1] or tonumber(r[2]) < tonumber(ARGV[2]) then
  if ARGV[4] == '' then return 2 end
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'url', ARGV[6], 'principal', ARGV[7], 'epoch', ARGV[2], 'sealed', ARGV[4], 'rev', ARGV[5])
elseif r[1] ~= ARGV[1] or r[2] ~= ARGV[2] then
  return 0
elseif ARGV[4] ~= '' and tonumber(ARGV[5]) >= tonumber(r[3] or '0') then
  redis.call('HSET', KEYS[1], 'sealed', ARGV[4], 'rev', ARGV[5])
end
redis.call('HSET', KEYS[1], 'beatAt', now)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`);

/**
 * Takes over the session of a dead or released owner: compare-and-set on owner and epoch, so that of any number of
 * racers exactly one wins. Whoever owned it itself and does not know (its answer was lost) need not wait until it is dead.
 * KEYS[1] record. ARGV: new owner, its url, principal, seen owner, seen epoch, deadAfterMs, ttlMs.
 * Returns {'won', new epoch, sealed} | {'lost', owner, epoch} | {'alive', ms until it counts as dead}
 * | {'foreign'} | {'unknown'}.
 */
export const reclaimScript = defineScript(`${NOW}
local r = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'principal', 'beatAt', 'sealed')
if not r[2] then return { 'unknown' } end
if r[3] ~= ARGV[3] then return { 'foreign' } end
if r[1] ~= ARGV[4] or r[2] ~= ARGV[5] then return { 'lost', r[1], tonumber(r[2]) } end
local left = tonumber(r[4]) + tonumber(ARGV[6]) - now
if left > 0 and r[1] ~= ARGV[1] then return { 'alive', left } end
local epoch = tonumber(r[2]) + 1
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'url', ARGV[2], 'epoch', epoch, 'beatAt', now, 'rev', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return { 'won', epoch, r[5] or '' }`);

/**
 * Gives a session back so that any replica may take it over at once.
 * KEYS[1] record. ARGV: owner, epoch.
 * Returns 1, or 0 when the record is gone or belongs to another owner or epoch.
 */
export const releaseScript = defineScript(`
local r = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if r[1] ~= ARGV[1] or r[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'url', '', 'beatAt', 0)
return 1`);

/**
 * Ends a session for good, whoever owns it, on behalf of its principal. What is left is a trace without an owner.
 * KEYS[1] record. ARGV: principal, ttlMs of the trace.
 * Returns 'ended' | 'foreign' | 'unknown'.
 */
export const endScript = defineScript(`
local principal = redis.call('HGET', KEYS[1], 'principal')
if not principal then return 'unknown' end
if principal ~= ARGV[1] then return 'foreign' end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'ended', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'ended'`);

/**
 * Publishes an eviction notice and keeps it for those who miss the message.
 * KEYS[1] revision (no expiry), KEYS[2] log (sorted set, score = revision), both of one slot.
 * ARGV: notice, channel, highest revision the sender has seen, notices kept.
 * Returns the revision, always above what the sender has seen, also after the key was lost.
 */
export const noticeScript = defineScript(`
local rev = redis.call('INCR', KEYS[1])
if rev <= tonumber(ARGV[3]) then
  rev = tonumber(ARGV[3]) + 1
  redis.call('SET', KEYS[1], string.format('%.0f', rev))
end
redis.call('ZADD', KEYS[2], rev, string.format('%.0f', rev) .. ' ' .. ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[4]))
redis.call('PUBLISH', ARGV[2], string.format('%.0f', rev) .. ' ' .. ARGV[1])
return rev`);

/**
 * Catches up on notices, and on the time.
 * KEYS[1] revision, KEYS[2] log. ARGV: highest revision seen, or -1 to learn the current one only.
 * Returns {revision, {'<rev> <notice>', …}, epoch ms}; the oldest kept come first.
 */
export const catchUpScript = defineScript(`${NOW}
local rev = tonumber(redis.call('GET', KEYS[1]) or '0')
local seen = tonumber(ARGV[1])
if seen < 0 or rev == seen then return { rev, {}, now } end
if rev < seen then seen = 0 end
return { rev, redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. string.format('%.0f', seen), '+inf'), now }`);

/**
 * Says where an instance can be reached, for as long as it may be silent.
 * KEYS[1] instance. ARGV: url, ttlMs.
 */
export const announceScript = defineScript(`return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])`);

/**
 * Reads where an instance can be reached.
 * KEYS[1] instance.
 * Returns the url, or nil when it has been silent for too long.
 */
export const whereScript = defineScript(`return redis.call('GET', KEYS[1])`);

/**
 * Takes the place of an instance away.
 * KEYS[1] instance.
 */
export const leaveScript = defineScript(`return redis.call('DEL', KEYS[1])`);
