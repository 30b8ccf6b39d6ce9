-- keys: queue retry delayed dead paused stats
-- args:
-- What an operator is told of a queue, in one step: how long its keys are, why it is paused, its counters.
local why = call('GET', paused)
return {call('LLEN', queue), call('ZCARD', retry), call('ZCARD', delayed), call('ZCARD', dead),
  why and string.sub(why, 1, 200), call('HGETALL', stats)}
