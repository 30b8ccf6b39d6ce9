-- keys: stats results onward
-- args: grows ttl
-- full: refused
-- The same of jobs that are delivered at most once, whose payloads are nowhere else: two arguments each (id and result,
-- or '' and the payload). What can be refused is asked before anything moves: after an error it may be repeated.
if grows ~= '1' then call('UNLINK', none) end
accepts(results)
accepts(onward)
local key = 4
for i = 3, #ARGV, 2 do
  key = key + 1
  hand_over(results, onward, KEYS[key], ttl, ARGV[i], ARGV[i + 1])
end
redis.pcall('HINCRBY', stats, 'done', key - 4)
return key - 4
