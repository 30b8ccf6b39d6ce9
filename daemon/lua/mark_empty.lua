-- keys: fenced
-- args: epoch
-- Nothing of a fenced epoch is left. What has been empty for an hour goes; the hash goes once nothing is open.
if call('HEXISTS', fenced, epoch) == 1 then call('HSET', fenced, epoch, now() .. ' empty') end
local all, open = call('HGETALL', fenced), false
for i = 1, #all, 2 do
  local ms, state = string.match(all[i + 1], '^(%d+) (%a+)')
  if state == 'open' then
    open = true
  elseif now() - (ms or 0) > 3600000 then
    call('HDEL', fenced, all[i])
  end
end
if not open then call('EXPIRE', fenced, 3600) end
return 1
