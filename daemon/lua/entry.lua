-- keys: list batches
-- args: field entry always
-- Writes an entry beside its list: where it is missing, or (always 1) in any case. 0: there is no such list.
if call('EXISTS', list) == 0 then return 0 end
if always == '1' then call('HSET', batches, field, entry) else call('HSETNX', batches, field, entry) end
return 1
