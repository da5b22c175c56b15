-- A circuit breaker. ARGV: name, verb (ask, pass, fail), trip after, period, longest period
-- ask: seconds to wait (0: go; while open one probe per period goes). pass: closes. fail: counts, opens.
local key, at = 'cs:gate:' .. ARGV[1], now()
local f = redis.call('HMGET', key, 'failures', 'open_until', 'period')
local failures, open_until, period = tonumber(f[1] or '0'), tonumber(f[2] or '0'), tonumber(f[3] or '0')
if ARGV[2] == 'pass' then
  redis.call('DEL', key)
  return '0'
end
if ARGV[2] == 'fail' then
  failures = failures + 1
  redis.call('HSET', key, 'failures', failures)
  if failures >= tonumber(ARGV[3]) then
    period = math.min(math.max(period * 2, tonumber(ARGV[4])), tonumber(ARGV[5]))
    redis.call('HSET', key, 'open_until', at + period, 'period', period)
  end
  redis.call('EXPIRE', key, 3600)
  return tostring(period)
end
if open_until == 0 then return '0' end
if at >= open_until then
  redis.call('HSET', key, 'open_until', at + math.max(period, 1))
  return '0'
end
return tostring(open_until - at)
