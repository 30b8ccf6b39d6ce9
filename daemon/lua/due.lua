-- keys: retry
-- args: soon
-- How many records are due, and how many will be in `soon` milliseconds. Reads no record: it may be large.
local t = now()
return {call('ZCOUNT', retry, '-inf', t), call('ZCOUNT', retry, '(' .. t, t + soon)}
