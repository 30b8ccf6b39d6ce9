-- keys: list acked batches stats dead
-- args: field index record max age whole counter
-- A dead letter, once: a repeat finds the bit. whole 1: the record is only its head, the payload stays where it
-- is and is joined here. -1: the list is gone.
if call('EXISTS', list) == 0 then
  clean(acked, batches, field)
  return -1
end
if call('GETBIT', acked, index) == 1 then return 0 end
if whole == '1' then record = record .. (call('LINDEX', list, -1 - index) or '') end
call('ZADD', dead, now(), record)
call('SETBIT', acked, index, 1)
call('ZREMRANGEBYRANK', dead, 0, -1 - max)
call('ZREMRANGEBYSCORE', dead, '-inf', now() - age)
call('HINCRBY', stats, counter, 1)
return 1
