-- The store has gone back: says so until it is settled, and gives no number twice.
-- ARGV: the highest number that was seen, seconds until it counts as settled
local fence = tonumber(redis.call('GET', 'cs:fence') or '0')
redis.call('SET', 'cs:fence', string.format('%.0f', math.max(fence, tonumber(ARGV[1])) + 1000))
redis.call('SET', 'cs:back', string.format('%.6f', now()), 'EX', ARGV[2])
return 1
