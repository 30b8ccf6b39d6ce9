-- keys: list acked batches queue retry stats
-- args: field down to birth strikes
-- From the left, the newest, down to a named index: what is settled goes, the rest returns to the end that is
-- popped next (`to` is `queue`) or to the retries, due now: `retry`, as the records that they are; `record`, under
-- their ids, with no try made. So many strikes go with a record, unless it has more. A bit goes with its element, so
-- that BITCOUNT counts what is there. Answers the length left.
local function struck(front, n)
  return front .. math.max(n, strikes) .. ' '
end
call('LPOP', none)
local left, size, n, t = call('LLEN', list), 0, 0, now()
for _ = 1, 100 do
  if left <= tonumber(down) or size >= 1048576 then break end
  left = left - 1
  if call('GETBIT', acked, left) == 1 then
    call('SETBIT', acked, left, 0)
    call('LPOP', list)
  elseif to ~= 'queue' then
    local element = call('LINDEX', list, 0)
    if to == 'record' then
      element = table.concat({birth .. '-' .. left, 1, 0, strikes, t, t, '{}'}, ' ') .. '\n' .. element
    elseif fields(element) then
      element = string.gsub(element, '^(%S+ 1 %d+ )(%d+) ', struck)
    end
    call('ZADD', retry, t, element)
    call('LPOP', list)
    n, size = n + 1, size + #element
  else
    n, size = n + 1, size + #call('LMOVE', list, queue, 'LEFT', 'RIGHT')
  end
end
if left == 0 then clean(acked, batches, field) end
if n > 0 then call('HINCRBY', stats, 'given_back', n) end
return left
