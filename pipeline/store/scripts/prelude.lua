-- Shared by every script. Keys:
--   cs:job:ID                hash    the record: fields of the job, fact:STEP, tries:STEP, lost:STEP, doubt:STEP, and
--                                    due:STEP    "QUEUE URGENCY" until the step is done
--                                    lease:STEP  "FENCE OWNER QUEUE" while a worker holds it
--                                    place:STEP  the provider at which that worker holds a place
--   cs:job:ID:events         list    JSON events
--   cs:job:ID:deliveries     list    JSON deliveries
--   cs:ready:QUEUE:PORTAL    zset    ID|STEP by urgency, then deadline
--   cs:running:QUEUE:PORTAL  set     ID|STEP under a lease
--   cs:fair:QUEUE            zset    whom a claim may serve, the fairest first: the portal's turn by steps running
--   cs:fair:QUEUE:urgent     zset    of those, whose first step is urgent
--   cs:turns:QUEUE           hash    portal -> its turn: "SERVED FIRST PORTAL", digits of one width
--   cs:served:QUEUE          hash    portal -> number of the claim that served it last
--   cs:limits:QUEUE          hash    portal -> how many of its steps may run at a time
--   cs:depth                 hash    queue -> steps ready
--   cs:waits:QUEUE:PORTAL    zset    ID|STEP by when it became ready
--   cs:waiters:QUEUE         zset    turns that wait for word of the queue's work, by when they began to
--   cs:waiters:QUEUE:urgent  zset    of those, who may take urgent steps alone
--   cs:word:OWNER            list    what wakes that turn
--   cs:later                 zset    QUEUE|PORTAL|ID|STEP by due time
--   cs:leases                zset    QUEUE|PORTAL|ID|STEP by expiry, on the clock that stands while the store is away
--   cs:owners                zset    OWNER|QUEUE|PORTAL|ID|STEP in order of letters
--   cs:slots:PROVIDER        set     ID|STEP|FENCE that have a place there
--   cs:jobs, cs:open:PORTAL  zset, set   index by time of acceptance; jobs without an outcome
--   cs:deadlines:CATEGORY    zset    PORTAL|ID of those without an outcome, by deadline
--   cs:held:PORTAL           zset    those that wait for a refused account, by since when
--   cs:bytes                 hash    portal -> bytes of the records of its unfinished jobs
--   cs:counted               hash    JSON [metric, label, ...] -> what all processes have counted, for good
--   cs:processes             hash    name of a process -> when it last said that it lives, and what of itself
--   cs:looked, cs:away       string  when somebody last looked for what is due; seconds that nobody could
--   cs:fence, cs:epoch       string  the running number of claims and looks; the store's own name
--   cs:back                  string  when it was seen that the store had gone back, until that is settled
--   cs:layout                string  which version of this list the keys follow
-- Time is the server's own. No script walks anything that grows with portals, jobs or leases.
local DEFAULT_LIMIT = 8

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local function job_key(id) return 'cs:job:' .. id end

local function ready_key(queue, portal) return 'cs:ready:' .. queue .. ':' .. portal end

local function waits_key(queue, portal) return 'cs:waits:' .. queue .. ':' .. portal end

local function running_key(queue, portal) return 'cs:running:' .. queue .. ':' .. portal end

local function join(queue, portal, id, step) return queue .. '|' .. portal .. '|' .. id .. '|' .. step end

local function split(member)
  return string.match(member, '^([^|]*)|([^|]*)|([^|]*)|(.*)$')
end

-- a field as a number; `default` where it is none, or was damaged
local function number(key, field, default)
  local n = tonumber(redis.call('HGET', key, field) or nil)
  return n and math.abs(n) < 1e11 and n or default
end

-- HINCRBY that a damaged field does not stop
local function count(key, field, by)
  local n = math.floor(number(key, field, 0)) + by
  redis.call('HSET', key, field, n)
  return n
end

-- what telemetry/metrics.py declares, and a script alone can count
local function tally(...) redis.call('HINCRBYFLOAT', 'cs:counted', cjson.encode({...}), 1) end

local function count_lost(step) tally('callscribe_steps_lost', string.match(step, '^[^:]*')) end

local function append(key, items)
  for _, item in ipairs(items) do redis.call('RPUSH', key, item) end
end

-- the clock of leases: it stands while the store is away, since nobody can renew one meanwhile
local function lived(at) return at - tonumber(redis.call('GET', 'cs:away') or '0') end

