-- keys: queue retry delayed dead paused stats
-- args:
-- What an operator is told of a queue, in one step: how long its keys are, why it is paused, its counters.
local why = call('GET', paused)
if why and #why > 200 then
  why = string.match(string.sub(why, 1, 197), '^(.-)[\192-\255]?[\128-\191]*$') .. '...' -- no half of a character
end
return {call('LLEN', queue), call('ZCARD', retry), call('ZCARD', delayed), call('ZCARD', dead),
  why, call('HGETALL', stats)}
