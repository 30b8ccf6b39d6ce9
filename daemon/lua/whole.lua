-- keys: list acked batches stats
-- args: field length
-- The end of a batch whose every job is settled. -1: the list is gone. -3: it is not the list that the owner
-- knows. The counter last: a stats key of a wrong type keeps no batch.
local n = call('LLEN', list)
if n == 0 then
  clean(acked, batches, field)
  return -1
end
if n ~= tonumber(length) then return -3 end
local done = n - call('BITCOUNT', acked)
call('UNLINK', list, acked)
call('HDEL', batches, field)
call('HINCRBY', stats, 'done', done)
return n
