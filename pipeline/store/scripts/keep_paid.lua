-- A paid answer, kept before anything reads it; not for a job that was erased. ARGV: key, job, answer, seconds
if redis.call('EXISTS', job_key(ARGV[2])) == 0 then return 0 end
redis.call('SET', ARGV[1], ARGV[3], 'EX', ARGV[4])
redis.call('SADD', job_key(ARGV[2]) .. ':paid', ARGV[1])
return 1
