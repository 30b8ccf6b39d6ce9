-- keys: records
-- args: from n
-- Records from a rank on, the last is rank 0: what comes and goes at the other end shifts none. Stops behind 1 MiB.
-- Answers the rank to go on from, -1 at the end, and for each its score, what is wrong with it, and its id.
local out, size, at = {-1}, 0, tonumber(from)
while at < from + n and size < 1048576 do
  local found = call('ZRANGE', records, at, at, 'REV', 'WITHSCORES')
  if not found[1] then return out end
  local what, id = told(found[1])
  local i = #out
  out[i + 1], out[i + 2], out[i + 3] = found[2], what, id
  size, at = size + #found[1], at + 1
end
out[1] = at
return out
