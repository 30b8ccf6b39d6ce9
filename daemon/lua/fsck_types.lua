-- keys: queue retry delayed dead popped batches fenced owners stats paused results onward broken away
-- args:
-- The keys of a queue, and the lists that it pushes to, that have another type than they are given.
local out = {}
local function is(key, read)
  local ok, why = pcall(read)
  if ok then return end
  if not string.find(why, 'WRONGTYPE', 1, true) then error(why, 0) end
  out[#out + 1] = key
end
is(queue, function() call('LLEN', queue) end)
is(popped, function() call('LLEN', popped) end)
is(retry, function() call('ZCARD', retry) end)
is(delayed, function() call('ZCARD', delayed) end)
is(dead, function() call('ZCARD', dead) end)
is(owners, function() call('ZCARD', owners) end)
is(batches, function() call('HEXISTS', batches, '') end)
is(fenced, function() call('HEXISTS', fenced, '') end)
is(stats, function() call('HEXISTS', stats, '') end)
is(paused, function() call('GET', paused) end)
for _, list in ipairs({results, onward, broken, away}) do
  is(list, function() call('LLEN', list) end)
end
return out
