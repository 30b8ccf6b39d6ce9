-- keys: list batches
-- args: field entry
-- Writes a missing entry beside its list again. 0: there is no such list.
if call('EXISTS', list) == 0 then return 0 end
call('HSETNX', batches, field, entry)
return 1
