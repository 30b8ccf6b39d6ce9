-- keys: list acked batches queue stats
-- args: field down
-- From the left, the newest, down to a named index: what is settled goes, the rest returns to the end that is
-- popped next. A bit goes with its element, so that BITCOUNT counts what is there. Answers the length left.
call('LPOP', none)
local left, size, n = call('LLEN', list), 0, 0
for _ = 1, 100 do
  if left <= tonumber(down) or size >= 1048576 then break end
  left = left - 1
  if call('GETBIT', acked, left) == 1 then
    call('SETBIT', acked, left, 0)
    call('LPOP', list)
  else
    n, size = n + 1, size + #call('LMOVE', list, queue, 'LEFT', 'RIGHT')
  end
end
if left == 0 then clean(acked, batches, field) end
if n > 0 then call('HINCRBY', stats, 'given_back', n) end
return left
