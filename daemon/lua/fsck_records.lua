-- keys: records
-- args: from n
-- Records that are not of our version, by their first bytes, from a rank on. Stops behind 1 MiB. Answers the rank to
-- go on from, -1 at the end, and for each what it is and its bytes.
local out, size, at = {-1}, 0, tonumber(from)
while at < from + n and size < 1048576 do
  local member = call('ZRANGE', records, at, at)[1]
  if not member then return out end
  if not fields(member) then
    out[#out + 1] = string.match(member, '^%S+ [2-9]%d* ') and 'newer' or 'unreadable'
    out[#out + 1] = string.sub(member, 1, 80)
  end
  size, at = size + #member, at + 1
end
out[1] = at
return out
