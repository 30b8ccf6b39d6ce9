-- keys: owner owners
-- args: part instance repair
-- An owner key and its beat stand together, and the beat is young: none comes as seldom as once an hour. '': so it
-- is, or they are gone by now. part: which of them was found, `key` or `beat`, so that a fault is told once.
local value, beat = call('GET', owner), call('ZSCORE', owners, instance)
if value and part == 'beat' then return '' end
if value and not names(value) then return 'newer' end
if value and not beat then
  if repair == '1' then call('ZADD', owners, now(), instance) end
  return 'no-beat'
end
if beat and not value then
  if repair == '1' then call('ZREM', owners, instance) end
  return 'no-owner'
end
return beat and now() - beat > 3600000 and 'gone' or ''
