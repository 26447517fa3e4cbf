-- Changes a session, if it still exists and has the digests that were loaded.
--
-- KEYS[1]  the session
-- ARGV[1]  the digests
-- ARGV[2]  not after: milliseconds by this server's clock
-- ARGV[3]  how many fields to read
-- ARGV[4]  onwards: their names, the metadata first, in the order of the steps
-- then each step; [n] is how many fields it reads:
--   's' name value                    set
--   'u' name                          unset
--   '+' delta base min max olds       [1 + olds] add delta and the old names' values; start at base
--   '>' value, '<' value              [1] raise or lower an integer to this
--   'k' olds                          [olds + 1] take the first value; its own name is last
--   '=' value, '0'                    [1] refuse unless this value, or absent
--   '#' prefix count                  refuse unless this many names have this prefix
--   'x' deadline name                 [1] remove a field and its deadline, if that is still this
--   'm' offset bytes                  replace these bytes of the metadata
--   'M' offset bytes millis           the same, but never with an earlier time
--   'c' offset bytes                  gone unless the metadata has these bytes
--   'e'                               end the session, and answer all fields
--   't' offset bytes millis ttl       'M' for the last touch; live at least ttl more milliseconds
--
-- Answers {0 done, time, the values of '+', '>', '<' and 'k'} | {1 gone | 2 late | 3 conflict, time} |
-- {4 overflow, time, name}, time in microseconds. What may refuse comes before the first write.
local key, now = KEYS[1], redis.call('TIME')
now = now[1] * 1000000 + now[2]
if math.floor(now / 1000) > tonumber(ARGV[2]) then
  return {2, now}
end

local reads, stored = tonumber(ARGV[3]), nil
if reads == 1 then
  stored = {redis.call('HGET', key, ARGV[4])}
elseif reads < 1000 then
  stored = redis.call('HMGET', key, unpack(ARGV, 4, 3 + reads))
