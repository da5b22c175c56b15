-- The fairest due work: fewest running, then least recently served, then nearest deadline.
-- ARGV: queue, owner, lease_seconds, urgent_only (0/1: outcomes, and what a person waits for), limits (JSON: portal -> at most running), default limit
-- Answers {} or {id, step, portal, fence, tries, lost, deadline}
local queue, owner, lease, only, limits = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', cjson.decode(ARGV[5])
local at = now()
tick(at)
local best, best_member
for _, portal in ipairs(redis.call('SMEMBERS', 'cs:ready:' .. queue)) do
  local ready = 'cs:ready:' .. queue .. ':' .. portal
  local first = redis.call('ZRANGE', ready, 0, 0, 'WITHSCORES')
  if #first == 0 then
    redis.call('SREM', 'cs:ready:' .. queue, portal)
  elseif not (only and tonumber(first[2]) >= 2e11) then
    local running = redis.call('SCARD', 'cs:running:' .. queue .. ':' .. portal)
    -- outcomes and what a person waits for may pass a portal's own limit
    if running < (limits[portal] or tonumber(ARGV[6])) or tonumber(first[2]) < 2e11 then
      local served = tonumber(redis.call('HGET', 'cs:served:' .. queue, portal) or '0')
      local rank = {running, served, tonumber(first[2])}
      local better = best == nil
      for i = 1, 3 do
        if best ~= nil and rank[i] ~= best[i] then
          better = rank[i] < best[i]
          break
        end
      end
      if better then best, best_member = rank, {portal, first[1]} end
    end
  end
end
if not best then return {} end
local portal, member = best_member[1], best_member[2]
local id, step = string.match(member, '^([^|]*)|(.*)$')
redis.call('ZREM', 'cs:ready:' .. queue .. ':' .. portal, member)
local key = job_key(id)
if redis.call('EXISTS', key) == 0 or redis.call('HEXISTS', key, 'fact:' .. step) == 1 then
  return {'', '', '', '', '', '', ''} -- erased or done meanwhile: ask again
end
local fence = redis.call('INCR', 'cs:fence')
redis.call('HSET', 'cs:served:' .. queue, portal, fence)
redis.call('SADD', 'cs:running:' .. queue .. ':' .. portal, member)
redis.call('ZADD', 'cs:leases', at + lease, queue .. '|' .. portal .. '|' .. member)
redis.call('HSET', key, 'lease:' .. step, fence .. ' ' .. owner)
local tries = redis.call('HINCRBY', key, 'tries:' .. step, 1)
local lost = redis.call('HGET', key, 'lost:' .. step) or '0'
return {id, step, portal, tostring(fence), tostring(tries), lost, redis.call('HGET', key, 'deadline')}
