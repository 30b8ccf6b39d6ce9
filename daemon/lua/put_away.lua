-- keys: list acked batches stats to
-- args: field index skip
-- A job that brought the daemon down too often goes to a list of the user's, once: a repeat finds the bit. -1: the
-- list of its batch is gone.
if call('EXISTS', list) == 0 then
  clean(acked, batches, field)
  return -1
end
if call('GETBIT', acked, index) == 1 then return 0 end
accepts(to)
call('SETBIT', acked, index, 0)
call('LPUSH', to, payload_of(list, index, skip))
call('SETBIT', acked, index, 1)
call('HINCRBY', stats, 'dead', 1)
return 1
