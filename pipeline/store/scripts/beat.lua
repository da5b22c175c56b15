-- A process is alive. ARGV: its name, JSON of what it says of itself.
redis.call('HSET', 'cs:processes', ARGV[1], string.format('%.3f', now()) .. ' ' .. ARGV[2])
return 1
