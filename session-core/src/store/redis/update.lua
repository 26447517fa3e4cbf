-- Changes a session in one atomic step, if it still exists and its epoch is the expected one.
--
-- KEYS[1]  the session
-- ARGV[1]  how its metadata must begin: version and epoch
-- ARGV[2]  the name of this commit, 8 bytes that begin with two of time in seconds; empty for a
--          touch, which may be done again
-- ARGV[3]  its time to live in milliseconds: extended to this, never shortened, since another
--          request may have given the session a longer life in the meantime
-- ARGV[4]  for how many seconds commits are remembered
-- ARGV[5]  how many of them in each of 16 fields, which so stay small
-- ARGV[6]  onwards, for each step:
--            'is' name value                  it is expected that a field has this value,
--            'none' name                      that it is absent,
--            'count' prefix n                 that so many names begin like this
--            'reset'                          all fields are removed before the steps that follow
--            'expired' name deadline value    a field is removed if its deadline is this
--            'add' name delta base min max n  a counter moves; base: its value where it has none;
--                  old…                       n old names under which it may be counted too
--            'max' name value                 an integer grows to this,
--            'min' name value                 or shrinks to it
--            'set' name value                 a field gets a value
--            'unset' name                     a field becomes absent
--            'meta' offset bytes              these bytes of the metadata are replaced
--
-- Answers {'done', the values of the fields that merged…} | {'gone'} | {'conflict'} |
-- {'overflow', name}. It looks first and writes last: whatever is refused has written nothing.
local key, commit = KEYS[1], ARGV[2]
local meta = redis.call('HGET', key, '@')
if not meta then
  return {'gone'}
end

local arity = {
  is = 3, none = 2, count = 3, reset = 1, expired = 4, add = 7, max = 3, min = 3, set = 3, unset = 2, meta = 3,
}

local function steps()
  local i = 6
  return function()
    local at, step = i, ARGV[i]
    if step then
      i = i + arity[step]
      if step == 'add' then
        i = i + tonumber(ARGV[at + 6])
      end
      return at, step
    end
  end
end

local function seconds(name)
  return string.byte(name, 1) * 256 + string.byte(name, 2)
end

-- Texts are kept one after the other, each after its length and a colon.
local function packed(text)
  return #text .. ':' .. text
end

-- The text that is packed at this place, and the place after it; nil where there is none.
local function unpacked(texts, at)
  local _, colon, length = string.find(texts, '^(%d+):', at)
  if not colon then
    return nil
  end
  local last = colon + tonumber(length)
  return string.sub(texts, colon + 1, last), last + 1
end

