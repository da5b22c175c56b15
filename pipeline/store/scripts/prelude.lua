-- Shared by every script. Keys:
--   cs:job:ID                hash    the record: fields of the job, fact:STEP, tries:STEP, lost:STEP, lease:STEP
--   cs:job:ID:events         list    JSON events
--   cs:job:ID:deliveries     list    JSON deliveries
--   cs:ready:QUEUE           set     portals with ready work
--   cs:ready:QUEUE:PORTAL    zset    ID|STEP by urgency, then deadline
--   cs:running:QUEUE:PORTAL  set     ID|STEP under a lease
--   cs:served:QUEUE          hash    portal -> number of the claim that served it last
--   cs:later                 zset    QUEUE|PORTAL|ID|STEP by due time
--   cs:leases                zset    QUEUE|PORTAL|ID|STEP by expiry
--   cs:jobs, cs:open:PORTAL  zset, set   index by time of acceptance; jobs without an outcome
--   cs:looked                string  when somebody last looked for what is due
-- Time is the server's own.
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local function job_key(id) return 'cs:job:' .. id end

local function split(member)
  local queue, portal, id, step = string.match(member, '^([^|]*)|([^|]*)|([^|]*)|(.*)$')
  return queue, portal, id, step
end

-- urgency, lowest first: 0 text and image (a person waits), 1 outcomes, 2 the rest
local function make_ready(queue, portal, id, step)
  local f = redis.call('HMGET', job_key(id), 'deadline', 'category', 'accepted_at')
  if not f[1] then return end
  local urgency = 2
  if f[2] == 'text' or f[2] == 'image' then
    urgency = 0
  elseif step == 'callback' or step == 'expire' then
    urgency = 1
  end
  redis.call('ZADD', 'cs:ready:' .. queue .. ':' .. portal, urgency * 1e11 + tonumber(f[1]), id .. '|' .. step)
  redis.call('SADD', 'cs:ready:' .. queue, portal)
end

-- longer than any pause between two looks: the server was away, or hung, and so was every heartbeat
local AWAY_SECONDS = 2.5

-- moves what is due, and what its worker has lost, to ready
local function tick(at)
  local looked = tonumber(redis.call('GET', 'cs:looked') or '0')
  if at - looked > AWAY_SECONDS and looked > 0 then -- leases stand still meanwhile: their workers may well live
    local leases = redis.call('ZRANGE', 'cs:leases', 0, -1, 'WITHSCORES')
    for i = 1, #leases, 2 do redis.call('ZADD', 'cs:leases', leases[i + 1] + at - looked, leases[i]) end
  end
  if at - looked > AWAY_SECONDS / 10 then redis.call('SET', 'cs:looked', string.format('%.6f', at)) end
  local due = redis.call('ZRANGEBYSCORE', 'cs:later', '-inf', at, 'LIMIT', 0, 200)
  for _, member in ipairs(due) do
    redis.call('ZREM', 'cs:later', member)
    make_ready(split(member))
  end
  local gone = redis.call('ZRANGEBYSCORE', 'cs:leases', '-inf', at, 'LIMIT', 0, 200)
  for _, member in ipairs(gone) do
    local queue, portal, id, step = split(member)
    redis.call('ZREM', 'cs:leases', member)
    redis.call('SREM', 'cs:running:' .. queue .. ':' .. portal, id .. '|' .. step)
    if redis.call('EXISTS', job_key(id)) == 1 then
      redis.call('HDEL', job_key(id), 'lease:' .. step)
      redis.call('HINCRBY', job_key(id), 'lost:' .. step, 1)
      redis.call('RPUSH', job_key(id) .. ':events',
        cjson.encode({at = at, step = step, what = 'lost', attempt = 1}))
      make_ready(queue, portal, id, step)
    end
  end
  return #due + #gone
end

local function drop_lease(member, id, step)
  local queue, portal = split(member)
  redis.call('ZREM', 'cs:leases', member)
  redis.call('SREM', 'cs:running:' .. queue .. ':' .. portal, id .. '|' .. step)
  redis.call('HDEL', job_key(id), 'lease:' .. step)
end

-- one due step: [step, queue, at, how]; at 0 is now; a step that waits already stays as it is, unless how is "expedite"
local function schedule(at, id, portal, due)
  local step, queue, when = due[1], due[2], tonumber(due[3])
  local key = job_key(id)
  if redis.call('HEXISTS', key, 'fact:' .. step) == 1 or redis.call('HEXISTS', key, 'lease:' .. step) == 1 then
    return
  end
  if redis.call('ZSCORE', 'cs:ready:' .. queue .. ':' .. portal, id .. '|' .. step) then return end
  local member = queue .. '|' .. portal .. '|' .. id .. '|' .. step
  local waits = redis.call('ZSCORE', 'cs:later', member)
  if waits and (due[4] ~= 'expedite' or tonumber(waits) <= when) then return end
  if when > at then
    redis.call('ZADD', 'cs:later', when, member)
  else
    redis.call('ZREM', 'cs:later', member)
    make_ready(queue, portal, id, step)
  end
end

local function append(key, items)
  for _, item in ipairs(items) do redis.call('RPUSH', key, item) end
end
