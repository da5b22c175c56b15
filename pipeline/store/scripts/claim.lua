-- ARGV: queue, owner, lease_seconds, urgent_only (0/1), waits (0/1, '': it never does). Answers as `claim` does.
local waits = nil
if ARGV[5] ~= '' then waits = ARGV[5] == '1' end
local claimed = claim(ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', waits)
tell()
return claimed
