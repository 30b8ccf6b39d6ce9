-- keys: owner owners popped
-- args: epoch instance
-- The end of an epoch that holds nothing. -1: something lies in passage and is put back first.
if call('EXISTS', popped) == 1 then return -1 end
if names(call('GET', owner)) ~= epoch then return 0 end
call('UNLINK', owner)
call('ZREM', owners, instance)
return 1
