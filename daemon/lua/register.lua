-- keys: owner owners fenced
-- args: epoch number host instance
-- A new epoch, the same epoch again, or a larger link number for it.
local v = call('GET', owner)
local e, k = names(v)
if call('HEXISTS', fenced, epoch) == 1 then return {'fenced'} end
if v and e ~= epoch then return {'other', v, call('ZSCORE', owners, instance) or ''} end
k = math.max(k or 0, number)
call('ZADD', owners, now(), instance)
call('SET', owner, '1 ' .. epoch .. ' ' .. k .. ' ' .. host)
return {'ok', k}
