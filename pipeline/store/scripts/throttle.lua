-- A leaky bucket by the server's clock; who waits has a turn kept, so that it asks once more and not again and
-- again. ARGV: name, rate per second, burst, verb, who
--   ask: one request, if it fits below the burst; else a turn is kept for `who` ('': for nobody)
--   take: one more request of who had a turn: counted, never refused.   fill: the other side says it is full
-- Answers seconds to wait (0: go).
local key, rate, burst, at = 'cs:bucket:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), now()
local verb, who, turns = ARGV[4], ARGV[5], 'cs:turns:' .. ARGV[1]
local UNUSED_SECONDS = 60 -- whoever does not come for its turn by then has gone
local f = redis.call('HMGET', key, 'level', 'at')
local level = math.max(0, tonumber(f[1] or '0') - (at - tonumber(f[2] or at)) * rate)
local wait = 0
if verb == 'fill' then
  level = math.max(level, burst)
else
  if verb == 'ask' then
    redis.call('ZREMRANGEBYSCORE', turns, '-inf', at - UNUSED_SECONDS)
    local turn = who ~= '' and redis.call('ZSCORE', turns, who)
    if turn then
      if tonumber(turn) > at then return tostring(tonumber(turn) - at) end
      redis.call('ZREM', turns, who)
      return '0'
    end
    wait = math.max(0, (level + 1 - burst) / rate)
    if wait > 0 then
      if who == '' then return tostring(wait) end
      redis.call('ZADD', turns, at + wait, who)
      redis.call('EXPIRE', turns, math.ceil(wait) + UNUSED_SECONDS)
    end
  end
  level = level + 1
end
redis.call('HSET', key, 'level', level, 'at', string.format('%.6f', at))
redis.call('EXPIRE', key, math.ceil(level / rate) + 1)
return tostring(wait)
