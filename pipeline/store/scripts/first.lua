-- What was said first under a name. ARGV: name, value, seconds, instead_of ('': of nothing). Answers what stands.
local key = 'cs:once:' .. ARGV[1]
local held = redis.call('GET', key)
if held and held ~= ARGV[4] then return held end
redis.call('SET', key, ARGV[2], 'EX', ARGV[3])
return ARGV[2]
