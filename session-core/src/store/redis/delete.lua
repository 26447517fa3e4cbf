-- Ends a session, unless this comes too late.
--
-- KEYS[1]  the session
-- ARGV[1]  not after: milliseconds by this server's clock
-- ARGV[2]  the login digest that the session must have; empty: any
--
-- Answers {0 done | 1 another login | 2 late, this server's microseconds}.
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
if math.floor(now / 1000) > tonumber(ARGV[1]) then
  return {2, now}
end
local meta = redis.call('HGET', KEYS[1], '@')
-- A replica must not answer: it refuses even this.
redis.call('HDEL', KEYS[1], '')
-- No version's metadata is shorter, or of version 0: this is no session.
if not meta or #meta < 51 or string.byte(meta) == 0 then
  return {0, now}
end
if ARGV[2] ~= '' and string.sub(meta, 2, 17) ~= ARGV[2] then
  return {1, now}
end
redis.call('DEL', KEYS[1])
return {0, now}
