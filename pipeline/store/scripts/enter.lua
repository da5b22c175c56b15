-- One of `limit` places at a provider, held as long as the lease of the step that took it.
-- ARGV: name, place (ID|STEP|FENCE), limit. Answers 1, or 0 when all are taken.
local key = 'cs:slots:' .. ARGV[1]
for _, place in ipairs(redis.call('SMEMBERS', key)) do
  local id, step, fence = string.match(place, '^([^|]*)|([^|]*)|(.*)$')
  local lease = redis.call('HGET', job_key(id), 'lease:' .. step)
  if not lease or string.match(lease, '^%d+') ~= fence then redis.call('SREM', key, place) end
end
if redis.call('SCARD', key) >= tonumber(ARGV[3]) then return 0 end
redis.call('SADD', key, ARGV[2])
redis.call('EXPIRE', key, 3600)
return 1
