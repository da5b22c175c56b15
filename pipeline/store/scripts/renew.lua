-- ARGV: queue, portal, id, step, fence, lease_seconds. Answers 1, or 0 when the lease is another's now.
if lease_of(ARGV[3], ARGV[4]) ~= ARGV[5] then return 0 end
redis.call('ZADD', 'cs:leases', 'XX', lived(now()) + tonumber(ARGV[6]), join(ARGV[1], ARGV[2], ARGV[3], ARGV[4]))
return 1
