-- keys: owner paused old old_acked batches fenced list acked stats
-- args: epoch number its old_field field room patience
-- A fenced epoch's batch becomes mine, as it lies: nothing is copied. room: it must not hold more, for the first
-- `patience` ms after the fence. Answers what, and where it is `ok` the length, the bits and the entry.
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
if mark ~= '-' and call('GETBIT', old_acked, mark) == 1 then mark = '-' end
strikes = mark ~= '-' and strikes + 1 or 0
entry = '1 ' .. birth .. ' ' .. (n + 1) .. ' ' .. strikes .. ' ' .. mark
call('HSET', batches, field, entry)
call('RENAME', old, list)
if call('EXISTS', old_acked) == 1 then call('RENAME', old_acked, acked) end
call('HDEL', batches, old_field)
call('HINCRBY', stats, 'recovered', rest)
return {'ok', length, call('GET', acked), entry}
