-- keys: owner paused retry list batches
-- args: epoch number field entry n bytes
-- The claim of records that are due, the first due first. One at a time: a record may be large. A batch was recovered
-- as often as the one of them that has most strikes. Answers what, how many more are due, and the records.
local no = refused(owner, paused, epoch, number)
if no then return {no, 0} end
call('ZREM', none, '')
local t = now()
local strikes, out, size = 0, {'ok', call('ZCOUNT', retry, '-inf', t)}, 0
for i = 1, tonumber(n) do
  local due = size < tonumber(bytes) and call('ZRANGEBYSCORE', retry, '-inf', t, 'LIMIT', 0, 1)[1]
  if not due then break end
  local _, _, has = fields(due)
  local more = math.min(has or 0, 1000000)
  if i == 1 or more > strikes then
    strikes = more
    call('HSET', batches, field, (string.gsub(entry, '^(1 %S+) %d+', '%1 ' .. strikes)))
  end
  call('LPUSH', list, due)
  call('ZREM', retry, due)
  out[#out + 1] = due
  size = size + #due
end
out[2] = out[2] - #out + 2
return out
