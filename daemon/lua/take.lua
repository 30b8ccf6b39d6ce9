-- keys: owner paused old old_acked batches fenced list acked stats
-- args: epoch number its old_field field room patience counts struck
-- A fenced epoch's batch becomes mine, as it lies: nothing is copied. room: it must not hold more, for the first
-- `patience` ms after the fence. A mark is the index of a job: `5` ran alone when its process died, `-5` was named by
-- a crash note. counts: how many recoveries this one is; struck: the job that a note names now, or ''. Answers what, and where it is `ok` the length, the bits and the entry.
local no = refused(owner, paused, epoch, number)
if no then return {no} end
local entry, state = call('HGET', batches, old_field), call('HGET', fenced, its)
if not entry or not state then return {'nothing'} end
local birth, n, strikes, mark = string.match(entry, '^1 (%S+) (%d+) (%d+) ([%d-]+)$')
if not birth then return {'newer'} end
local length = call('LLEN', old)
if length == 0 then
  clean(old_acked, batches, old_field)
  return {'nothing'}
end
local rest = length - call('BITCOUNT', old_acked)
local since = now() - (string.match(state, '^(%d+)') or 0)
if rest > tonumber(room) and since < tonumber(patience) then return {'large'} end
local at = string.match(mark, '%d+')
if at and call('GETBIT', old_acked, at) == 1 then at, mark = nil, '-' end
if struck ~= '' then
  if at ~= struck then
    if at then counts = 1 end
    mark, strikes = '-' .. struck, 0
  end
  strikes = strikes + 1
elseif mark == at and counts == '1' then
  strikes = strikes + 1
elseif not at then
  strikes = 0
end
entry = '1 ' .. birth .. ' ' .. (n + counts) .. ' ' .. strikes .. ' ' .. mark
call('HSET', batches, field, entry)
call('RENAME', old, list)
if call('EXISTS', old_acked) == 1 then call('RENAME', old_acked, acked) end
call('HDEL', batches, old_field)
call('HINCRBY', stats, 'recovered', rest)
return {'ok', length, call('GET', acked), entry}
