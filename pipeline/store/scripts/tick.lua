-- The sweeper's look: moves what is due. ARGV: layout, a name for the store if it has none, queues.
-- Answers {JSON {queue: steps ready that nobody was woken for}, the store's name, its running number}, or {} where the keys are not as this version keeps them, or an older one still writes beside us: they are to be rebuilt.
if redis.call('GET', 'cs:layout') ~= ARGV[1] then return {} end
local counts = {}
local function depth(queue) return math.max(0, tonumber(redis.call('HGET', 'cs:depth', queue) or '0')) end

for i = 3, #ARGV do
  if redis.call('EXISTS', 'cs:ready:' .. ARGV[i]) == 1 then return {} end
end
for i = 3, #ARGV do
  -- what has been ready: word of it may have been lost with whom it was for, so others are woken, and told by message
  local queue = ARGV[i]
  if redis.call('EXISTS', 'cs:fair:' .. queue) == 1 then
    local left = depth(queue)
    while left > 0 and wake(queue, false) do left = left - 1 end
    left = redis.call('ZCARD', 'cs:fair:' .. queue .. ':urgent')
    while left > 0 and wake(queue, true) do left = left - 1 end
  end
end
tick(now())
settle()
local became = {}
for _, step in ipairs(news) do became[step[1]] = (became[step[1]] or 0) + 1 end
for _, queue in ipairs(tell()) do became[queue] = became[queue] - 1 end
for i = 3, #ARGV do counts[ARGV[i]] = depth(ARGV[i]) - (became[ARGV[i]] or 0) end
for _, id in ipairs(redis.call('ZRANGE', 'cs:jobs', 0, 19)) do -- records whose retention has passed
  if redis.call('EXISTS', job_key(id)) == 0 then redis.call('ZREM', 'cs:jobs', id) end
end
redis.call('SETNX', 'cs:epoch', ARGV[2])
return {cjson.encode(counts), redis.call('GET', 'cs:epoch'), tostring(redis.call('INCR', 'cs:fence'))}
