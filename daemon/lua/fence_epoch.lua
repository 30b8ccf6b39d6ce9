-- keys: owner owners fenced
-- args: instance epoch proof
-- The same for a named epoch. proof 1: its process is known to be dead; 0: a stray, unless it is live after all.
local live = names(call('GET', owner)) == epoch
if live and proof == '0' then return 0 end
call('HSET', fenced, epoch, now() .. ' open')
call('PERSIST', fenced)
if live then
  call('UNLINK', owner)
  call('ZREM', owners, instance)
end
return 1
