/**
 * Whose turn it is to sweep, so that one replica sweeps at a time and no request is lost: one that comes while another
 * replica is at it waits in a set, which the sweeper takes before it may stop.
 *
 * KEYS: the lock; the set of scopes asked for, in its slot.
 * ARGV: 1 token of the caller; 2 lifetime of the lock in ms; 3 lifetime of the set in ms; 4 most scopes in the set;
 *   5 and on the scopes to ask for, none from a caller that only goes on.
 * Returns the scopes that the caller is to sweep now. None: there is nothing, or it is another's turn.
 */
export const SWEEP_TURN = `
if ARGV[5] and redis.call('SCARD', KEYS[2]) < tonumber(ARGV[4]) then
  redis.call('SADD', KEYS[2], unpack(ARGV, 5))
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] or not holder and not ARGV[5] then return {} end
local asked = redis.call('SMEMBERS', KEYS[2])
if #asked == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return asked
`;

/**
 * Keeps a turn, or ends it.
 *
 * KEYS: the lock.
 * ARGV: 1 token of the caller; 2 lifetime of the lock in ms, 0 to end the turn.
 * Returns 1, or 0 when the turn was no longer the caller's.
 */
export const SWEEP_KEEP = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`;
