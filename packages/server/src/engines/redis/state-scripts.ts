/** Scripts of the state store. */
import { scriptOf } from "./link.ts";

/** What `ADD` says instead of a sum. */
export const NO_NUMBER = "word";
export const NO_FINITE_SUM = "endless";

/**
 * Adds to a number and keeps the sum as JavaScript writes it: in the fewest digits that stand for it. Lua knows the same numbers but writes
 * them otherwise. Without a third argument the expiry stays.
 */
export const ADD = scriptOf(`
local function textOf(number)
  if number == 0 then return '0' end
  if number % 1 == 0 and math.abs(number) < 1e15 then return string.format('%.0f', number) end
  local sign, digits, exponent
  for precision = 0, 16 do
    local text = string.format('%.' .. precision .. 'e', number)
    if tonumber(text) == number then
      sign, digits, exponent = string.match(text, '^(-?)([%d.]+)e([-+]%d+)$')
      break
    end
  end
  digits = string.gsub(string.gsub(digits, '%.', ''), '0+$', '')
  local point = tonumber(exponent) + 1
  if point > 21 or point < -5 then
    local fraction = #digits > 1 and '.' .. string.sub(digits, 2) or ''
    return sign .. string.sub(digits, 1, 1) .. fraction .. 'e' .. (point > 0 and '+' or '-') .. math.abs(point - 1)
  end
  if point <= 0 then return sign .. '0.' .. string.rep('0', -point) .. digits end
  if point >= #digits then return sign .. digits .. string.rep('0', point - #digits) end
  return sign .. string.sub(digits, 1, point) .. '.' .. string.sub(digits, point + 1)
end

local old = redis.call('GET', KEYS[1])
-- Of JSON texts only numbers begin so.
if old and not string.find(old, '^[-%d]') then return '${NO_NUMBER}' end
local sum = (old and tonumber(old) or 0) + tonumber(ARGV[1])
if sum ~= sum or sum == math.huge or sum == -math.huge then return '${NO_FINITE_SUM}' end
local text = textOf(sum)
if ARGV[2] then redis.call('SET', KEYS[1], text, 'PX', ARGV[2])
else redis.call('SET', KEYS[1], text, 'KEEPTTL') end
return text
`);

/**
 * Moves a position forwards. Positions are fields of the numbering (`{bNN}:m:<channel>`, see `scripts.ts`), so they are forgotten with it:
 * `u<user>`, and `d<user>` for the user's devices, the one moved longest ago first; a line for each: epoch, offset, when it was used, device.
 *
 * A numbering that is in use for years has had many users: with each position that is moved, two others are looked at, and go if they have not been used
 * for long.
 */
export const ACKNOWLEDGE = scriptOf(`
local meta, field, device, epoch, offset = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local life, most = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lines = {}
local heldEpoch, heldOffset
for line in string.gmatch(redis.call('HGET', meta, field) or '', '[^\\n]+') do
  local itsEpoch, itsOffset, itsDevice = string.match(line, '^(%S+) (%d+) %d+ (.*)$')
  if itsDevice == device then heldEpoch, heldOffset = itsEpoch, itsOffset
  else lines[#lines + 1] = line end
end
local isBehind = heldEpoch == epoch and tonumber(heldOffset) >= tonumber(offset)
if not isBehind then
  heldEpoch, heldOffset = epoch, offset
  lines[#lines + 1] = epoch .. ' ' .. offset .. ' ' .. string.format('%.0f', now) .. ' ' .. device
  if #lines > most then table.remove(lines, 1) end
  redis.call('HSET', meta, field, table.concat(lines, '\\n'))
  for _, other in ipairs(redis.call('HRANDFIELD', meta, 2)) do
    local last = string.match(other, '^[ud]') and string.match(redis.call('HGET', meta, other), '([^\\n]*)$')
    local usedAt = last and tonumber(string.match(last, '^%S+ %d+ (%d+) '))
    if usedAt and usedAt < now - life then redis.call('HDEL', meta, other) end
  end
end
redis.call('PEXPIRE', meta, math.max(life, redis.call('PTTL', meta)))
return {heldEpoch, heldOffset}
`);
