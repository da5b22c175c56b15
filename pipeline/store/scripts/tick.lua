-- The sweeper's look: moves what is due; answers how much is ready per queue, as JSON.
tick(now())
local counts = {}
for _, queue in ipairs({'media', 'upstream'}) do
  local n = 0
  for _, portal in ipairs(redis.call('SMEMBERS', 'cs:ready:' .. queue)) do
    n = n + redis.call('ZCARD', 'cs:ready:' .. queue .. ':' .. portal)
  end
  counts[queue] = n
end
return cjson.encode(counts)
