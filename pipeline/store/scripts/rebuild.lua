-- Makes the indexes anew from what is there, whichever version wrote it, and also while an older one still writes:
-- may run at any time, as often as one likes. The only script that walks everything.
-- ARGV: layout, JSON {kind of step: [queue, urgency]}, JSON {category: urgency}.
local kinds, categories = cjson.decode(ARGV[2]), cjson.decode(ARGV[3])

-- names the step's queue and urgency in its record; the queue that it belongs to
local function name(id, step, queue)
  if redis.call('EXISTS', job_key(id)) == 0 then return queue end
  local known = due_of(id, step)
  if known then return known end
  local kind = kinds[string.match(step, '^[^:]*')] or {queue, URGENT_BELOW}
  local urgency = categories[redis.call('HGET', job_key(id), 'category')] or kind[2]
  redis.call('HSET', job_key(id), 'due:' .. step, kind[1] .. ' ' .. urgency)
  return kind[1]
end

for _, key in ipairs(redis.call('KEYS', 'cs:ready:*')) do
  if redis.call('TYPE', key).ok == 'set' then redis.call('DEL', key) end -- of layout 1: the portals with ready work
end
for _, pattern in ipairs({'cs:fair:*', 'cs:turns:*'}) do
  for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('DEL', key) end
end
redis.call('DEL', 'cs:owners')
for _, key in ipairs(redis.call('KEYS', 'cs:ready:*')) do
  local queue, portal = string.match(key, '^cs:ready:([^:]*):(.*)$')
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    local id, step = string.match(member, '^([^|]*)|(.*)$')
    redis.call('ZREM', key, member)
    name(id, step, queue)
    make_ready(portal, id, step)
  end
end
for _, key in ipairs(redis.call('KEYS', 'cs:running:*')) do
  touch(string.match(key, '^cs:running:([^:]*):(.*)$'))
end
local later = redis.call('ZRANGE', 'cs:later', 0, -1, 'WITHSCORES')
for i = 1, #later, 2 do
  local queue, portal, id, step = split(later[i])
  local belongs = name(id, step, queue)
  if belongs ~= queue then
    redis.call('ZREM', 'cs:later', later[i])
    redis.call('ZADD', 'cs:later', later[i + 1], join(belongs, portal, id, step))
  end
end
for _, member in ipairs(redis.call('ZRANGE', 'cs:leases', 0, -1)) do
  local queue, portal, id, step = split(member)
  name(id, step, queue)
  local _, owner = lease_of(id, step)
  if owner then redis.call('ZADD', 'cs:owners', 0, owner .. '|' .. member) end
end
for _, key in ipairs(redis.call('KEYS', 'cs:slots:*')) do
  redis.call('PERSIST', key)
  for _, taken in ipairs(redis.call('SMEMBERS', key)) do
    local id, step, fence = string.match(taken, '^([^|]*)|([^|]*)|(.*)$')
    if lease_of(id, step) == fence then
      redis.call('HSET', job_key(id), 'place:' .. step, string.match(key, '^cs:slots:(.*)$'))
    else
      redis.call('SREM', key, taken)
    end
  end
end
redis.call('DEL', 'cs:bytes')
for _, key in ipairs(redis.call('KEYS', 'cs:open:*')) do
  local portal = string.match(key, '^cs:open:(.*)$')
  for _, id in ipairs(redis.call('SMEMBERS', key)) do
    redis.call('SREM', key, id)
    if redis.call('EXISTS', job_key(id)) == 1 then open(portal, id, true) end
  end
end
redis.call('DEL', 'cs:depth')
for _, key in ipairs(redis.call('KEYS', 'cs:ready:*')) do
  redis.call('HINCRBY', 'cs:depth', string.match(key, '^cs:ready:([^:]*):'), redis.call('ZCARD', key))
end
settle()
redis.call('SET', 'cs:layout', ARGV[1])
return 1
