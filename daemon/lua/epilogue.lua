end
-- Behind every script: an error becomes `CODE text`, whatever Redis version wrapped it.
local ok, r = pcall(body)
if ok then return r end
r = tostring(r)
if string.find(r, "can't run this command", 1, true) then
  r = 'NOPERM ' .. r
else
  r = string.match(r, '%u%u%u+ .*') or 'ERR ' .. r
end
return redis.error_reply(r)
