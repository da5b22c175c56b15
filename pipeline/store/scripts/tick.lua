-- The sweeper's look: moves what is due. ARGV: layout, a name for the store if it has none, queues.
-- Answers {JSON {queue: steps ready}, the store's name, its running number}, or {} where the keys are not as this version keeps them, or an older one still writes beside us: they are to be rebuilt.
if redis.call('GET', 'cs:layout') ~= ARGV[1] then return {} end
local counts = {}
for i = 3, #ARGV do
  if redis.call('EXISTS', 'cs:ready:' .. ARGV[i]) == 1 then return {} end
end
tick(now())
settle()
for i = 3, #ARGV do
  counts[ARGV[i]] = math.max(0, tonumber(redis.call('HGET', 'cs:depth', ARGV[i]) or '0'))
end
for _, id in ipairs(redis.call('ZRANGE', 'cs:jobs', 0, 19)) do -- records whose retention has passed
  if redis.call('EXISTS', job_key(id)) == 0 then redis.call('ZREM', 'cs:jobs', id) end
end
redis.call('SETNX', 'cs:epoch', ARGV[2])
return {cjson.encode(counts), redis.call('GET', 'cs:epoch'), tostring(redis.call('INCR', 'cs:fence'))}
