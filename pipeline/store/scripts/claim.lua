-- The fairest due work: fewest running, then least recently served, then nearest deadline.
-- ARGV: queue, owner, lease_seconds, urgent_only (0/1)
-- Answers {} or {id, step, portal, fence, tries, lost, deadline, the record's fields and values}; an empty id: ask
-- again.
local queue, owner, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local at = now()
tick(at)
settle()
local turn = redis.call('ZRANGE', 'cs:fair:' .. queue .. (ARGV[4] == '1' and ':urgent' or ''), 0, 0)[1]
if not turn then return {} end
local portal = string.match(turn, '^%S+ %S+ (.*)$')
local member = redis.call('ZRANGE', ready_key(queue, portal), 0, 0)[1]
touch(queue, portal)
if not member or not unready(queue, portal, member) then
  settle()
  return {'', '', '', '', '', '', ''}
end
local id, step = string.match(member, '^([^|]*)|(.*)$')
local key = job_key(id)
if redis.call('EXISTS', key) == 0 then
  settle()
  return {'', '', '', '', '', '', ''} -- erased meanwhile
end
local fence = redis.call('INCR', 'cs:fence')
redis.call('HSET', 'cs:served:' .. queue, portal, fence)
redis.call('SADD', running_key(queue, portal), member)
redis.call('ZADD', 'cs:leases', lived(at) + lease, join(queue, portal, id, step))
redis.call('ZADD', 'cs:owners', 0, owner .. '|' .. join(queue, portal, id, step))
redis.call('HSET', key, 'lease:' .. step, fence .. ' ' .. owner .. ' ' .. queue)
local tries = count(key, 'tries:' .. step, 1)
local lost = math.floor(number(key, 'lost:' .. step, 0))
settle()
local deadline = number(key, 'deadline', at)
return {id, step, portal, tostring(fence), tostring(tries), tostring(lost), string.format('%.6f', deadline),
  redis.call('HGETALL', key)}
