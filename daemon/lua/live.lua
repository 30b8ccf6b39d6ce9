-- keys: owners
-- args:
-- Who stands behind entries: for each further key, an owner's, and argument, its instance, the live epoch ('': none,
-- '?': of a newer version) and the beat ('': none).
local out = {}
for i = 1, #ARGV do
  local v = call('GET', KEYS[i + 2])
  out[2 * i - 1] = v and (names(v) or '?') or ''
  out[2 * i] = call('ZSCORE', owners, ARGV[i]) or ''
end
return out
