-- keys: list acked
-- args:
-- The payloads of what is settled are overwritten, by the bit, so that a job that runs long pins no payload but its
-- own. Answers how many are hollow.
local n, hollow = call('LLEN', list), 0
for i = 0, n - 1 do
  if call('GETBIT', acked, i) == 1 then
    call('LSET', list, -1 - i, '')
    hollow = hollow + 1
  end
end
return hollow
