-- Removes a job wholly. ARGV: id. Answers 1, or 0 when there was none.
local id = ARGV[1]
local key = job_key(id)
local portal = redis.call('HGET', key, 'portal')
if not portal then return 0 end
for _, field in ipairs(redis.call('HKEYS', key)) do
  local step = string.match(field, '^lease:(.*)$')
  if step then
    for _, queue in ipairs({'media', 'upstream'}) do
      drop_lease(queue .. '|' .. portal .. '|' .. id .. '|' .. step, id, step)
    end
  end
end
for _, queue in ipairs({'media', 'upstream'}) do
  for _, member in ipairs(redis.call('ZRANGE', 'cs:ready:' .. queue .. ':' .. portal, 0, -1)) do
    if string.sub(member, 1, #id + 1) == id .. '|' then
      redis.call('ZREM', 'cs:ready:' .. queue .. ':' .. portal, member)
    end
  end
end
for _, member in ipairs(redis.call('ZRANGE', 'cs:later', 0, -1)) do
  local _, _, other = split(member)
  if other == id then redis.call('ZREM', 'cs:later', member) end
end
for _, paid in ipairs(redis.call('SMEMBERS', key .. ':paid')) do redis.call('DEL', paid) end
redis.call('DEL', key, key .. ':events', key .. ':deliveries', key .. ':paid')
redis.call('SREM', 'cs:open:' .. portal, id)
redis.call('ZREM', 'cs:jobs', id)
return 1
