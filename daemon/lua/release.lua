-- keys: owner owners popped
-- args: epoch instance
-- The end of an epoch that holds nothing. -1: something lies in passage and is put back first. Where nobody is
-- named (somebody deleted the owner key) the member that was left beside it goes too.
if call('EXISTS', popped) == 1 then return -1 end
local v = call('GET', owner)
if v and names(v) ~= epoch then return 0 end
call('UNLINK', owner)
call('ZREM', owners, instance)
return v and 1 or 0
