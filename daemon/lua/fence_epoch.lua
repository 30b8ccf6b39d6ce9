-- keys: owner owners fenced
-- args: instance epoch proof
-- The same for a named epoch. proof 1: its process is known to be dead; 0: a stray, unless it is live after all.
-- The owner key last: what failed before it is repeated.
local live = names(call('GET', owner)) == epoch
if live and proof == '0' then return 0 end
call('HSET', fenced, epoch, now() .. ' open')
call('PERSIST', fenced)
if live then
  call('ZREM', owners, instance)
  call('UNLINK', owner)
end
return 1
