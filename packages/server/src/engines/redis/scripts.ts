/**
 * What the broker has Redis do in one step each.
 *
 * A *numbering* (`{bNN}:m:<channel>`) has the epoch `e`, the top `t`, the master `r` that gave the epoch (`master_replid`), and `b`, the epochs before
 * it with the tops up to which their positions are good: `<epoch>:<top> <epoch>:<top>`, the last one first. Whichever script finds that another
 * master answers now begins an epoch: what that master had is known by its top, what its predecessor had beyond it nobody can say. (Reading
 * `master_replid` in a script takes 4 us, measured. It changes also when a replica connects to a master that had none, and an hour after the last
 * one left: nothing is lost then but a few bytes to tell the subscribers, whose positions all are good in the new epoch.)
 *
 * Channels that were never published to share the epoch of their *origin* (`{bNN}:o`), one for each tag, so that following a channel stores nothing:
 * anybody may follow names without end. `{origin, 0}` stays good when the first publication comes, since the channel then takes that epoch for its own. An
 * origin is used for `positionTtl`, numberings live twice as long after their last use. Therefore, while an origin `o2` is in use, no channel that was
 * numbered in its predecessor `o1` has been forgotten; so a channel without numbering had nothing in `o1`, and `{o1, 0}` is good in `o2`.
 */
import { scriptOf } from "./link.ts";

/** How many earlier epochs a numbering, and an origin, remember. */
const EPOCHS_MAX = 4;

const COMMON = `
local function replid()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The newest epochs of a list with one more in front.
local function remember(one, list)
  local kept, count = one, 1
  for other in string.gmatch(list or '', '%S+') do
    if count == ${EPOCHS_MAX} then break end
    kept, count = kept .. ' ' .. other, count + 1
  end
  return kept
end

-- Epochs of origins whose positions are still good: '<epoch>:<until>', which becomes '<epoch>:0'.
local function goodOrigins(list, now)
  local good
  for epoch, till in string.gmatch(list or '', '(%S+):(%d+)') do
    if tonumber(till) > now then good = (good and good .. ' ' or '') .. epoch .. ':0' end
  end
  return good
end

local function originOf(key, master, now, ttl, fresh)
  local found = redis.call('HMGET', key, 'e', 'r', 's', 'l', 'b')
  local epoch, since, life = found[1], tonumber(found[3]), tonumber(found[4])
  if epoch and found[2] == master and now < since + math.min(life, ttl) then
    -- Somebody who remembers for a shorter time forgets numberings sooner.
    if ttl < life then redis.call('HSET', key, 'l', ttl) end
    return epoch, goodOrigins(found[5], now)
  end
  local before = ''
  if epoch then before = remember(epoch .. ':' .. (since + 2 * math.min(life, ttl)), found[5]) end
  redis.call('HSET', key, 'e', fresh, 'r', master, 's', now, 'l', ttl, 'b', before)
  redis.call('PEXPIRE', key, 2 * ttl)
  return fresh, goodOrigins(before, now)
end

-- Epoch, top, epochs before, whether it is stored, and the field asked for beside them.
local function numberingOf(meta, origin, master, now, ttl, fresh, field)
  local found = redis.call('HMGET', meta, 'e', 't', 'r', 'b', field or 'e')
  if not found[1] then
    local epoch, before = originOf(origin, master, now, ttl, fresh)
    return epoch, 0, before, false
  end
  if found[3] == master then return found[1], tonumber(found[2]), found[4], true, found[5] end
  local before = remember(found[1] .. ':' .. found[2], found[4])
  redis.call('HSET', meta, 'e', fresh, 'r', master, 'b', before)
  return fresh, tonumber(found[2]), before, true, found[5]
end

-- Keys of which several have need live as long as any of these needs them.
local function outlive(key, life)
  if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
end

local function timeOf(body)
  return tonumber(string.match(body, '^%d+'))
end

-- Removes what is older than the retention allows; the first young one is found by halving.
local function expire(list, now, ttl)
  local first = redis.call('LINDEX', list, 0)
  if not first or timeOf(first) > now - ttl then return end
  local old, young = 0, redis.call('LLEN', list)
  while young - old > 1 do
    local middle = math.floor((old + young) / 2)
    if timeOf(redis.call('LINDEX', list, middle)) > now - ttl then young = middle else old = middle end
  end
  redis.call('LTRIM', list, young, -1)
end
`;

