-- ARGV: queue, portal, id, step, fence, lease_seconds. Answers 1, or 0 when the lease is another's now.
local held = redis.call('HGET', job_key(ARGV[3]), 'lease:' .. ARGV[4])
if not held or string.match(held, '^%d+') ~= ARGV[5] then return 0 end
redis.call('ZADD', 'cs:leases', 'XX', now() + tonumber(ARGV[6]), table.concat({ARGV[1], ARGV[2], ARGV[3], ARGV[4]}, '|'))
return 1
