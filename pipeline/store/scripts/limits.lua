-- How many steps of a portal may run at a time. ARGV: queue, JSON {portal: limit}, all portals there are.
local key, limits = 'cs:limits:' .. ARGV[1], cjson.decode(ARGV[2])
local before = redis.call('HGETALL', key)
for i = 1, #before, 2 do
  if not limits[before[i]] then
    redis.call('HDEL', key, before[i])
    touch(ARGV[1], before[i])
  end
end
for portal, limit in pairs(limits) do
  if redis.call('HGET', key, portal) ~= tostring(limit) then
    redis.call('HSET', key, portal, limit)
    touch(ARGV[1], portal)
  end
end
settle()
return 1
