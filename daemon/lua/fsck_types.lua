-- keys: queue retry delayed dead popped batches fenced owners stats paused results onward broken away
-- args: repair
-- The keys of a queue, and the lists that it pushes to, that have another type than they are given, and those that
-- would expire with the jobs in them; repair 1: these stay, but for the user's own. Answers what, and the key, of each.
local out = {}
local function is(key, read)
  local ok, why = pcall(read)
  if ok then return end
  if not string.find(why, 'WRONGTYPE', 1, true) then error(why, 0) end
  out[#out + 1], out[#out + 2] = 'wrong-type', key
end
local function stays(key, what)
  if call('PTTL', key) < 0 then return end
  if repair == '1' and what == 'expires' then call('PERSIST', key) end
  out[#out + 1], out[#out + 2] = what, key
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
for _, key in ipairs({popped, retry, dead, batches}) do stays(key, 'expires') end
for _, key in ipairs({queue, delayed}) do stays(key, 'yours-expires') end
return out
