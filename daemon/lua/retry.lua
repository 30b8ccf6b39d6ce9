-- keys: list acked batches stats retry
-- args: field index head skip delay
-- The record of a job that waits for its next try, once. The bit is tried before: a user who may only add would
-- get the job once more at each repeat. -1: the list is gone.
if call('EXISTS', list) == 0 then
  clean(acked, batches, field)
  return -1
end
if call('GETBIT', acked, index) == 1 then return 0 end
call('SETBIT', acked, index, 0)
local member = record(list, index, head, skip)
call('ZADD', retry, now() + delay, member)
call('SETBIT', acked, index, 1)
call('HINCRBY', stats, 'retry', 1)
return 1
