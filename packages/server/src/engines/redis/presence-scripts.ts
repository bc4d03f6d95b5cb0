/**
 * Scripts of presence. What they touch shares a hash tag:
 *
 *     {bNN}:pm:<channel>   hash  members: session -> `owner \n user \n rest`; `user` is empty for nobody's session,
 *                                `rest` what JSON text of the member has beside the two, without braces
 *     {bNN}:po:<channel>   zset  order: session -> number of its arrival
 *     {bNN}:pp:<channel>   hash  people: user -> sessions; the field without a name counts the sessions without user
 *     {bNN}:pw:<owner>     set   what the owner, a process, has put: `channel \n session`. It has to go when the process dies.
 *
 * Whoever comes and goes is told in the same step (`messages.ts`). Keys end with their last entry; if nobody is left to remove
 * those, by themselves.
 */
import { scriptOf } from "./link.ts";
import { EVENT_LETTERS } from "./messages.ts";

/**
 * Changes entries, four arguments for each: channel, session, a sign with the user behind it, rest. `+` puts, also over another owner's entry;
 * `=` puts again what is this owner's or is missing, and tells nobody; `-` removes what is this owner's.
 *
 * KEYS: what the owner has put, and all keys of all channels: while a slot moves, Redis sees by them whether it has what the script needs.
 */
export const CHANGE = scriptOf(`
local own, tag, owner, keepMs, command = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function tell(channel, letter, session, user, rest)
  local fields = {'"session":' .. cjson.encode(session)}
  if user ~= '' then fields[#fields + 1] = '"user":' .. cjson.encode(user) end
  if rest ~= '' then fields[#fields + 1] = rest end
  redis.call(command, tag .. 'c:' .. channel, letter .. '{' .. table.concat(fields, ',') .. '}')
end

local function parts(value)
  local first = string.find(value, '\\n', 1, true)
  local second = string.find(value, '\\n', first + 1, true)
  return string.sub(value, 1, first - 1), string.sub(value, first + 1, second - 1), string.sub(value, second + 1)
end

local function countIn(channel, user)
  return redis.call('HINCRBY', tag .. 'pp:' .. channel, user, 1) == 1 or user == ''
end

local function countOut(channel, user)
  local left = redis.call('HINCRBY', tag .. 'pp:' .. channel, user, -1)
  if left <= 0 then redis.call('HDEL', tag .. 'pp:' .. channel, user) end
  return left <= 0 or user == ''
end

local function arrive(channel, session)
  local last = redis.call('ZRANGE', tag .. 'po:' .. channel, -1, -1, 'WITHSCORES')
  redis.call('ZADD', tag .. 'po:' .. channel, (tonumber(last[2]) or 0) + 1, session)
end

local function put(channel, session, sign, user, rest)
  local members = tag .. 'pm:' .. channel
  local old = redis.call('HGET', members, session)
  local oldOwner, oldUser, oldRest
  if old then oldOwner, oldUser, oldRest = parts(old) end
  if old and oldOwner ~= owner then
    if sign == '=' then return end
    -- Not among KEYS, since nobody could know. Where it cannot be had, whoever sweeps it finds that the entry is not its owner's any more.
    redis.pcall('SREM', string.sub(own, 1, #own - #owner) .. oldOwner, channel .. '\\n' .. session)
  end
  redis.call('SADD', own, channel .. '\\n' .. session)
  redis.call('HSET', members, session, owner .. '\\n' .. user .. '\\n' .. rest)
  if not old then arrive(channel, session) end
  if oldUser == user then return end
  -- What is put again was told when it was put: those who listen have not forgotten it.
  if not old and sign == '=' then
    countIn(channel, user)
    return
  end
  -- Counted in before the old entry is counted out: another session of the same person may be what is left.
  local comes = countIn(channel, user)
  if old and countOut(channel, oldUser) then tell(channel, '${EVENT_LETTERS.leave}', session, oldUser, oldRest) end
  if comes then tell(channel, '${EVENT_LETTERS.join}', session, user, rest) end
end

local function drop(channel, session)
  redis.call('SREM', own, channel .. '\\n' .. session)
  local old = redis.call('HGET', tag .. 'pm:' .. channel, session)
  if not old then return end
  local oldOwner, oldUser, oldRest = parts(old)
  if oldOwner ~= owner then return end
  redis.call('HDEL', tag .. 'pm:' .. channel, session)
  redis.call('ZREM', tag .. 'po:' .. channel, session)
  if countOut(channel, oldUser) then tell(channel, '${EVENT_LETTERS.leave}', session, oldUser, oldRest) end
end

for at = 5, #ARGV, 4 do
  local channel, session, sign = ARGV[at], ARGV[at + 1], string.sub(ARGV[at + 2], 1, 1)
  if sign == '-' then drop(channel, session)
  else put(channel, session, sign, string.sub(ARGV[at + 2], 2), ARGV[at + 3]) end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, keepMs) end
return 1
`);

/** Members read in one script: Redis does nothing else meanwhile. */
export const LIST_PAGE = 500;

/**
 * A page of the members behind a number of arrival, which may be `-inf`. Sessions, users, sessions without user, and the number where the next page
 * begins; then session, value, …
 */
export const LIST = scriptOf(`
local members, order, people = KEYS[1], KEYS[2], KEYS[3]
local nobodies = redis.call('HGET', people, '')
local users = redis.call('HLEN', people) - (nobodies and 1 or 0)
local list = {redis.call('HLEN', members), users, tonumber(nobodies or 0), ARGV[1]}
if ARGV[2] == '0' then return list end
local page = redis.call('ZRANGEBYSCORE', order, ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
if #page == 0 then return list end
list[4] = '(' .. page[#page]
local sessions = {}
for at = 1, #page, 2 do sessions[#sessions + 1] = page[at] end
local values = redis.call('HMGET', members, unpack(sessions))
for at = 1, #sessions do
  list[#list + 1] = sessions[at]
  list[#list + 1] = values[at] or ''
end
return list
`);
