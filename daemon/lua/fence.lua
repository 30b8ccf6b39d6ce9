-- keys: owner owners fenced
-- args: instance score
-- An owner whose beat stands still ('': it has none) loses the queue. Answers its epoch, '' where the beat moved
-- or the owner key is of a newer version.
if (call('ZSCORE', owners, instance) or '') ~= score then return '' end
local v = call('GET', owner)
local e = names(v)
if v and not e then return '' end
if e then
  call('HSET', fenced, e, now() .. ' open')
  call('PERSIST', fenced)
end
call('ZREM', owners, instance)
if e then call('UNLINK', owner) end
return e or ''
