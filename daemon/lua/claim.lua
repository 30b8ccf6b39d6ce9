-- keys: owner paused queue source list batches
-- args: epoch number field entry n bytes
-- Every claim: from the queue (a burst) or from the place of passage (behind a pop). What can fail is asked
-- before anything moves. Answers what, the queue's length, and the payloads, oldest first.
local left, no = call('LLEN', queue), refused(owner, paused, epoch, number)
if no then return {no, left} end
local out, size = {'ok', left}, 0
n = math.min(n, call('LLEN', source))
if n > 0 then call('HSET', batches, field, entry) end
while #out - 2 < n and size < tonumber(bytes) do
  local payload = call('LMOVE', source, list, 'RIGHT', 'LEFT')
  out[#out + 1] = payload
  size = size + #payload
end
if source == queue then out[2] = left - #out + 2 end
return out
