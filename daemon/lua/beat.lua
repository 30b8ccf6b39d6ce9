-- keys: owner owners fenced
-- args: epoch instance
-- 1: confirmed. 0: the owner key does not name me. -1: I was fenced. Creates nothing unless it is mine.
if call('HEXISTS', fenced, epoch) == 1 then return -1 end
if names(call('GET', owner)) ~= epoch then return 0 end
call('ZADD', owners, now(), instance)
return 1
