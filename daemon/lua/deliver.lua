-- keys: list acked batches stats results onward
-- args: field grows ttl
-- full: refused
-- Jobs that are done, each with what is to be delivered of it: four arguments (index, skip, id, result) and, where
-- ttl is not 0, a further key each. In one step with the bit that says done: a repeat finds the bit. -1: the list is
-- gone. grows 1: more is delivered than the payloads that go, which a full Redis refuses. The counter last, as in part.
if call('EXISTS', list) == 0 then
  clean(acked, batches, field)
  return -1
end
if grows ~= '1' then call('UNLINK', none) end
accepts(results)
accepts(onward)
call('SETBIT', acked, ARGV[4], call('GETBIT', acked, ARGV[4]))
local n, key = 0, 7
for i = 4, #ARGV, 4 do
  local index, skip, id, result = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  key = key + 1
  if call('GETBIT', acked, index) == 0 then
    if id == '' and onward ~= none then result = payload_of(list, index, skip) end
    hand_over(results, onward, KEYS[key], ttl, id, result)
    call('SETBIT', acked, index, 1)
    n = n + 1
  end
end
if n > 0 then call('HINCRBY', stats, 'done', n) end
return n
