-- keys: list acked batches stats dead broken
-- args: field index head skip max age counter
-- A dead letter, once: a repeat finds the bit; so does the payload's copy on the list `broken`, where one is asked for
-- (else it is `none`). -1: the list is gone.
if call('EXISTS', list) == 0 then
  clean(acked, batches, field)
  return -1
end
if call('GETBIT', acked, index) == 1 then return 0 end
accepts(broken)
call('SETBIT', acked, index, 0)
local member, bytes = record(list, index, head, skip)
call('ZADD', dead, now(), member)
if broken ~= none then call('LPUSH', broken, bytes) end
call('SETBIT', acked, index, 1)
call('ZREMRANGEBYRANK', dead, 0, -1 - max)
call('ZREMRANGEBYSCORE', dead, '-inf', now() - age)
call('HINCRBY', stats, counter, 1)
return 1
