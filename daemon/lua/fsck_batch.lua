-- keys: list acked batches owner fenced
-- args: part field epoch fresh repair
-- What is wrong with a batch, by what was found of it: its `list`, its bits (`acked`), its `entry`; `any` where keys
-- cannot be looked for. '': nothing. repair 1: what can be put right is.
local length, entry = call('LLEN', list), call('HGET', batches, field)
local function clears(what)
  if repair == '1' then clean(acked, batches, field) end
  return what
end
local function writes(what)
  if repair == '1' then call('HSET', batches, field, fresh) end
  return what
end
if length == 0 then
  if entry then return part ~= 'acked' and clears('no-list') or '' end
  return call('EXISTS', acked) == 1 and clears('bits') or ''
end
if part == 'acked' or part == 'entry' then return '' end
if not entry then return writes('no-entry') end
if not string.match(entry, '^1 %S+ %d+ %d+ [%d-]+$') then
  return string.match(entry, '^[2-9]%d* ') and 'newer' or writes('bad-entry')
end
if names(call('GET', owner)) == epoch then return '' end
return string.find(call('HGET', fenced, epoch) or '', ' open', 1, true) and '' or 'stray'