/**
 * Stores a publication and tells those who follow the channel.
 *
 * KEYS: meta, origin, names, list, [idempotency key]
 * ARGV: fresh epoch, position ttl, size, ttl, 1 to keep it, publish command, pub/sub channel, tail, publisher, sequence, channel, digest, window, and to send
 * it again: age, known epoch, known offset
 * -> `ok` epoch offset receivers | `repeated` epoch offset receivers | `conflict` | `fenced` | `unknown`
 *
 * A publish whose answer was lost is sent again with a higher sequence. It is looked for in the list first. What has surely not been stored is stored now,
 * and from then on whatever comes late with a lower sequence, out of the buffers of the broken connection, is refused (field `f<publisher>`). It has surely
 * not been stored if all that was stored since it was first sent, `age` ago, is still there to be looked at.
 */
export const STORE = scriptOf(`${COMMON}
local meta, origin, names, list, idempotency = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local fresh, positionTtl, size, ttl, keep = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local publish, messages, tail, publisher, sequence, channel = ARGV[6], ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10]), ARGV[11]
local age = tonumber(ARGV[14])
local life = math.max(2 * positionTtl, ttl + 1000)
local master, now = replid(), clock()

local function followers()
  return redis.call('PUBSUB', publish == 'PUBLISH' and 'NUMSUB' or 'SHARDNUMSUB', messages)[2]
end

local epoch, top, before, stored, fence = numberingOf(meta, origin, master, now, positionTtl, fresh, 'f' .. publisher)
if fence and tonumber(string.match(fence, '^%d+')) >= sequence then return {'fenced'} end

-- Of a publication that is sent again: its offset; else nothing, and whether it has surely not been stored.
local function search()
  local known
  if ARGV[15] == epoch then known = tonumber(ARGV[16]) end
  for other, last in string.gmatch(before or '', '(%S+):(%d+)') do
    if ARGV[15] == other then known = math.min(tonumber(ARGV[16]), tonumber(last)) end
  end
  -- A numbering that is not the one it was sent for: what has become of that one is not to be found out.
  if ARGV[15] ~= '' and not known then return nil, false end
  local sentAt = now - age
  local id = string.match(tail, '^%S+')
  local before = top - redis.call('LLEN', list)
  local start = math.max(known or 0, before)
  local first = start == before and redis.call('LINDEX', list, 0)
  while start < top do
    local bodies = redis.call('LRANGE', list, start - before, start - before + 99)
    for _, body in ipairs(bodies) do
      start = start + 1
      if string.match(body, '^%d+ (%S+)') == id then return start end
    end
    if #bodies == 0 then break end
  end
  if not keep then return nil, false end
  if not stored or top == known then return nil, true end
  if before <= (known or 0) or first and timeOf(first) < sentAt then return nil, true end
  -- Nothing has been published there for longer than that.
  return nil, now - (life - redis.call('PTTL', meta)) < sentAt
end

local surely = true
if age then
  local offset
  offset, surely = search()
  if offset then
    redis.call('PEXPIRE', meta, life)
    return {'ok', epoch, offset, followers()}
  end
end

if idempotency then
  local known = redis.call('GET', idempotency)
  if known then
    local digest, firstEpoch, firstOffset = string.match(known, '^(%S+) (%S+) (%d+)$')
    if digest ~= ARGV[12] then return {'conflict'} end
    -- A write, so that replicas that are waited for have got what came before it.
    redis.call('PEXPIRE', idempotency, redis.call('PTTL', idempotency))
    return {'repeated', firstEpoch, tonumber(firstOffset), followers()}
  end
end
if not surely then return {'unknown'} end

-- Names of numberings that were forgotten go when others come, so the index does not outgrow what there is.
local function enterName()
  local others = string.sub(meta, 1, #meta - #channel)
  for _, name in ipairs(redis.call('ZRANDMEMBER', names, 2)) do
    if redis.pcall('EXISTS', others .. name) == 0 then redis.call('ZREM', names, name) end
  end
  redis.call('ZADD', names, 0, channel)
  outlive(names, life)
end

-- The index has to live as long as what it names: it is renewed at every 16th publication, and where these would take too long.
local function renewName()
  if top % 16 > 0 and redis.call('PTTL', meta) > life * 31 / 32 then return end
  if redis.call('EXISTS', names) == 0 then enterName() else outlive(names, life) end
end

-- What was in the buffers of a broken connection comes within a day or never: with each fence some old ones of others go.
local function setFence()
  redis.call('HSET', meta, 'f' .. publisher, sequence .. ' ' .. now)
  for _, field in ipairs(redis.call('HRANDFIELD', meta, 4)) do
    local setAt = string.sub(field, 1, 1) == 'f' and string.match(redis.call('HGET', meta, field), ' (%d+)$')
    if setAt and tonumber(setAt) < now - 86400000 then redis.call('HDEL', meta, field) end
  end
end

local body = now .. ' ' .. tail
local offset = 0
if keep then
  offset = top + 1
  -- Its last one has to be that of the top.
  if size == 0 or not stored then redis.call('UNLINK', list) end
  if size > 0 then
    if redis.call('RPUSH', list, body) > size then redis.call('LTRIM', list, -size, -1) end
    redis.call('PEXPIRE', list, ttl)
    if offset % 16 == 0 then expire(list, now, ttl) end
  end
  if stored then
    redis.call('HSET', meta, 't', offset)
    renewName()
  else
    redis.call('HSET', meta, 'e', epoch, 't', offset, 'r', master)
    if before then redis.call('HSET', meta, 'b', before) end
    enterName()
  end
  if age then setFence() end
  redis.call('PEXPIRE', meta, life)
  top = offset
elseif stored then
  renewName()
  redis.call('PEXPIRE', meta, life)
end
if idempotency then redis.call('SET', idempotency, ARGV[12] .. ' ' .. epoch .. ' ' .. top, 'PX', ARGV[13]) end
local receivers = redis.call(publish, messages, 'p' .. epoch .. ' ' .. offset .. ' ' .. body)
return {'ok', epoch, top, receivers}
`);

