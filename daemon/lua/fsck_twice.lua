-- keys: one one_acked one_owner other other_acked other_owner
-- args: id repair one_kind one_epoch one_at other_kind other_epoch other_at
-- A job that was seen in two places. A place is a sorted set of records and a score (`set`), or a batch and an index,
-- of payloads (`list`) or records (`records`). '': it is in one of them, or in none, by now. repair 1: one copy goes.
-- That is `other`; of two batches the one whose owner does not live. There its bit is set, as if it were done: its
-- owner settles it no more, and the list is not touched.
local function in_set(key, at, skip)
  for i = 0, 999 do
    local member = call('ZRANGEBYSCORE', key, at, at, 'LIMIT', i, 1)[1]
    if not member then return end
    local its, _, _, _, _, _, begin = fields(member)
    if its == id then
      if skip == 0 then return string.sub(member, begin), member end
      skip = skip - 1
    end
  end
end
local function in_batch(key, acked, kind, at)
  local element = call('GETBIT', acked, at) == 0 and call('LINDEX', key, -1 - at)
  if not element or kind == 'list' then return element end
  local its, _, _, _, _, _, begin = fields(element)
  return its == id and string.sub(element, begin)
end
local function look(key, acked, kind, at, skip)
  if kind == 'set' then return in_set(key, at, skip) end
  return in_batch(key, acked, kind, at)
end
local first = look(one, one_acked, one_kind, one_at, 0)
if not first then return '' end
local second, member = look(other, other_acked, other_kind, other_at, one == other and one_at == other_at and 1 or 0)
if not second then return '' end
if first ~= second then return 'differs' end
if repair ~= '1' then return 'twice' end
local function lives(owner, epoch) return names(call('GET', owner)) == epoch end
if other_kind == 'set' then
  call('ZREM', other, member)
elseif lives(other_owner, other_epoch) and not lives(one_owner, one_epoch) then
  call('SETBIT', one_acked, one_at, 1)
else
  call('SETBIT', other_acked, other_at, 1)
end
return 'twice'
