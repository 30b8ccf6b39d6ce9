-- keys: list acked batches stats dead
-- args: field index head skip max age counter
-- A dead letter, once: a repeat finds the bit. -1: the list is gone.
if call('EXISTS', list) == 0 then
  clean(acked, batches, field)
  return -1
end
if call('GETBIT', acked, index) == 1 then return 0 end
call('ZADD', dead, now(), record(list, index, head, skip))
call('SETBIT', acked, index, 1)
call('ZREMRANGEBYRANK', dead, 0, -1 - max)
call('ZREMRANGEBYSCORE', dead, '-inf', now() - age)
call('HINCRBY', stats, counter, 1)
return 1
