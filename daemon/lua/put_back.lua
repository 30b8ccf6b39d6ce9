-- keys: popped queue
-- args:
-- What lies in passage goes to the end that is popped next. Answers how many went.
local n, size = 0, 0
for _ = 1, math.min(call('LLEN', popped), 100) do
  if size < 1048576 then
    n, size = n + 1, size + #call('LMOVE', popped, queue, 'LEFT', 'RIGHT')
  end
end
return n
