-- A circuit breaker. ARGV: name, verb (ask, fail), trip after, period, longest period
-- ask: whether it has seen a failure (0: no), seconds to wait (0: go). fail: counts, opens; what closes it again is that its key goes.
local key, at = 'cs:gate:' .. ARGV[1], now()
if ARGV[2] == 'ask' then return {redis.call('EXISTS', key), tostring(gate(ARGV[1], at))} end
local f = redis.call('HMGET', key, 'failures', 'period')
local failures, period = tonumber(f[1] or '0') + 1, tonumber(f[2] or '0')
redis.call('HSET', key, 'failures', failures)
if failures >= tonumber(ARGV[3]) then
  period = math.min(math.max(period * 2, tonumber(ARGV[4])), tonumber(ARGV[5]))
  redis.call('HSET', key, 'open_until', at + period, 'period', period)
end
redis.call('EXPIRE', key, 3600)
return tostring(period)
