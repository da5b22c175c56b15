-- Frees at once every lease whose owner begins with ARGV[1]. ARGV[2]: how much of a crash it counts as.
local freed, at = 0, now()
for _, member in ipairs(redis.call('ZRANGE', 'cs:leases', 0, -1)) do
  local queue, portal, id, step = split(member)
  local held = redis.call('HGET', job_key(id), 'lease:' .. step)
  local owner = held and string.match(held, '^%d+ (.*)$') or ''
  if string.sub(owner, 1, #ARGV[1]) == ARGV[1] then
    drop_lease(member, id, step)
    local what = 'released'
    if ARGV[2] ~= '0' then
      redis.call('HINCRBY', job_key(id), 'lost:' .. step, ARGV[2])
      what = 'lost'
    else
      redis.call('HINCRBY', job_key(id), 'tries:' .. step, -1)
      redis.call('HINCRBY', job_key(id), 'doubt:' .. step, 1) -- what it had sent may have been served
    end
    redis.call('RPUSH', job_key(id) .. ':events', cjson.encode({at = at, step = step, what = what, attempt = 1}))
    make_ready(queue, portal, id, step)
    freed = freed + 1
  end
end
return freed
