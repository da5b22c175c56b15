-- How long portals have waited. ARGV: queue, portals. Answers for each when its longest waiting step became ready, or "".
local found = {}
for i = 2, #ARGV do
  local key, since = waits_key(ARGV[1], ARGV[i]), ''
  for _ = 1, 100 do -- what a process of another version has taken stands here still
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if not first[1] then break end
    if redis.call('ZSCORE', ready_key(ARGV[1], ARGV[i]), first[1]) then
      since = first[2]
      break
    end
    redis.call('ZREM', key, first[1])
  end
  found[#found + 1] = since
end
return found
