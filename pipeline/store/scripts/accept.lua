-- ARGV: id, JSON {fields of the record (strings), dues, quota: [jobs, bytes]}, the field `request`
-- Answers {"new"|"known"|"full", digest of the body that made the job, queues to tell of ...}
local id, head = ARGV[1], cjson.decode(ARGV[2])
local fields, key, at = head.fields, job_key(id), now()
if redis.call('EXISTS', key) == 1 then
  return {'known', redis.call('HGET', key, 'digest') or ''}
end
local taken = tonumber(redis.call('HGET', 'cs:bytes', fields.portal) or '0')
if redis.call('SCARD', 'cs:open:' .. fields.portal) >= head.quota[1] or taken + #ARGV[3] > head.quota[2] then
  return {'full', ''}
end
-- the store's clock is the one that counts: what the accepting host calls now is shifted onto it
local shift = at - tonumber(fields.accepted_at)
fields.accepted_at = string.format('%.6f', at)
fields.deadline = string.format('%.6f', tonumber(fields.deadline) + shift)
local flat = {}
for name, value in pairs(fields) do
  flat[#flat + 1] = name
  flat[#flat + 1] = value
end
redis.call('HSET', key, 'rev', '1', 'request', ARGV[3], unpack(flat))
open(fields.portal, id)
redis.call('ZADD', 'cs:jobs', fields.accepted_at, id)
redis.call('RPUSH', key .. ':events', cjson.encode({at = at, step = 'accept', what = 'accepted'}))
for _, due in ipairs(head.dues) do
  if tonumber(due[3]) > 0 then due[3] = due[3] + shift end
  schedule(at, id, fields.portal, due)
end
settle()
return {'new', fields.digest, unpack(news)}
