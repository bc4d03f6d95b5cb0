/**
 * Scripts of leases. All their keys lie in one slot:
 *
 * - `leases`: sorted set, peer -> until when it is alive, in Redis's milliseconds.
 * - `gone`: sorted set, peer -> when it was taken for dead, for a day: so that it learns of it.
 * - `dying`: sorted set, peer -> until when whoever has claimed it has it for itself. It stays here until all it had is removed.
 * - `about`: hash, peer -> its connections to Redis, as JSON.
 * - `version`: another number whenever a peer comes or goes.
 *
 * The time is Redis's own, so clocks of nodes may differ.
 */
import { scriptOf } from "./link.ts";

const LEASES = `
local leases, gone, dying, about, version = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local peer, keepMs, command, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function changed(sign)
  -- Never a number that was there before, also where the data are new.
  redis.call('SET', version, math.max(tonumber(redis.call('GET', version) or 0) + 1, now))
  redis.call(command, channel, sign .. peer)
end

local function keep()
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, keepMs) end
end
`;

/**
 * Renews the lease. 0 for a peer that was taken for dead; else whether it is new here, the version, peers that may be
 * claimed, all peers where the version is not the one that was said, and the time.
 */
export const RENEW = scriptOf(`${LEASES}
if redis.call('ZSCORE', gone, peer) then return 0 end
local isNew = redis.call('ZADD', leases, now + ARGV[5], peer)
redis.call('HSET', about, peer, ARGV[7])
if isNew == 1 then changed('+') end
keep()
-- Given by another master, whose clock was ahead.
for _, one in ipairs(redis.call('ZRANGEBYSCORE', leases, now + 2 * ARGV[5], '+inf', 'LIMIT', 0, 32)) do
  redis.call('ZADD', leases, now + ARGV[5], one)
end
local claimable = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 32)
for _, one in ipairs(redis.call('ZRANGEBYSCORE', dying, '-inf', now, 'LIMIT', 0, 32)) do claimable[#claimable + 1] = one end
local current = redis.call('GET', version)
local peers = {}
if current ~= ARGV[6] then peers = redis.call('ZRANGE', leases, 0, -1) end
return {isNew, current, claimable, peers, now}
`);

/** Takes a peer whose lease has ended, or whose claimer's time is over, for so long; returns what is known about it, or 0. */
export const CLAIM = scriptOf(`${LEASES}
local lease = redis.call('ZSCORE', leases, peer)
if lease then
  if tonumber(lease) > now then return 0 end
  redis.call('ZREM', leases, peer)
  redis.call('ZREMRANGEBYSCORE', gone, '-inf', now - keepMs)
  redis.call('ZADD', gone, now, peer)
  changed('-')
else
  local claimed = redis.call('ZSCORE', dying, peer)
  if not claimed or tonumber(claimed) > now then return 0 end
end
redis.call('ZADD', dying, now + ARGV[5], peer)
keep()
return redis.call('HGET', about, peer) or '[]'
`);

/** Keeps a claimed peer for so much longer, as long as it is there. */
export const HOLD = scriptOf(`${LEASES}
return redis.call('ZADD', dying, 'XX', now + ARGV[5], peer)
`);

/** Nothing is left of a claimed peer. */
export const BURY = scriptOf(`${LEASES}
redis.call('HDEL', about, peer)
return redis.call('ZREM', dying, peer)
`);

/** A peer goes by itself. With `rest` something of it is left, which whoever comes first may remove. */
export const LEAVE = scriptOf(`${LEASES}
if redis.call('ZREM', leases, peer) == 1 then changed('-') end
redis.call('HDEL', about, peer)
if ARGV[5] == 'rest' then
  redis.call('ZADD', gone, now, peer)
  redis.call('ZADD', dying, now - 1, peer)
end
return 1
`);
