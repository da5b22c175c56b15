-- Puts a claimed step off. ARGV: JSON {id, queue, portal, step, fence, at, uncounted, ambiguous, events, deliveries, set}
-- Answers "ok", "fenced" or "gone".
local t = cjson.decode(ARGV[1])
local key = job_key(t.id)
local held = redis.call('HGET', key, 'lease:' .. t.step)
if redis.call('EXISTS', key) == 0 then return 'gone' end
if not held or string.match(held, '^%d+') ~= t.fence then return 'fenced' end
local member = t.queue .. '|' .. t.portal .. '|' .. t.id .. '|' .. t.step
drop_lease(member, t.id, t.step)
if t.ambiguous then redis.call('HINCRBY', key, 'doubt:' .. t.step, 1) end
if t.uncounted then redis.call('HINCRBY', key, 'tries:' .. t.step, -1) end
for field, value in pairs(t.set or {}) do redis.call('HSETNX', key, field, value) end
append(key .. ':events', t.events or {})
append(key .. ':deliveries', t.deliveries or {})
if tonumber(t.at) <= now() then
  make_ready(t.queue, t.portal, t.id, t.step)
else
  redis.call('ZADD', 'cs:later', t.at, member)
end
return 'ok'
