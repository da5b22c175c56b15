-- Frees at once all that owners hold whose names begin with ARGV[1]: leases, and their places among those who wait
-- for word. ARGV[2]: how much of a crash it counts as. ARGV[3] and on: queues. Answers how many leases.
local freed, at = 0, now()
for _, held in ipairs(redis.call('ZRANGEBYLEX', 'cs:owners', '[' .. ARGV[1], '[' .. ARGV[1] .. '\255')) do
  local queue, portal, id, step = split(string.match(held, '^[^|]*|(.*)$'))
  drop_lease(queue, portal, id, step)
  redis.call('ZREM', 'cs:owners', held)
  if redis.call('EXISTS', job_key(id)) == 1 then
    local what = 'released'
    if ARGV[2] ~= '0' then
      count(job_key(id), 'lost:' .. step, tonumber(ARGV[2]))
      count_lost(step)
      what = 'lost'
    else
      count(job_key(id), 'tries:' .. step, -1)
      count(job_key(id), 'doubt:' .. step, 1) -- what it had sent may have been served
    end
    redis.call('RPUSH', job_key(id) .. ':events', cjson.encode({at = at, step = step, what = what, attempt = 1}))
    make_ready(portal, id, step, queue)
    freed = freed + 1
  end
end
for i = 3, #ARGV do
  for _, urgent in ipairs({false, true}) do
    for _, owner in ipairs(redis.call('ZRANGE', waiters_key(ARGV[i], urgent), 0, -1)) do
      if string.sub(owner, 1, #ARGV[1]) == ARGV[1] then unlist(ARGV[i], owner) end
    end
  end
end
local unheard = redis.call('LPOP', 'cs:word:' .. ARGV[1])
if unheard then news[#news + 1] = {unheard, false} end
settle()
tell()
return freed
