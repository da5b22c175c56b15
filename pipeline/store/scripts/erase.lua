-- Removes a job wholly. ARGV: id. Answers 1, or 0 when there was none.
local id = ARGV[1]
local key = job_key(id)
if redis.call('EXISTS', key) == 0 then return 0 end
local portal = redis.call('HGET', key, 'portal') or ''
for _, field in ipairs(redis.call('HKEYS', key)) do
  local kind, step = string.match(field, '^(%a+):(.*)$')
  if kind == 'lease' then
    local _, _, queue = lease_of(id, step)
    if not queue or queue == '' then queue = due_of(id, step) end
    drop_lease(queue, portal, id, step)
  elseif kind == 'due' then
    cancel(portal, id, step)
  end
end
for _, paid in ipairs(redis.call('SMEMBERS', key .. ':paid')) do redis.call('DEL', paid) end
close(portal, id)
redis.call('DEL', key, key .. ':events', key .. ':deliveries', key .. ':paid')
redis.call('ZREM', 'cs:jobs', id)
settle()
return 1
