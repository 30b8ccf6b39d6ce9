-- keys: dead
-- args: from n
-- Dead letters from a rank on, the newest is rank 0: how many there are, and of each the time of its death, its
-- fields and the length of its payload; of one that cannot be read its first bytes alone. Stops behind 1 MiB.
local out, size = {call('ZCARD', dead)}, 0
for i = from, from + n - 1 do
  local one = size < 1048576 and call('ZRANGE', dead, i, i, 'REV', 'WITHSCORES') or {}
  if not one[1] then break end
  local id, attempt, strikes, first, last, evidence, begin = fields(one[1])
  if id then
    out[#out + 1] = {one[2], id, attempt, first, last, string.sub(evidence, 1, 65536), #one[1] - begin + 1}
  else
    out[#out + 1] = {one[2], string.sub(one[1], 1, 80)}
  end
  size = size + #one[1]
end
return out
