-- Stores a new session, unless its key exists.
--
-- KEYS[1]  the session
-- ARGV[1]  its time to live in milliseconds
-- ARGV[2]  its metadata
-- ARGV[3]  its digest, which no two sessions share
-- ARGV[4]  onwards: the name and the value of each of its fields
--
-- Answers 1 where it is stored now, 0 where another one exists. Sent twice, it answers twice the same.
local key = KEYS[1]
if redis.call('EXISTS', key) == 1 then
  local stored = redis.pcall('HGET', key, '@')
  return type(stored) == 'string' and string.find(stored, ARGV[3], 1, true) and 1 or 0
end
redis.call('HSET', key, '@', ARGV[2])
for i = 4, #ARGV, 2 do
  redis.call('HSET', key, ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', key, ARGV[1])
return 1
