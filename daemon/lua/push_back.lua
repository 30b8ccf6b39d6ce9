-- keys: to stats
-- args: what
-- Jobs that were to be delivered at most once and have not begun, the newest first: payloads to the end of the list
-- that is popped next, or, where `what` is `retry`, records, each as its head and its payload, to the retries, due
-- now. All or none.
local n = #ARGV - 1
if what == 'retry' then
  local t, members = now(), {}
  for i = 2, #ARGV, 2 do members[i - 1], members[i] = t, ARGV[i] .. ARGV[i + 1] end
  n = n / 2
  call('ZADD', to, unpack(members))
else
  call('RPUSH', to, unpack(ARGV, 2))
end
redis.pcall('HINCRBY', stats, 'given_back', n)
return n
