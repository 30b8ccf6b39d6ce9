-- keys: dead retry
-- args: what id at n
-- what: `retry` replays dead letters, with their id, their payload and a new budget, due now, and without their
-- output, which may be larger than what a claim can bring beside a payload; `drop` deletes them.
-- id: that one, looked for in a page of the set; '': n of them from a rank on, the oldest is rank 0. A repeat finds
-- nothing more. Answers where to go on, how many went, how many cannot be read and stay, how many are left.
call('ZREM', none, '')
local next_at, took, bad, size = at, 0, 0, 0
local function take(member)
  size = size + #member
  if what == 'retry' then
    local name, _, _, first, last, evidence, begin = fields(member)
    if not name then
      bad = bad + 1
      return
    end
    local output = string.find(evidence, ',"output', 1, true)
    if output then evidence = string.sub(evidence, 1, output - 1) .. '}' end
    local head = table.concat({name, 1, 0, 0, first, last, evidence}, ' ')
    call('ZADD', retry, now(), head .. '\n' .. string.sub(member, begin))
  end
  took = took + call('ZREM', dead, member)
end
if id ~= '' then
  local page = call('ZSCAN', dead, at, 'MATCH', id .. ' *', 'COUNT', 1000)
  next_at = page[1]
  for i = 1, #page[2], 2 do take(page[2][i]) end
else
  while took + bad < tonumber(n) and size < 1048576 do
    local member = call('ZRANGE', dead, at + bad, at + bad)[1]
    if not member then break end
    take(member)
  end
  next_at = at + bad
end
return {tostring(next_at), took, bad, call('ZCARD', dead)}
