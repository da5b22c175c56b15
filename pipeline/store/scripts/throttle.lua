-- A leaky bucket by the server's clock. ARGV: name, rate per second, burst. Answers seconds to wait (0: go).
local key, rate, burst, at = 'cs:bucket:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), now()
local f = redis.call('HMGET', key, 'level', 'at')
local level = math.max(0, tonumber(f[1] or '0') - (at - tonumber(f[2] or at)) * rate)
if level + 1 > burst then return tostring((level + 1 - burst) / rate) end
redis.call('HSET', key, 'level', level + 1, 'at', string.format('%.6f', at))
redis.call('EXPIRE', key, math.ceil(burst / rate) + 1)
return '0'