-- A client that did not hear the answer sends its commit again: it is done already, and answered as it
-- was, whatever others have added since. What is kept are the names of commits, and after each the
-- values that it was answered.
local recent, recent_field = {}, nil
if commit ~= '' then
  recent_field = '@c' .. string.byte(commit, #commit) % 16
  local stored, at = redis.call('HGET', key, recent_field) or '', 1
  while at <= #stored do
    local name = string.sub(stored, at, at + #commit - 1)
    local values, after = unpacked(stored, at + #commit)
    if not values then
      break
    end
    if name == commit then
      local answer, i, value = {'done'}, 1, nil
      while i <= #values do
        value, i = unpacked(values, i)
        answer[#answer + 1] = value
      end
      return answer
    end
    -- Clocks differ, so it may seem to come before one that came first: that is not long ago.
    local age = (seconds(commit) - seconds(name)) % 65536
    if age <= tonumber(ARGV[4]) or age >= 32768 then
      recent[#recent + 1] = string.sub(stored, at, after - 1)
    end
    at = after
  end
  if #recent >= tonumber(ARGV[5]) then
    table.remove(recent, 1)
  end
end

if string.sub(meta, 1, #ARGV[1]) ~= ARGV[1] then
  return {'gone'}
end

-- Integers are compared as they are written: Lua's numbers have 53 bits.
local function is_integer(text)
  return text == '0' or string.match(text, '^%-?[1-9]%d*$') ~= nil
end

local function is_less(a, b)
  local a_negative, b_negative = string.sub(a, 1, 1) == '-', string.sub(b, 1, 1) == '-'
  if a_negative ~= b_negative then
    return a_negative
  end
  if #a ~= #b then
    return (#a < #b) ~= a_negative
  end
  return a ~= b and (a < b) ~= a_negative
end

local function count(prefix)
  local n = 0
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if string.sub(name, 1, #prefix) == prefix then
      n = n + 1
    end
  end
  return n
end

for at, step in steps() do
  local name, value = ARGV[at + 1], ARGV[at + 2]
  if (step == 'is' and redis.call('HGET', key, name) ~= value)
    or (step == 'none' and redis.call('HGET', key, name))
    or (step == 'count' and count(name) ~= tonumber(value)) then
    return {'conflict'}
  end
end

-- What is expired is left for the end, but nothing is added to it.
local expired = {}
for at, step in steps() do
  if step == 'expired' and redis.call('HGET', key, ARGV[at + 2]) == ARGV[at + 3] then
    expired[ARGV[at + 1]] = ARGV[at + 2]
  end
end

local function get(name)
  return not expired[name] and redis.call('HGET', key, name)
end

-- The sum of integers, or nil and why there is none. Lua adds short ones exactly; long ones are added
-- by the one who knows 64 bits, Redis, in a field of their own.
local SCRATCH, LEAST, MOST = '@s', '-9223372036854775808', '9223372036854775807'
local function sum(terms)
  local total, is_short = 0, true
  for _, term in ipairs(terms) do
    if not is_integer(term) or is_less(term, LEAST) or is_less(MOST, term) then
      return nil, {}
    end
    total, is_short = total + tonumber(term), is_short and #term < 15
  end
  if is_short then
    return string.format('%.0f', total)
  end
  local refused
  redis.call('HSET', key, SCRATCH, terms[1])
  for i = 2, #terms do
    local reply = redis.pcall('HINCRBY', key, SCRATCH, terms[i])
    refused = refused or (type(reply) == 'table' and reply)
  end
  total = redis.call('HGET', key, SCRATCH)
  redis.call('HDEL', key, SCRATCH)
  if refused then
    return nil, refused
  end
  return total
end

-- What a counter is after an 'add', or nil and why it cannot be.
local function add(at)
  local terms = {get(ARGV[at + 1]) or nil}
  for i = 1, tonumber(ARGV[at + 6]) do
    terms[#terms + 1] = get(ARGV[at + 6 + i]) or nil
  end
  if #terms == 0 then
    terms[1] = ARGV[at + 3]
  end
  terms[#terms + 1] = ARGV[at + 2]
  local total, refused = sum(terms)
  if total and (is_less(total, ARGV[at + 4]) or is_less(ARGV[at + 5], total)) then
    return nil, {}
  end
  return total, refused
end

local answer, values = {'done'}, {}
for at, step in steps() do
  local name = ARGV[at + 1]
  if step == 'add' then
    local total, refused = add(at)
    if not total then
      local is_error = refused.err and not string.find(refused.err, 'overflow')
      return is_error and refused or {'overflow', name}
    end
    values[at] = total
  elseif step == 'max' or step == 'min' then
    local stored, value = get(name), ARGV[at + 2]
    if stored and is_integer(stored)
      and ((step == 'max' and is_less(value, stored)) or (step == 'min' and is_less(stored, value))) then
      value = stored
    end
    values[at] = value
  end
  if values[at] then
    answer[#answer + 1] = values[at]
  end
end

for at, step in steps() do
  if step == 'reset' then
    -- The names of commits too: whoever sends one of before again is of another epoch.
    recent = {}
    for _, name in ipairs(redis.call('HKEYS', key)) do
      if name ~= '@' then
        redis.call('HDEL', key, name)
      end
    end
  elseif step == 'expired' and expired[ARGV[at + 1]] then
    redis.call('HDEL', key, ARGV[at + 1], ARGV[at + 2])
  end
end
for at, step in steps() do
  local name = ARGV[at + 1]
  if values[at] or step == 'set' then
    redis.call('HSET', key, name, values[at] or ARGV[at + 2])
  end
  if step == 'add' then
    for i = 1, tonumber(ARGV[at + 6]) do
      redis.call('HDEL', key, ARGV[at + 6 + i])
    end
  elseif step == 'unset' then
    redis.call('HDEL', key, name)
  elseif step == 'meta' then
    local offset, bytes = tonumber(name), ARGV[at + 2]
    meta = string.sub(meta, 1, offset) .. bytes .. string.sub(meta, offset + #bytes + 1)
  end
end

-- Before the metadata: a server out of memory allows this first write, and then the next one too,
-- so that sessions in use do not end because it is full.
redis.call('PEXPIRE', key, math.max(redis.call('PTTL', key), tonumber(ARGV[3])))
redis.call('HSET', key, '@', meta)
if commit ~= '' then
  local merged = {}
  for i = 2, #answer do
    merged[#merged + 1] = packed(answer[i])
  end
  recent[#recent + 1] = commit .. packed(table.concat(merged))
  redis.call('HSET', key, recent_field, table.concat(recent))
end
return answer
