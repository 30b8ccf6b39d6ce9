-- keys: queue owner owners fenced paused popped batches stats retry dead delayed
-- args:
-- Tries every command that the scripts use, on the key that never exists, and names those that the user may not run.
-- The queue's keys are declared so that the right to them is asked too; none is touched.
local missing = {}
local function try(...)
  local r = redis.pcall(...)
  local e = type(r) == 'table' and r.err
  if e and (string.find(e, "can't run this command", 1, true) or string.find(e, 'NOPERM', 1, true)) then
    missing[#missing + 1] = (...)
  end
end
try('TIME')
try('EXISTS', none)
try('SET', none, 1)
try('GET', none)
try('RENAME', none, none)
try('PERSIST', none)
try('EXPIRE', none, 1)
try('UNLINK', none)
try('HSET', none, 'f', 1)
try('HSETNX', none, 'f', 1)
try('HGET', none, 'f')
try('HEXISTS', none, 'f')
try('HGETALL', none)
try('HINCRBY', none, 'f', 1)
try('HDEL', none, 'f')
try('ZADD', none, 1, 'm')
try('ZRANGE', none, 0, -1)
try('ZCARD', none)
try('ZSCAN', none, 0)
try('ZSCORE', none, 'm')
try('ZREMRANGEBYRANK', none, 0, 0)
try('ZREMRANGEBYSCORE', none, 0, 0)
try('ZREM', none, 'm')
try('ZRANGEBYSCORE', none, 0, 0)
try('ZCOUNT', none, 0, 0)
try('LPUSH', none, 'e')
try('RPUSH', none, 'e')
try('LMOVE', none, none, 'RIGHT', 'LEFT')
try('LLEN', none)
try('LINDEX', none, 0)
try('LPOP', none)
try('SETBIT', none, 0, 0)
try('GETBIT', none, 0)
try('BITCOUNT', none)
try('BITFIELD', none, 'SET', 'u1', 0, 0)
call('UNLINK', none)
return table.concat(missing, ', ')
