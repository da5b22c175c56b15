-- A paid answer, kept before anything reads it. ARGV: key, job, answer, seconds
redis.call('SET', ARGV[1], ARGV[3], 'EX', ARGV[4])
redis.call('SADD', job_key(ARGV[2]) .. ':paid', ARGV[1])
return 1