else
  stored = {}
  for at = 4, 3 + reads, 1000 do
    for _, value in ipairs(redis.call('HMGET', key, unpack(ARGV, at, math.min(at + 999, 3 + reads)))) do
      stored[#stored + 1] = value
    end
  end
end
-- A replica must not answer this: it refuses any write, even one that does nothing.
local meta = stored[1]
if not meta or string.sub(meta, 2, 33) ~= ARGV[1] then
  redis.call('HDEL', key, '')
  return {1, now}
end

-- Made on first use.
local expired, gone, is_less, sum, ends = nil, nil, nil, nil, false
local LEAST, MOST = '-9223372036854775808', '9223372036854775807'
local at, read, answer, sets, ttl, patched = 4 + reads, 1, {0, now}, {}, nil, false
local step = ARGV[at]
while step do
  if step == 's' then
    sets[#sets + 1] = ARGV[at + 1]
    sets[#sets + 1] = ARGV[at + 2]
    at = at + 3
  elseif step == '+' then
    read = read + 1
    local name, before, delta, olds = ARGV[3 + read], stored[read], ARGV[at + 1], ARGV[at + 5]
    if expired and expired[name] then
      before = false
    end
    local least, most, total = ARGV[at + 3], ARGV[at + 4], nil
    if olds == '0' then
      before = before or ARGV[at + 2]
      local number = tonumber(before)
      -- A double is exact for so few digits.
      if number and #before < 15 and #delta < 15 and (before == '0' or string.find(before, '^%-?[1-9]%d*$')) then
        total = number + delta
        if (#least < 15 and total < tonumber(least)) or (#most < 15 and total > tonumber(most)) then
          redis.call('HDEL', key, '')
          return {4, now, name}
        end
        -- Not `tostring`, which writes 15 digits as 1e+14.
        total = string.format('%.0f', total)
      end
    end
    if not total then
      if not is_less then
        -- Longer integers are compared as text.
        function is_less(a, b)
          local a_negative, b_negative = string.sub(a, 1, 1) == '-', string.sub(b, 1, 1) == '-'
          if a_negative ~= b_negative then
            return a_negative
          end
          if #a ~= #b then
            return (#a < #b) ~= a_negative
          end
          return a ~= b and (a < b) ~= a_negative
        end
      end
      if not sum then
        -- And added in two parts: the last nine digits, and the others.
        function sum(terms)
          local high, low = 0, 0
          for _, term in ipairs(terms) do
            local sign, digits = string.match(term, '^(%-?)(%d+)$')
            sign = sign == '-' and -1 or 1
            high = high + sign * (tonumber(string.sub(digits, 1, -10)) or 0)
            low = low + sign * tonumber(string.sub(digits, -9))
          end
          high, low = high + math.floor(low / 1e9), low % 1e9
          local sign = ''
          if high < 0 then
            sign = '-'
            if low > 0 then
              high, low = high + 1, 1e9 - low
            end
            high = -high
          end
          if high == 0 then
            return string.format('%s%.0f', low == 0 and '' or sign, low)
          end
          return string.format('%s%.0f%09.0f', sign, high, low)
        end
      end
      local terms = {before or nil}
      for i = read + 1, read + olds do
        if stored[i] then
          gone = gone or {}
          gone[#gone + 1] = ARGV[3 + i]
          if not (expired and expired[ARGV[3 + i]]) then
            terms[#terms + 1] = stored[i]
          end
        end
      end
      if #terms == 0 then
        terms[1] = ARGV[at + 2]
      end
      terms[#terms + 1] = delta
      for _, term in ipairs(terms) do
        if not (term == '0' or string.find(term, '^%-?[1-9]%d*$')) or is_less(term, LEAST) or is_less(MOST, term) then
          redis.call('HDEL', key, '')
          return {4, now, name}
        end
      end
      total = sum(terms)
      if is_less(total, least) or is_less(most, total) then
        redis.call('HDEL', key, '')
        return {4, now, name}
      end
      read = read + olds
    end
    sets[#sets + 1] = name
    sets[#sets + 1] = total
    answer[#answer + 1] = total
    at = at + 6
  elseif step == 'u' then
    gone = gone or {}
    gone[#gone + 1] = ARGV[at + 1]
    at = at + 2
  elseif step == 'm' or step == 'M' or step == 't' then
    local offset, bytes, is_wanted = tonumber(ARGV[at + 1]), ARGV[at + 2], true
    if step ~= 'm' then
      local before = 0
      for i = offset + 1, offset + #bytes do
        before = before * 256 + string.byte(meta, i)
      end
      is_wanted = before < tonumber(ARGV[at + 3])
    end
    if step == 't' then
      ttl = tonumber(ARGV[at + 4])
    end
    if is_wanted then
      -- What an older form lacks is zero.
      meta = meta .. string.rep('\0', offset - #meta)
      meta = string.sub(meta, 1, offset) .. bytes .. string.sub(meta, offset + #bytes + 1)
      patched = true
    end
    at = at + (step == 't' and 5 or step == 'M' and 4 or 3)
  elseif step == 'c' then
    local offset, bytes = tonumber(ARGV[at + 1]), ARGV[at + 2]
    if string.sub(meta .. string.rep('\0', offset + #bytes - #meta), offset + 1, offset + #bytes) ~= bytes then
      redis.call('HDEL', key, '')
      return {1, now}
    end
    at = at + 3
  elseif step == 'e' then
    ends, at = true, at + 1
  elseif step == '>' or step == '<' then
    read = read + 1
    local name, before, value = ARGV[3 + read], stored[read], ARGV[at + 1]
    if before and not (expired and expired[name]) and (before == '0' or string.find(before, '^%-?[1-9]%d*$')) then
      -- As text, like `is_less`.
      local negative, is_smaller = string.sub(before, 1, 1) == '-', nil
      if negative ~= (string.sub(value, 1, 1) == '-') then
        is_smaller = negative
      elseif #before ~= #value then
        is_smaller = (#before < #value) ~= negative
      else
        is_smaller = before ~= value and (before < value) ~= negative
      end
      if is_smaller == (step == '<') then
        value = before
      end
    end
    sets[#sets + 1] = name
    sets[#sets + 1] = value
    answer[#answer + 1] = value
    at = at + 2
  elseif step == 'k' then
    local taken = false
    gone = gone or {}
    for i = read + 1, read + 1 + ARGV[at + 1] do
      taken = taken or (not (expired and expired[ARGV[3 + i]]) and stored[i])
      gone[#gone + 1] = ARGV[3 + i]
    end
    answer[#answer + 1] = taken
    read, at = read + 1 + ARGV[at + 1], at + 2
  elseif step == '=' then
    read = read + 1
    if stored[read] ~= ARGV[at + 1] then
      redis.call('HDEL', key, '')
      return {3, now}
    end
    at = at + 2
  elseif step == '0' then
    read = read + 1
    if stored[read] then
      redis.call('HDEL', key, '')
      return {3, now}
    end
    at = at + 1
  elseif step == '#' then
    local prefix, count = ARGV[at + 1], 0
    for _, name in ipairs(redis.call('HKEYS', key)) do
      if string.sub(name, 1, #prefix) == prefix then
        count = count + 1
      end
    end
    if count ~= tonumber(ARGV[at + 2]) then
      redis.call('HDEL', key, '')
      return {3, now}
    end
    at = at + 3
  else
    read = read + 1
    if stored[read] == ARGV[at + 1] then
      expired, gone = expired or {}, gone or {}
      expired[ARGV[at + 2]], expired[ARGV[3 + read]] = true, true
      gone[#gone + 1] = ARGV[at + 2]
      gone[#gone + 1] = ARGV[3 + read]
    end
    at = at + 3
  end
  step = ARGV[at]
end

if ends then
  for _, text in ipairs(redis.call('HGETALL', key)) do
    answer[#answer + 1] = text
  end
  redis.call('DEL', key)
  return answer
end

-- Never shortened. Without data, PEXPIRE comes first: a full server allows it, and then the writes after
-- it, so that sessions in use do not end.
local extends = ttl and ttl > redis.call('PTTL', key)
local is_data = #sets > 0
if extends and not is_data then
  redis.call('PEXPIRE', key, string.format('%.0f', ttl))
end
if patched then
  sets[#sets + 1] = '@'
  sets[#sets + 1] = meta
end
for i = 1, gone and #gone or 0, 1000 do
  redis.call('HDEL', key, unpack(gone, i, math.min(i + 999, #gone)))
end
if #sets == 2 then
  redis.call('HSET', key, sets[1], sets[2])
else
  for i = 1, #sets, 1000 do
    redis.call('HSET', key, unpack(sets, i, math.min(i + 999, #sets)))
  end
end
if extends and is_data then
  redis.call('PEXPIRE', key, string.format('%.0f', ttl))
end
return answer
