-- keys: dead
-- args: id at from n
-- The dead letter of that id, looked for in a page of the set. Answers where to look next, and where it was found
-- the cursor that found it, the time of its death, its fields, its payload's length and a piece of it.
local page = call('ZSCAN', dead, at, 'MATCH', id .. ' *', 'COUNT', 1000)
local member = page[2][1]
if not member then return {page[1]} end
local name, attempt, strikes, first, last, evidence, begin = fields(member)
if not name then return {at, page[2][2]} end
return {at, page[2][2], name, attempt, first, last, string.sub(evidence, 1, 524288), #member - begin + 1,
  string.sub(member, begin + from, begin + from + n - 1)}
