-- A reserved call was certainly not served. ARGV: key, place (ID|STEP|FENCE), portal, day, seconds
if redis.call('GET', ARGV[1]) == '@' .. ARGV[2] then redis.call('DEL', ARGV[1]) end
local usage = 'cs:usage:' .. ARGV[3] .. ':' .. ARGV[4]
local reserved = tonumber(redis.call('HGET', usage, 'reserved_seconds') or '0')
-- what was reserved before midnight is not given back to the new day
redis.call('HINCRBYFLOAT', usage, 'reserved_seconds', -math.min(tonumber(ARGV[5]), reserved))
return 1