/**
 * How far channels of one tag have come. KEYS: origin, names, metas. ARGV: fresh epoch, position ttl, how long a numbering is to live on, or 0.
 * -> epoch, top for each
 */
export const TOPS = scriptOf(`${COMMON}
local master, now = replid(), clock()
local life = tonumber(ARGV[3])
local answer, isStored = {}, false
for index = 3, #KEYS do
  local epoch, top, _, stored = numberingOf(KEYS[index], KEYS[1], master, now, tonumber(ARGV[2]), ARGV[1])
  isStored = isStored or stored
  if stored and life > 0 then redis.call('PEXPIRE', KEYS[index], life, 'GT') end
  answer[#answer + 1] = epoch
  answer[#answer + 1] = top
end
if isStored and life > 0 then outlive(KEYS[2], life) end
return answer
`);

/**
 * A page of the history. KEYS: meta, origin, list.
 * ARGV: fresh epoch, position ttl, size, ttl, `earliest` | `latest` | `after`, epoch, offset, 1 to go downwards, how many, and after how many bytes to stop
 * -> epoch, top, offset of the first that is kept, 1 if it has a numbering, offset of the first on the page, bodies; for a position that is not
 *    reached the first on the page is -1, and 0 where there is nothing in this direction
 */
export const READ = scriptOf(`${COMMON}
local list, size, from, count, bytes = KEYS[3], tonumber(ARGV[3]), ARGV[5], tonumber(ARGV[9]), tonumber(ARGV[10])
local step = ARGV[8] == '1' and -1 or 1
local now = clock()
local epoch, top, before, stored = numberingOf(KEYS[1], KEYS[2], replid(), now, tonumber(ARGV[2]), ARGV[1])
expire(list, now, tonumber(ARGV[4]))
local under = top - redis.call('LLEN', list)
local first = math.max(under, top - size) + 1

local function startOf()
  if from == 'earliest' then return step == 1 and first or 0 end
  if from == 'latest' then return step == 1 and 0 or top end
  local offset, last = tonumber(ARGV[7]), nil
  if ARGV[6] == epoch then last = top end
  for other, its in string.gmatch(before or '', '(%S+):(%d+)') do
    if ARGV[6] == other then last = tonumber(its) end
  end
  if not last or offset > last then return -1 end
  local start = offset + step
  if start < 1 or start > top then return 0 end
  return start < first and -1 or start
end

local start = startOf()
if start > 0 and (start < first or start > top) then start = 0 end
local bodies, sum, next = {}, 0, start
while start > 0 and #bodies < count and next >= first and next <= top and sum <= bytes do
  -- As many as are likely to fit.
  local wanted = #bodies == 0 and 8 or math.min(128, math.ceil((bytes - sum) / (sum / #bodies)) + 1)
  wanted = math.min(wanted, count - #bodies)
  local last = math.max(first, math.min(top, next + step * (wanted - 1)))
  local found = redis.call('LRANGE', list, math.min(next, last) - under - 1, math.max(next, last) - under - 1)
  for index = step == 1 and 1 or #found, step == 1 and #found or 1, step do
    bodies[#bodies + 1] = found[index]
    sum = sum + #found[index]
    if sum > bytes then break end
  end
  next = last + step
end
return {epoch, top, first, stored and 1 or 0, start, bodies}
`);

/** Forgets what is kept. KEYS: list. */
export const CLEAR = scriptOf("return redis.call('UNLINK', KEYS[1])");

/** Drops a name from the index if its numbering is gone. KEYS: names, meta. ARGV: the name. */
export const DROP_NAME = scriptOf(`
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
`);
