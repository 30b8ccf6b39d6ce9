-- keys: stats
-- args: name n
return call('HINCRBY', stats, name, n)
