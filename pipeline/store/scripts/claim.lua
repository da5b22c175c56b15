-- ARGV: queue, owner, lease_seconds, urgent_only (0/1). Answers as `claim` does.
return claim(ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1')
