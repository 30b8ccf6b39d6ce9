-- keys: popped fenced owners
-- args:
-- What lies in passage, how many epochs are open, and every owner with its beat.
local all, open = call('HGETALL', fenced), 0
for i = 2, #all, 2 do
  if string.find(all[i], ' open', 1, true) then open = open + 1 end
end
return {call('LLEN', popped), open, call('ZRANGE', owners, 0, -1, 'WITHSCORES')}
