-- keys: list acked batches stats
-- args: field
-- Sets the bits of jobs that are done before the rest of their batch is. -1: the list is gone. The counter last,
-- and only where something was done: a stats key of a wrong type fails a script once, and its repeat passes.
if call('EXISTS', list) == 0 then
  clean(acked, batches, field)
  return -1
end
local n = 0
for first = 2, #ARGV, 500 do
  local ops = {}
  for i = first, math.min(first + 499, #ARGV) do
    local at = #ops
    ops[at + 1], ops[at + 2], ops[at + 3], ops[at + 4] = 'SET', 'u1', ARGV[i], 1
  end
  for _, old in ipairs(call('BITFIELD', acked, unpack(ops))) do n = n + 1 - old end
end
if n > 0 then call('HINCRBY', stats, 'done', n) end
return n
