-- ARGV, of each job: id, JSON {fields of the record (strings), dues, quota: [jobs, bytes]}, the field `request`
-- Answers of each {"new"|"known"|"full", digest of the body that made the job, queues to tell of ...}, or its error
local function accept(at, id, head, request)
  head = cjson.decode(head)
  local fields, key = head.fields, job_key(id)
  if redis.call('EXISTS', key) == 1 then
    return {'known', redis.call('HGET', key, 'digest') or ''}
  end
  local taken = tonumber(redis.call('HGET', 'cs:bytes', fields.portal) or '0')
  if redis.call('SCARD', 'cs:open:' .. fields.portal) >= head.quota[1] or taken + #request > head.quota[2] then
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
  redis.call('HSET', key, 'rev', '1', 'request', request, unpack(flat))
  open(fields.portal, id)
  redis.call('ZADD', 'cs:jobs', fields.accepted_at, id)
  redis.call('RPUSH', key .. ':events', cjson.encode({at = at, step = 'accept', what = 'accepted'}))
  for _, due in ipairs(head.dues) do
    if tonumber(due[3]) > 0 then due[3] = due[3] + shift end
    schedule(at, id, fields.portal, due)
  end
  return {'new', fields.digest, unpack(tell())}
end

local at, answers = now(), {}
for i = 1, #ARGV, 3 do
  news = {}
  local went, answer = pcall(accept, at, ARGV[i], ARGV[i + 1], ARGV[i + 2])
  answers[#answers + 1] = (went or type(answer) == 'table') and answer or {err = tostring(answer)}
  at = at + 0.000001 -- the script's own clock stands; lists go by the moment of acceptance
end
settle()
return answers
