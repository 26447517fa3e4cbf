-- Stores a new session, unless its key exists.
--
-- KEYS[1]  the session
-- ARGV[1]  its time to live in milliseconds
-- ARGV[2]  onwards: the name and the value of each field, the metadata first
--
-- Answers 1 if it is stored now, else 0.
local key = KEYS[1]
if redis.call('EXISTS', key) == 1 then
  return 0
end
for at = 2, #ARGV, 1000 do
  redis.call('HSET', key, unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
redis.call('PEXPIRE', key, ARGV[1])
return 1
