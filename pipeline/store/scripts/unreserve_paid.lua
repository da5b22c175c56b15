-- A reserved call was certainly not served. ARGV: key, place (ID|STEP|FENCE), portal, day, seconds
if redis.call('GET', ARGV[1]) == '@' .. ARGV[2] then redis.call('DEL', ARGV[1]) end
redis.call('HINCRBYFLOAT', 'cs:usage:' .. ARGV[3] .. ':' .. ARGV[4], 'reserved_seconds', -tonumber(ARGV[5]))
return 1
