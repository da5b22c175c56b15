-- Before a paid call: is there an answer, does somebody else ask, is the provider down or full, may the portal spend?
-- ARGV: JSON {key, id, step, fence, portal, day, seconds, cap (0: none), gates: [breakers], provider, places}
-- The place at the provider is held as long as the lease of the step that took it.
-- Answers {"answer", raw}, {"wait"}, {"closed", breaker, seconds}, {"full"}, {"capped"}, {"gone"} (the job was erased)
-- or {"go"}
local t, at = cjson.decode(ARGV[1]), now()
local key, usage, slots = job_key(t.id), 'cs:usage:' .. t.portal .. ':' .. t.day, 'cs:slots:' .. t.provider
local me = t.id .. '|' .. t.step .. '|' .. t.fence
if redis.call('EXISTS', key) == 0 then return {'gone'} end
local held = redis.call('GET', t.key)
if held and string.sub(held, 1, 1) ~= '@' then return {'answer', held} end
local other = held and string.sub(held, 2)
if other then
  local id, step, fence = string.match(other, '^([^|]*)|([^|]*)|(.*)$')
  if other ~= me and lease_of(id, step) == fence then return {'wait'} end
end
for _, name in ipairs(t.gates) do
  local wait = gate(name, at)
  if wait > 0 then return {'closed', name, tostring(wait)} end
end
if redis.call('SISMEMBER', slots, me) == 0 then
  if lease_of(t.id, t.step) ~= t.fence or redis.call('SCARD', slots) >= t.places then return {'full'} end
end
if t.cap > 0 and tonumber(redis.call('HGET', usage, 'reserved_seconds') or '0') + t.seconds > t.cap then
  return {'capped'}
end
-- whoever asked before has left no word of it: that call may have been paid
if other then
  redis.call('HINCRBY', usage, 'repeated_calls', 1)
  tally('callscribe_repeated_calls', t.portal, '')
end
redis.call('SADD', slots, me)
redis.call('HSET', key, 'place:' .. t.step, t.provider)
redis.call('HINCRBYFLOAT', usage, 'reserved_seconds', t.seconds)
redis.call('SET', t.key, '@' .. me, 'EX', 172800)
redis.call('SADD', key .. ':paid', t.key)
return {'go'}
