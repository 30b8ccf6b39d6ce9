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
-- What is wrong with a record, '' where nothing is, and its id, or its first bytes where that cannot be read.
local function told(member)
  local id = fields(member)
  if id then return '', id end
  return string.match(member, '^%S+ [2-9]%d* ') and 'newer' or 'unreadable', string.sub(member, 1, 80)
end
local function clean(acked, batches, field)
  call('UNLINK', acked)
  call('HDEL', batches, field)
end
-- A job's payload lies in the list behind the first `skip` bytes of its element.
local function payload_of(list, index, skip)
  return string.sub(call('LINDEX', list, -1 - index) or '', skip + 1)
end
-- Its record: a head and the payload; and the payload alone. skip -1: the payload lies behind the head of an older
-- record that was too large to be read; its id stays.
local function record(list, index, head, skip)
  local bytes = payload_of(list, index, math.max(skip, 0))
  if skip == '-1' then
    local id, behind = string.match(bytes, '^(%S+) [^\n]*\n()')
    if id then head = id .. string.match(head, ' .*') end
    bytes = string.sub(bytes, behind or 1)
  end
  return head .. bytes, bytes
end
-- A list that somebody else consumes is asked for its type, and for the right to push, before anything moves. A full
-- Redis refuses that, unless something was written before.
local function accepts(target)
  call('LLEN', target)
  call('LMOVE', none, target, 'RIGHT', 'LEFT')
end
-- What is delivered of a job that is done: a result (id '': there is none) under its key for ttl ms, with its id on
-- `results`, and it or the payload on `onward`. A list that is not asked for is `none`. The key first, since that can
-- be written twice.
local function hand_over(results, onward, key, ttl, id, bytes)
  if id ~= '' and ttl ~= '0' then call('SET', key, bytes, 'PX', ttl) end
  if id ~= '' and results ~= none then call('LPUSH', results, id .. '\n' .. bytes) end
  if onward ~= none then call('LPUSH', onward, bytes) end
end
-- A dead letter, and its payload on `broken` unless that is `none`; what can be refused is asked before. How many are
-- kept, and for how long: where that is refused, the next one has more to remove. 0: it lies there already.
local function bury(dead, broken, member, bytes, max, age)
  local t = now()
  if call('ZSCORE', dead, member) then return 0 end
  call('ZADD', dead, 'XX', t, member)
  accepts(broken)
  if broken ~= none then call('LPUSH', broken, bytes) end
  call('ZADD', dead, t, member)
  redis.pcall('ZREMRANGEBYRANK', dead, 0, -1 - max)
  redis.pcall('ZREMRANGEBYSCORE', dead, '-inf', t - age)
  return 1
end
local function body()
-- One allowed write: after it a full Redis lets the rest of the script write too.
call('UNLINK', none)
