-- The nearest deadlines of unfinished jobs. ARGV: categories. Answers for each {deadline, portal, id}, or {}.
local found = {}
for i = 1, #ARGV do
  local key, nearest = 'cs:deadlines:' .. ARGV[i], {}
  for _ = 1, 100 do -- what a process of another version has finished stands here still
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if not first[1] then break end
    local portal, id = string.match(first[1], '^([^|]*)|(.*)$')
    if redis.call('SISMEMBER', 'cs:open:' .. portal, id) == 1 then
      nearest = {first[2], portal, id}
      break
    end
    redis.call('ZREM', key, first[1])
  end
  found[i] = nearest
end
return found
