-- Before a paid call: is there an answer, does somebody else ask, may the portal spend?
-- ARGV: key, id, step, fence, portal, day, seconds, cap (0: none)
-- Answers {"answer", raw}, {"wait"}, {"capped"}, {"gone"} (the job was erased) or {"go"}
if redis.call('EXISTS', job_key(ARGV[2])) == 0 then return {'gone'} end
local held = redis.call('GET', ARGV[1])
if held and string.sub(held, 1, 1) ~= '@' then return {'answer', held} end
if held then
  local id, step, fence = string.match(held, '^@([^|]*)|([^|]*)|(.*)$')
  if lease_of(id, step) == fence and not (id == ARGV[2] and step == ARGV[3] and fence == ARGV[4]) then
    return {'wait'}
  end
  -- whoever asked before has left no word of it: that call may have been paid
  redis.call('HINCRBY', 'cs:usage:' .. ARGV[5] .. ':' .. ARGV[6], 'repeated_calls', 1)
  tally('callscribe_repeated_calls', ARGV[5], '')
end
local cap = tonumber(ARGV[8])
if cap > 0 then
  local spent = tonumber(redis.call('HGET', 'cs:usage:' .. ARGV[5] .. ':' .. ARGV[6], 'reserved_seconds') or '0')
  if spent + tonumber(ARGV[7]) > cap then return {'capped'} end
end
redis.call('HINCRBYFLOAT', 'cs:usage:' .. ARGV[5] .. ':' .. ARGV[6], 'reserved_seconds', ARGV[7])
redis.call('SET', ARGV[1], '@' .. ARGV[2] .. '|' .. ARGV[3] .. '|' .. ARGV[4], 'EX', 172800)
redis.call('SADD', job_key(ARGV[2]) .. ':paid', ARGV[1])
return {'go'}
