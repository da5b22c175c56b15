-- One transition of a record: new facts, next steps, events, all or nothing.
-- ARGV[1]: JSON {id, rev, queue, portal, step, fence (absent: no lease needed), set: {field: value}, forget: [field],
--   dues: [[step, queue, at, how, urgency]], events: [json], deliveries: [json],
--   closed, reopened, goes_on (the lease is kept), retention,
--   known: {key: [value, seconds]}: small facts that all workers share,
--   used: {key of the portal's day: {name: amount}}, counted: {series: amount}, used_seconds, gates: [breakers that close],
--   next (absent: none): [queue, owner, lease_seconds, urgent_only, waits]}
-- Answers {"ok", what was claimed next, queues to tell of by message ...}, or {"fenced"} (the lease is another's), {"stale"} (the record moved on: read
-- it again), {"gone"}.
local t = cjson.decode(ARGV[1])
local key, at = job_key(t.id), now()
if redis.call('EXISTS', key) == 0 then return {'gone'} end
local rev = redis.call('HGET', key, 'rev') or ''
if t.fence and lease_of(t.id, t.step) ~= t.fence then return {'fenced'} end
if t.rev and rev ~= t.rev then return {'stale'} end
count(key, 'rev', 1)
local weight = 0
for _, field in ipairs(t.forget or {}) do
  if weighs(field) then weight = weight - redis.call('HSTRLEN', key, field) end
  redis.call('HDEL', key, field)
  if field == 'held_since' then redis.call('ZREM', 'cs:held:' .. t.portal, t.id) end
end
for field, value in pairs(t.set or {}) do
  if weighs(field) then weight = weight + #value - redis.call('HSTRLEN', key, field) end
  redis.call('HSET', key, field, value)
end
weigh(t.portal, t.id, weight)
for name, kept in pairs(t.known or {}) do redis.call('SET', name, kept[1], 'EX', kept[2]) end
for day, amounts in pairs(t.used or {}) do
  for name, amount in pairs(amounts) do redis.call('HINCRBYFLOAT', day, name, amount) end
  redis.call('EXPIRE', day, t.used_seconds)
end
for series, amount in pairs(t.counted or {}) do redis.call('HINCRBYFLOAT', 'cs:counted', series, amount) end
for _, name in ipairs(t.gates or {}) do redis.call('DEL', 'cs:gate:' .. name) end
append(key .. ':events', t.events or {})
append(key .. ':deliveries', t.deliveries or {})
if t.fence and not t.goes_on then
  drop_lease(t.queue, t.portal, t.id, t.step)
  redis.call('HDEL', key, 'due:' .. t.step)
end
for _, due in ipairs(t.dues or {}) do schedule(at, t.id, t.portal, due) end
if t.closed or (t.set and t.set['fact:callback']) then close(t.portal, t.id) end
if t.closed then
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local step = string.match(field, '^due:(.*)$')
    if step then cancel(t.portal, t.id, step) end
  end
  for _, suffix in ipairs({'', ':events', ':deliveries', ':paid'}) do
    redis.call('EXPIRE', key .. suffix, t.retention)
  end
elseif t.reopened then
  open(t.portal, t.id, true)
  for _, suffix in ipairs({'', ':events', ':deliveries', ':paid'}) do redis.call('PERSIST', key .. suffix) end
end
settle()
local claimed = t.next and claim(unpack(t.next)) or {}
if claimed[1] and claimed[1] ~= '' then -- nobody has to be told of one more, since whoever ended this step goes on
  local known
  for i, step in ipairs(news) do
    if step[1] == t.next[1] and (not known or step[3] == claimed[1] .. '|' .. claimed[2]) then known = i end
  end
  if known then table.remove(news, known) end
end
return {'ok', claimed, unpack(tell())}
