-- Ends a session, unless this comes too late.
--
-- KEYS[1]  the session
-- ARGV[1]  the last millisecond, by this server's clock, at which it may be done
-- ARGV[2]  the digest of the login half that its token must have; empty: whichever
--
-- Answers {0 done | 1 of another login | 2 late}, each with this
-- server's time in microseconds.
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
if math.floor(now / 1000) > tonumber(ARGV[1]) then
  return {2, now}
end
local meta = redis.call('HGET', KEYS[1], '@')
-- A replica must not say what is or is not there: it refuses any write, even one that does nothing.
redis.call('HDEL', KEYS[1], '')
-- No version's metadata are shorter, or of version 0: this is no session, and left alone.
if not meta or #meta < 51 or string.byte(meta) == 0 then
  return {0, now}
end
if ARGV[2] ~= '' and string.sub(meta, 2, 17) ~= ARGV[2] then
  return {1, now}
end
redis.call('DEL', KEYS[1])
return {0, now}
