-- keys: list acked batches
-- args: field records from n
-- The jobs of a batch that are not settled, n of its indexes. records 1: its elements are records; else their ids are
-- made of the batch's birth name, and no payload is read. Stops behind 1 MiB. Answers the index to go on from, -1 at
-- the end, and for each its index, what is wrong with it, and its id.
local birth = string.match(call('HGET', batches, field) or '', '^1 (%S+) ')
local length, out, size, at = call('LLEN', list), {-1}, 0, tonumber(from)
if not birth then return out end
while at < length do
  if at >= from + n or size >= 1048576 then
    out[1] = at
    break
  end
  if call('GETBIT', acked, at) == 0 then
    local what, id = '', birth .. '-' .. at
    if records == '1' then
      local member = call('LINDEX', list, -1 - at)
      what, id = told(member)
      size = size + #member
    end
    local i = #out
    out[i + 1], out[i + 2], out[i + 3] = tostring(at), what, id
  end
  at = at + 1
end
return out