-- A portal's unfinished jobs, and the bytes of their records, which are bounded: those of what outsiders make long, the
-- request, what was found, and what was put aside.
local function weighs(field)
  return field == 'request' or string.match(field, '^fact:') or string.match(field, '^aside:')
end

-- known: the job was there before, and has more than its request.
local function open(portal, id, known)
  if redis.call('SADD', 'cs:open:' .. portal, id) == 0 then return end
  local bytes = 0
  for _, field in ipairs(known and redis.call('HKEYS', job_key(id)) or {'request'}) do
    if weighs(field) then bytes = bytes + redis.call('HSTRLEN', job_key(id), field) end
  end
  redis.call('HSET', job_key(id), 'bytes', bytes)
  redis.call('HINCRBY', 'cs:bytes', portal, bytes)
  local category = redis.call('HGET', job_key(id), 'category') or ''
  redis.call('ZADD', 'cs:deadlines:' .. category, number(job_key(id), 'deadline', 0), portal .. '|' .. id)
end

local function weigh(portal, id, by)
  if by == 0 or redis.call('SISMEMBER', 'cs:open:' .. portal, id) == 0 then return end
  count(job_key(id), 'bytes', by)
  redis.call('HINCRBY', 'cs:bytes', portal, by)
end

local function close(portal, id)
  redis.call('ZREM', 'cs:held:' .. portal, id)
  if redis.call('SREM', 'cs:open:' .. portal, id) == 0 then return end
  if redis.call('HINCRBY', 'cs:bytes', portal, -number(job_key(id), 'bytes', 0)) <= 0 then
    redis.call('HDEL', 'cs:bytes', portal)
  end
  redis.call('HDEL', job_key(id), 'bytes')
  redis.call('ZREM', 'cs:deadlines:' .. (redis.call('HGET', job_key(id), 'category') or ''), portal .. '|' .. id)
end

-- fair choice -----------------------------------------------------------------------------------------------
-- A portal's turn changes with its first ready step, with what runs of it, and when it is served: each script
-- touches the portals whose turn may have changed, and ends by putting them in their places.
local touched = {}

local function limit_of(queue, portal)
  return tonumber(redis.call('HGET', 'cs:limits:' .. queue, portal) or DEFAULT_LIMIT)
end

local function touch(queue, portal) touched[queue .. '|' .. portal] = {queue, portal} end

local function place(queue, portal)
  local fair, turns = 'cs:fair:' .. queue, 'cs:turns:' .. queue
  local before = redis.call('HGET', turns, portal)
  local first = redis.call('ZRANGE', ready_key(queue, portal), 0, 0, 'WITHSCORES')
  local running, urgent, turn = 0, false, nil
  if first[1] then
    running = redis.call('SCARD', running_key(queue, portal))
    urgent = tonumber(first[2]) < URGENT_BELOW * 1e11
    -- what is urgent may pass a portal's own limit
    if urgent or running < limit_of(queue, portal) then
      local served = tonumber(redis.call('HGET', 'cs:served:' .. queue, portal) or '0')
      turn = string.format('%016d %020.6f %s', served, tonumber(first[2]), portal)
    end
  end
  if before and before ~= turn then
    redis.call('ZREM', fair, before)
    redis.call('ZREM', fair .. ':urgent', before)
    if not turn then redis.call('HDEL', turns, portal) end
  end
  if turn then
    redis.call('ZADD', fair, running, turn)
    redis.call(urgent and 'ZADD' or 'ZREM', fair .. ':urgent', unpack(urgent and {running, turn} or {turn}))
    if before ~= turn then redis.call('HSET', turns, portal, turn) end
  end
end

local function settle()
  for _, pair in pairs(touched) do place(pair[1], pair[2]) end
  touched = {}
end

-- who is told ------------------------------------------------------------------------------------------------
-- What workers are to be told of, {queue, urgent, ID|STEP} for each step that has become ready. A turn that found
-- nothing waits a while: it is listed, and wakes with the transition that makes a step ready.
local news = {}

local function waiters_key(queue, urgent) return 'cs:waiters:' .. queue .. (urgent and ':urgent' or '') end

local function unlist(queue, owner)
  redis.call('ZREM', waiters_key(queue, false), owner)
  redis.call('ZREM', waiters_key(queue, true), owner)
end

