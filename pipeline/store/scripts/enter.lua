-- One of `limit` places at a provider, held as long as the lease of the step that took it.
-- ARGV: name, id, step, fence, limit. Answers 1, or 0 when all are taken, or the lease is another's.
local key = 'cs:slots:' .. ARGV[1]
if lease_of(ARGV[2], ARGV[3]) ~= ARGV[4] then return 0 end
if redis.call('SCARD', key) >= tonumber(ARGV[5]) then return 0 end
redis.call('SADD', key, ARGV[2] .. '|' .. ARGV[3] .. '|' .. ARGV[4])
redis.call('HSET', job_key(ARGV[2]), 'place:' .. ARGV[3], ARGV[1])
return 1
