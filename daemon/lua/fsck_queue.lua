-- keys: key owners batches popped retry dead
-- args:
-- A key of a queue of which only Redis knows. '': it is gone, or an instance that has beaten within the hour serves
-- the queue; none beats more seldom.
local last = call('ZRANGE', owners, -1, -1, 'WITHSCORES')[2]
if call('EXISTS', key) == 0 or (last and now() - last < 3600000) then return '' end
return table.concat({'no-queue it holds', call('EXISTS', batches) == 1 and 'batches in flight,' or 'nothing in flight,',
  call('LLEN', popped), 'jobs in passage,', call('ZCARD', retry), 'retries,', call('ZCARD', dead), 'dead letters'}, ' ')