local function list(queue, owner, urgent_only, at)
  local key = waiters_key(queue, urgent_only)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', at - MOST_WAIT_SECONDS)
  redis.call('ZREM', waiters_key(queue, not urgent_only), owner)
  redis.call('ZADD', key, 'NX', at, owner)
end

-- Wakes the turn that began to wait last, so that those which are not needed come to their end; whether there is one.
local function wake(queue, urgent_only)
  local key = waiters_key(queue, urgent_only)
  local last = redis.call('ZPOPMAX', key)
  if not last[1] then return false end
  if tonumber(last[2]) < now() - MOST_WAIT_SECONDS then -- and so have all the others
    redis.call('DEL', key)
    return false
  end
  redis.call('RPUSH', 'cs:word:' .. last[1], queue)
  redis.call('EXPIRE', 'cs:word:' .. last[1], MOST_WAIT_SECONDS)
  return true
end

-- Wakes one turn for each step that has become ready. Answers the queues of those that none has waited for.
local function tell()
  local untold = {}
  for _, step in ipairs(news) do
    local queue, urgent = step[1], step[2]
    if not (urgent and wake(queue, true) or wake(queue, false)) then untold[#untold + 1] = queue end
  end
  news = {}
  return untold
end

-- where a step stands ---------------------------------------------------------------------------------------

-- known: the queue as an index has it, should the field be damaged
local function due_of(id, step, known)
  local due = redis.call('HGET', job_key(id), 'due:' .. step)
  if not due then return end
  local queue, urgency = string.match(due, '^(%S+) (%d+)$')
  return queue or known, urgency or URGENT_BELOW
end

local function make_ready(portal, id, step, known)
  local deadline = number(job_key(id), 'deadline', 0)
  local queue, urgency = due_of(id, step, known)
  if not queue then return end
  local score = tonumber(urgency) * 1e11 + math.max(deadline, 0)
  if redis.call('ZADD', ready_key(queue, portal), score, id .. '|' .. step) == 1 then
    redis.call('HINCRBY', 'cs:depth', queue, 1)
    redis.call('ZADD', waits_key(queue, portal), 'NX', now(), id .. '|' .. step)
    -- of one behind as many as may run at a time nobody has to be told: whoever ends one of those goes on with it
    if redis.call('ZRANK', ready_key(queue, portal), id .. '|' .. step) < limit_of(queue, portal) then
      news[#news + 1] = {queue, tonumber(urgency) < URGENT_BELOW, id .. '|' .. step}
    end
  end
  touch(queue, portal)
end

local function unready(queue, portal, member)
  if redis.call('ZREM', ready_key(queue, portal), member) == 1 then
    redis.call('HINCRBY', 'cs:depth', queue, -1)
    redis.call('ZREM', waits_key(queue, portal), member)
    touch(queue, portal)
    return true
  end
end

-- the step waits no longer, neither for its time nor for a worker
local function cancel(portal, id, step)
  local queue = due_of(id, step)
  if queue then
    unready(queue, portal, id .. '|' .. step)
    redis.call('ZREM', 'cs:later', join(queue, portal, id, step))
  end
  redis.call('HDEL', job_key(id), 'due:' .. step)
end

-- The fence and the owner of a step's lease, and the queue that it was claimed from.
local function lease_of(id, step)
  local lease = redis.call('HGET', job_key(id), 'lease:' .. step)
  if lease then return string.match(lease, '^(%d+) (%S*) ?(%S*)$') end
end

local function drop_lease(queue, portal, id, step)
  local fence, owner = lease_of(id, step)
  local member = join(queue, portal, id, step)
  redis.call('ZREM', 'cs:leases', member)
  redis.call('SREM', running_key(queue, portal), id .. '|' .. step)
  touch(queue, portal)
  if not fence then return end
  redis.call('ZREM', 'cs:owners', owner .. '|' .. member)
  local provider = redis.call('HGET', job_key(id), 'place:' .. step)
  if provider then redis.call('SREM', 'cs:slots:' .. provider, id .. '|' .. step .. '|' .. fence) end
  redis.call('HDEL', job_key(id), 'lease:' .. step, 'place:' .. step)
end

-- One due step: [step, queue, at, how, urgency]; at 0 is now. One that waits already keeps its time, unless how is
-- "expedite"; its queue and urgency may change, also while it is under a lease, for the time after that.
local function schedule(at, id, portal, due)
  local step, queue, when, how = due[1], due[2], tonumber(due[3]), due[4]
  local key, named = job_key(id), queue .. ' ' .. (due[5] or URGENT_BELOW)
  if redis.call('HEXISTS', key, 'fact:' .. step) == 1 then return end
  local before = due_of(id, step)
  local leased = redis.call('HEXISTS', key, 'lease:' .. step) == 1
  if before and not leased then
    local moves = redis.call('HGET', key, 'due:' .. step) ~= named
    local was_ready = redis.call('ZSCORE', ready_key(before, portal), id .. '|' .. step)
    local waits = tonumber(redis.call('ZSCORE', 'cs:later', join(before, portal, id, step)) or nil)
    if not moves and (was_ready or (waits and (how ~= 'expedite' or waits <= when))) then return end
    if was_ready then
      when = 0
    elseif waits and how ~= 'expedite' then
      when = waits
    elseif waits then
      when = math.min(when, waits)
    end
    cancel(portal, id, step)
  end
  redis.call('HSET', key, 'due:' .. step, named)
  if leased then return end
  if when > at then
    redis.call('ZADD', 'cs:later', when, join(queue, portal, id, step))
  else
    make_ready(portal, id, step)
  end
end

-- Seconds to wait at a circuit breaker (0: go); while it is open one probe per period goes.
local function gate(name, at)
  local key = 'cs:gate:' .. name
  local f = redis.call('HMGET', key, 'open_until', 'period')
  local open_until, period = tonumber(f[1] or '0'), tonumber(f[2] or '0')
  if open_until == 0 then return 0 end
  if at < open_until then return open_until - at end
  redis.call('HSET', key, 'open_until', at + math.max(period, 1))
  return 0
end

-- longer than any pause between two looks: the server was away, or hung, and so was every heartbeat
local AWAY_SECONDS = 2.5

-- moves what is due, and what its worker has lost, to ready
local function tick(at)
  local looked = tonumber(redis.call('GET', 'cs:looked') or '0')
  if at - looked > AWAY_SECONDS and looked > 0 then -- the workers may well live
    redis.call('INCRBYFLOAT', 'cs:away', string.format('%.6f', at - looked))
  end
  if at - looked > AWAY_SECONDS / 10 then redis.call('SET', 'cs:looked', string.format('%.6f', at)) end
  local due = redis.call('ZRANGEBYSCORE', 'cs:later', '-inf', at, 'LIMIT', 0, 200)
  for _, member in ipairs(due) do
    redis.call('ZREM', 'cs:later', member)
    local queue, portal, id, step = split(member)
    make_ready(portal, id, step, queue)
  end
  local gone = redis.call('ZRANGEBYSCORE', 'cs:leases', '-inf', lived(at), 'LIMIT', 0, 200)
  for _, member in ipairs(gone) do
    local queue, portal, id, step = split(member)
    drop_lease(queue, portal, id, step)
    if redis.call('EXISTS', job_key(id)) == 1 then
      count(job_key(id), 'lost:' .. step, 1)
      count_lost(step)
      redis.call('RPUSH', job_key(id) .. ':events',
        cjson.encode({at = at, step = step, what = 'lost', attempt = 1}))
      make_ready(portal, id, step, queue)
    end
  end
end

-- The fairest due work: fewest running, then least recently served, then nearest deadline.
-- waits (nil: it never does): whether the owner waits for word where nothing is due; if not, it is listed no longer.
-- Answers {} or {id, step, portal, fence, tries, lost, deadline, the record's fields and values}; an empty id: ask
-- again.
local function claim(queue, owner, lease, urgent_only, waits)
  local at, before = now(), #news
  tick(at)
  settle()
  -- what nobody waits for and has become due is for the next look to tell of: it need not begin beside this
  for i = #news, before + 1, -1 do
    if news[i][1] == BACKGROUND and queue ~= BACKGROUND then table.remove(news, i) end
  end
  local turn = redis.call('ZRANGE', 'cs:fair:' .. queue .. (urgent_only and ':urgent' or ''), 0, 0)[1]
  if waits ~= nil then
    redis.call('DEL', 'cs:word:' .. owner) -- what it told of is looked for here
    if waits and not turn then list(queue, owner, urgent_only, at) else unlist(queue, owner) end
  end
  if not turn then
    -- what it may not take, and was perhaps woken for
    if urgent_only and redis.call('EXISTS', 'cs:fair:' .. queue) == 1 then wake(queue, false) end
    return {}
  end
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
end
