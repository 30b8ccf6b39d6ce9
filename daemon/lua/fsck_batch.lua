-- keys: list acked batches owner fenced
-- args: part field epoch fresh repair
-- What is wrong with a batch, by what was found of it: its `list`, its bits (`acked`), its `entry`; `any` where keys
-- cannot be looked for. A line each; '': nothing. repair 1: what can be put right is.
local bits = (part == 'acked' or part == 'any') and call('GETBIT', acked, 0)
local length, entry, out = call('LLEN', list), call('HGET', batches, field), {}
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
  return bits and call('EXISTS', acked) == 1 and clears('bits') or ''
end
if part == 'acked' or part == 'entry' then return '' end
for _, key in ipairs({list, acked}) do
  if call('PTTL', key) >= 0 then
    if repair == '1' then call('PERSIST', key) end
    out[1] = 'expires'
  end
end
if not entry then
  out[#out + 1] = writes('no-entry')
elseif not string.match(entry, '^1 %S+ %d+ %d+ [%d-]+$') then
  out[#out + 1] = string.match(entry, '^[2-9]%d* ') and 'newer' or writes('bad-entry')
elseif names(call('GET', owner)) ~= epoch and not string.find(call('HGET', fenced, epoch) or '', ' open', 1, true) then
  out[#out + 1] = 'stray'
end
return table.concat(out, '\n')
