-- keys: dead stats broken
-- args: head payload max age counter
-- The dead letter of a job that was delivered at most once: its payload is nowhere else. A repeat writes the same, and
-- pushes nothing more to `broken`.
if bury(dead, broken, head .. payload, payload, max, age) == 1 then redis.pcall('HINCRBY', stats, counter, 1) end
return 1
