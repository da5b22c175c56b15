-- Puts a claimed step off. ARGV: JSON {id, queue, portal, step, fence, at, uncounted, ambiguous, events, deliveries, set}
-- Answers "ok", "fenced" or "gone".
local t = cjson.decode(ARGV[1])
local key = job_key(t.id)
if redis.call('EXISTS', key) == 0 then return 'gone' end
if lease_of(t.id, t.step) ~= t.fence then return 'fenced' end
drop_lease(t.queue, t.portal, t.id, t.step)
if t.ambiguous then count(key, 'doubt:' .. t.step, 1) end
if t.uncounted then count(key, 'tries:' .. t.step, -1) end
for field, value in pairs(t.set or {}) do redis.call('HSETNX', key, field, value) end
if t.set and t.set.held_since then
  redis.call('ZADD', 'cs:held:' .. t.portal, 'NX', tonumber(t.set.held_since), t.id)
end
append(key .. ':events', t.events or {})
append(key .. ':deliveries', t.deliveries or {})
local queue = due_of(t.id, t.step, t.queue)
if queue and tonumber(t.at) > now() then
  redis.call('ZADD', 'cs:later', t.at, join(queue, t.portal, t.id, t.step))
else
  make_ready(t.portal, t.id, t.step, t.queue)
end
settle()
return 'ok'
