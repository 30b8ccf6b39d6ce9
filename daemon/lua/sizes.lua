-- keys: list acked batches
-- args: field
-- A batch that was found or taken: its length, its bits, its entry. No list: the entry goes.
local n = call('LLEN', list)
if n == 0 then clean(acked, batches, field) end
return {n, call('GET', acked), call('HGET', batches, field)}
