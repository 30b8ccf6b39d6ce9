-- keys: results onward
-- args:
-- full: refused
-- Whether results can be delivered now: asked for, without one, after a refusal.
accepts(results)
accepts(onward)
return 1
