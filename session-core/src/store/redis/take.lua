-- Takes the value of a field, so that exactly one call obtains it.
--
-- KEYS[1]  the session
-- ARGV[1]  how its metadata must begin: version and epoch
-- ARGV[2]  the name of this call
-- ARGV[3]  onwards: the names under which the value may be stored, the newest first, the field's own
--          last
--
-- Answers {'done', the value} | {'done'} where there is none | {'gone'}.
local key, call, field = KEYS[1], ARGV[2], ARGV[#ARGV]
local meta = redis.call('HGET', key, '@')
if not meta then
  return {'gone'}
end

-- A client that did not hear the answer calls again: the value is its own.
local memory = '@t:' .. field
local taken = redis.call('HGET', key, memory)
if taken and string.sub(taken, 1, #call) == call then
  return {'done', string.sub(taken, #call + 1)}
end

if string.sub(meta, 1, #ARGV[1]) ~= ARGV[1] then
  return {'gone'}
end
local value
for i = 3, #ARGV do
  value = value or redis.call('HGET', key, ARGV[i])
end
if not value then
  return {'done'}
end
for i = 3, #ARGV do
  redis.call('HDEL', key, ARGV[i])
end
redis.call('HSET', key, memory, call .. value)
return {'done', value}
