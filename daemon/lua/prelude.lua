-- In front of every script. `call` raises the first error as text and names the command and its key; the
-- epilogue answers it as one line.
local function call(...)
  local r = redis.pcall(...)
  if type(r) == 'table' and r.err then
    local command, key, other = ...
    if command == 'LMOVE' or command == 'RENAME' then key = key .. ' ' .. other end
    error(r.err .. ' (' .. command .. ' ' .. (key or '') .. ')', 0)
  end
  return r
end
local function now()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- The owner key: <format version> <epoch> <link number> <for people>. Another version names nobody.
local function names(value)
  return string.match(value or '', '^1 (%S+) (%d+)')
end
-- Why this epoch and link number may not be given anything; false where they may.
local function refused(owner, paused, epoch, number)
  local e, k = names(call('GET', owner))
  if e ~= epoch or k ~= number then return 'not owner' end
  return call('EXISTS', paused) == 1 and 'paused'
end
-- The fields of a record, and where its payload begins; nothing where it is no record of our version.
local function fields(member)
  return string.match(member, '^(%S+) 1 (%d+) (%d+) (%d+) (%d+) ([^\n]*)\n()')
end
local function clean(acked, batches, field)
  call('UNLINK', acked)
  call('HDEL', batches, field)
end
-- A job's record: its head, and its payload, which lies in the list behind the first `skip` bytes of its element.
-- skip -1: behind the head of an older record that was too large to be read; its id stays.
local function record(list, index, head, skip)
  local element = call('LINDEX', list, -1 - index) or ''
  if skip == '-1' then
    local id, behind = string.match(element, '^(%S+) [^\n]*\n()')
    if id then head = id .. string.match(head, ' .*') end
    skip = (behind or 1) - 1
  end
  return head .. string.sub(element, skip + 1)
end
-- A dead letter; how many are kept, and for how long (where that is refused, the next one has more to remove).
-- 0: it lies there already.
local function bury(dead, member, max, age)
  local n = call('ZADD', dead, now(), member)
  redis.pcall('ZREMRANGEBYRANK', dead, 0, -1 - max)
  redis.pcall('ZREMRANGEBYSCORE', dead, '-inf', now() - age)
  return n
end
local function body()
-- One allowed write: after it a full Redis lets the rest of the script write too.
call('UNLINK', none)
