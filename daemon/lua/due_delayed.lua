-- keys: delayed queue
-- args: soon
-- The user's delayed payloads that are due go to the end that is popped next, of the first hundred the first due
-- last, so that it is popped first. Answers how many went, and how many are due or will be in `soon` milliseconds.
call('ZREM', none, '')
local t, size, moved = now(), 0, 0
for i = math.min(call('ZCOUNT', delayed, '-inf', t / 1000), 100) - 1, 0, -1 do
  if size >= 1048576 then break end
  local payload = call('ZRANGE', delayed, i, i)[1]
  call('RPUSH', queue, payload)
  call('ZREM', delayed, payload)
  size, moved = size + #payload, moved + 1
end
return {moved, call('ZCOUNT', delayed, '-inf', (t + soon) / 1000)}
