-- keys: owner paused queue source dead stats broken
-- args: epoch number from n bytes birth instance largest max age
-- The claim of jobs that are delivered at most once: what it answers is nowhere else. from: `list`, or `retry`, whose
-- records are taken when they are due. A payload larger than `largest`, which would not be read, becomes a dead
-- letter, and goes to `broken` where that is asked for; its length stands in its place. A head for which no answer has
-- room counts as if it were payload. Where that is refused it returns to where it was. Answers what, how many more there
-- are, and the elements.
local due, t = from == 'retry', now()
local left, no = due and call('ZCOUNT', source, '-inf', t) or call('LLEN', queue), refused(owner, paused, epoch, number)
if no then return {no, left} end
local function pop()
  if not due then return call('RPOP', source) end
  local member = call('ZRANGEBYSCORE', source, '-inf', t, 'LIMIT', 0, 1)[1]
  if member then call('ZREM', source, member) end
  return member
end
local function too_large(element, index, size)
  local id, attempt, strikes, first, last, evidence, begin = fields(element)
  if not due or not id then id, attempt, strikes, first, begin = birth .. '-' .. index, 0, 0, t, 1 end
  local reason = '{"reason":"too large: ' .. size .. ' bytes, max_payload is ' .. largest .. '","instance":"'
  local head = table.concat({id, 1, attempt + 1, strikes, first, t, reason .. instance .. '"}\n'}, ' ')
  local bytes = string.sub(element, begin)
  bury(dead, broken, head .. bytes, bytes, max, age)
end
local out, size = {'ok', left}, 0
while #out - 2 < tonumber(n) and size < tonumber(bytes) do
  local element = pop()
  if not element then break end
  local begin = due and select(7, fields(element)) or 1
  local length, entry, why = begin > 65536 and #element or #element - begin + 1, element, nil
  if length > tonumber(largest) then
    local ok
    ok, why = pcall(too_large, element, #out - 2, length)
    if ok then
      entry, why = length, nil
      redis.pcall('HINCRBY', stats, 'dead', 1)
    end
  end
  if why then
    if due then call('ZADD', source, t, element) else call('RPUSH', source, element) end
    if #out == 2 then error(why, 0) end
    break
  end
  out[#out + 1] = entry
  size = size + #element
end
if due or source == queue then out[2] = left - #out + 2 end
if #out > 2 then redis.pcall('HINCRBY', stats, 'popped', #out - 2) end
return out
