-- A paid answer, kept before anything reads it, with what it took; its place is free, and its breakers close.
-- ARGV: JSON {key, id, seconds, usage: key of the portal's day, amounts: {name: amount}, usage_seconds,
--   counted: {series: amount}, gates: [breakers], provider, place}, the answer
local t = cjson.decode(ARGV[1])
redis.call('SREM', 'cs:slots:' .. t.provider, t.place)
if redis.call('GET', t.key) == ARGV[2] then return 1 end -- said twice, since no answer had come
for name, amount in pairs(t.amounts) do redis.call('HINCRBYFLOAT', t.usage, name, amount) end
for series, amount in pairs(t.counted) do redis.call('HINCRBYFLOAT', 'cs:counted', series, amount) end
redis.call('EXPIRE', t.usage, t.usage_seconds)
for _, name in ipairs(t.gates) do redis.call('DEL', 'cs:gate:' .. name) end
if redis.call('EXISTS', job_key(t.id)) == 0 then return 0 end -- it was erased
redis.call('SET', t.key, ARGV[2], 'EX', t.seconds)
redis.call('SADD', job_key(t.id) .. ':paid', t.key)
return 1
