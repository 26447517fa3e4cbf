-- Does a step on one user's sessions, unless this comes too late.
--
-- KEYS[1]  id -> "remove_at entered_at doomed label"; "@" -> "ended_at until"
-- ARGV[1]  not after: milliseconds by this server's clock
-- ARGV[2]  the step, then its arguments:
--   a id remove_at label began_at max refuse  admit; max 0: no limit; refuse 1: if it is reached
--   d whom id until                           doom all (*), all but this (-), this one (=)
--   f id ...                                  forget
--   l                                         list
--   r id remove_at                            renew
--
-- Answers {code, this server's microseconds, ...}:
--   0 done, after `a` the doomed | 1 ended | 2 full | 3 unknown | 4 late | 5 pairs of id and text
--   6 ended_at, the doomed
local time = redis.call('TIME')
local present = time[1] * 1000000 + time[2]
local now = math.floor(present / 1000)
if now > tonumber(ARGV[1]) then
  return {4, present}
end

-- What is over or unreadable is forgotten.
local members = {}
local over = {}
local ended, ended_until
local stored = redis.call('HGETALL', KEYS[1])
for at = 1, #stored, 2 do
  local id, text = stored[at], stored[at + 1]
  if id == '@' then
    ended, ended_until = string.match(text, '^(%d+) (%d+)$')
    ended, ended_until = tonumber(ended), tonumber(ended_until)
    if not ended or ended_until <= now then
      ended, ended_until = nil, nil
      over[#over + 1] = id
    end
  else
    local remove_at, entered, doomed, label = string.match(text, '^(%d+) (%d+) ([01]) (.*)$')
    remove_at, entered = tonumber(remove_at), tonumber(entered)
    if not remove_at or remove_at <= now then
      over[#over + 1] = id
    else
      members[id] = {remove_at = remove_at, entered = entered, doomed = doomed == '1', label = label}
    end
  end
end

local changed = {}
local function doom(id)
  members[id].doomed = true
  changed[id] = true
end

local what = ARGV[2]
local answer = {0, present}
local code = 0
local before = ended
if what == 'a' then
  local id, remove_at, label = ARGV[3], tonumber(ARGV[4]), ARGV[5]
  local member = members[id]
  if member and member.doomed then
    code = 3
  elseif ended and ended >= tonumber(ARGV[6]) then
    code = 1
  else
    local others = {}
    for other, its in pairs(members) do
      if other ~= id and not its.doomed then
        others[#others + 1] = other
      end
    end
    local max = tonumber(ARGV[7])
    local excess = max > 0 and #others + 1 - max or 0
    if excess > 0 and ARGV[8] == '1' then
      code = 2
    else
      table.sort(others, function(one, other)
        one, other = {members[one].entered, one}, {members[other].entered, other}
        return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2])
      end)
      for at = 1, excess do
        doom(others[at])
      end
      if member and member.remove_at > remove_at then
        remove_at = member.remove_at
      end
      members[id] = {remove_at = remove_at, entered = present, doomed = false, label = label}
      changed[id] = true
    end
  end
elseif what == 'd' then
  local whom, meant = ARGV[3], ARGV[4]
  for id in pairs(members) do
    if whom == '*' or (whom == '-' and id ~= meant) or (whom == '=' and id == meant) then
      doom(id)
    end
  end
  if whom ~= '=' then
    ended = math.max(present, ended and ended + 1 or 0)
    ended_until = now + tonumber(ARGV[5])
  end
  code = 6
  answer[3] = ended or 0
elseif what == 'f' then
  for at = 3, #ARGV do
    if members[ARGV[at]] then
      members[ARGV[at]] = nil
      over[#over + 1] = ARGV[at]
    end
  end
elseif what == 'l' then
  code = 5
else
  local member = members[ARGV[3]]
  if not member or member.doomed then
    code = 3
  elseif tonumber(ARGV[4]) > member.remove_at then
    member.remove_at = tonumber(ARGV[4])
    changed[ARGV[3]] = true
  end
end
answer[1] = code

-- First, because a full server allows this write, and then the others: sessions can still be ended.
local last = ended_until or 0
for _, member in pairs(members) do
  last = math.max(last, member.remove_at)
end
local ttl = string.format('%.0f', math.max(last - now, 1))
if #stored > 0 then
  redis.call('PEXPIRE', KEYS[1], ttl)
end
for id, member in pairs(members) do
  -- `%s` would end at a zero byte.
  local text = string.format('%.0f %.0f %d ', member.remove_at, member.entered,
    member.doomed and 1 or 0) .. member.label
  if changed[id] then
    redis.call('HSET', KEYS[1], id, text)
  end
  if code == 5 then
    answer[#answer + 1] = id
    answer[#answer + 1] = text
  elseif member.doomed and (code == 0 and what == 'a' or code == 6) then
    answer[#answer + 1] = id
  end
end
for _, id in ipairs(over) do
  -- Unless it was added again.
  if not members[id] and not (id == '@' and ended) then
    redis.call('HDEL', KEYS[1], id)
  end
end
if ended ~= before then
  redis.call('HSET', KEYS[1], '@', string.format('%.0f %.0f', ended, ended_until))
end
if #stored == 0 then
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return answer
