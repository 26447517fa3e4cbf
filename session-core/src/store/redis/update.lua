-- Changes a session in one atomic step, if it still exists and its epoch is the expected one.
--
-- KEYS[1]  the session
-- ARGV[1]  how its metadata must begin: version and epoch
-- ARGV[2]  the name of this commit, 8 bytes that begin with two of time in seconds; empty for a
--          touch, which may be done again
-- ARGV[3]  its time to live in milliseconds: extended to this, never shortened, since another
--          request may have given the session a longer life in the meantime
-- ARGV[4]  for how many seconds commits are remembered
-- ARGV[5]  how many of them
-- ARGV[6]  onwards, for each step:
--            'is' name value                  it is expected that a field has this value,
--            'none' name                      that it is absent,
--            'count' prefix n                 that so many names begin like this
--            'clear'                          all fields are removed first
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
  is = 3, none = 2, count = 3, clear = 1, expired = 4, add = 7, max = 3, min = 3, set = 3, unset = 2,
  meta = 3,
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

-- A client that did not hear the answer sends its commit again: it is done already.
local recent = {}
if commit ~= '' then
  local stored = redis.call('HGET', key, '@c') or ''
  for i = 1, #stored, #commit do
    local name = string.sub(stored, i, i + #commit - 1)
    if name == commit then
      local answer = {'done'}
      for at, step in steps() do
        if step == 'add' or step == 'max' or step == 'min' then
          answer[#answer + 1] = redis.call('HGET', key, ARGV[at + 1]) or ''
        end
      end
      return answer
    end
    -- One that was named later and came earlier is not old: commits overtake each other.
    local age = (seconds(commit) - seconds(name)) % 65536
    if math.min(age, 65536 - age) <= tonumber(ARGV[4]) then
      recent[#recent + 1] = name
    end
  end
  if #recent >= tonumber(ARGV[5]) then
    table.remove(recent, 1)
  end
  recent[#recent + 1] = commit
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

-- What is expired or cleared is left for the end, but nothing is added to it.
local clears, expired = false, {}
for at, step in steps() do
  if step == 'clear' then
    clears = true
  elseif step == 'expired' and redis.call('HGET', key, ARGV[at + 2]) == ARGV[at + 3] then
    expired[ARGV[at + 1]] = ARGV[at + 2]
  end
end

local function get(name)
  return not clears and not expired[name] and redis.call('HGET', key, name)
end

-- The sum of integers, or nil and why there is none. Lua adds short ones exactly; long ones are added
-- by the one who knows 64 bits, Redis, in a field of their own.
local SCRATCH = '@s'
local function sum(terms)
  local total, is_short = 0, true
  for _, term in ipairs(terms) do
    if not is_integer(term) then
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

if clears then
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if string.sub(name, 1, 1) ~= '@' or string.sub(name, 1, 7) == '@until:' then
      redis.call('HDEL', key, name)
    end
  end
end
for at, step in steps() do
  if step == 'expired' and expired[ARGV[at + 1]] then
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
  redis.call('HSET', key, '@c', table.concat(recent))
end
return answer
