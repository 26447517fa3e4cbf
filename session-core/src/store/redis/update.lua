-- Changes a session in one atomic step, if it still exists and its epoch is the expected one.
--
-- KEYS[1]  the session
-- ARGV[1]  how its metadata must begin: version and epoch
-- ARGV[2]  how its metadata begins after this update's rotation; empty without one
-- ARGV[3]  its time to live in milliseconds: extended to this, never shortened, since another
--          request may have given the session a longer life in the meantime
-- ARGV[4]  onwards, for each step:
--            'add' name delta base min max   a counter moves; base: its value where it has none
--            'set' name value                a field gets a value
--            'unset' name                    a field becomes absent
--            'meta' offset bytes             these bytes of the metadata are replaced
--
-- Answers {'done', the new values of the counters…} | {'gone'} | {'overflow', name}.
-- Counters come first, since adding is the only step that can be refused; all is undone then.
local key = KEYS[1]
local meta = redis.call('HGET', key, '@')
if not meta then
  return {'gone'}
end

local function begins_with(text, start)
  return string.sub(text, 1, #start) == start
end

local arity = {add = 6, set = 3, unset = 2, meta = 3}

local function steps()
  local i = 4
  return function()
    local at = i
    if ARGV[at] then
      i = i + arity[ARGV[at]]
      return at, ARGV[at]
    end
  end
end

if not begins_with(meta, ARGV[1]) then
  -- A client that did not hear the answer sends the update again: it is done already.
  if ARGV[2] == '' or not begins_with(meta, ARGV[2]) then
    return {'gone'}
  end
  local answer = {'done'}
  for at, step in steps() do
    if step == 'add' then
      answer[#answer + 1] = redis.call('HGET', key, ARGV[at + 1])
    end
  end
  return answer
end

local answer = {'done'}
local undo = {}
for at, step in steps() do
  if step == 'add' then
    local name = ARGV[at + 1]
    local before = redis.call('HGET', key, name)
    if before then
      undo[#undo + 1] = {'HSET', key, name, before}
    else
      redis.call('HSET', key, name, ARGV[at + 3])
      undo[#undo + 1] = {'HDEL', key, name}
    end
    local sum = redis.pcall('HINCRBY', key, name, ARGV[at + 2])
    local refused = type(sum) == 'table'
    if refused or sum < tonumber(ARGV[at + 4]) or sum > tonumber(ARGV[at + 5]) then
      for i = #undo, 1, -1 do
        redis.call(unpack(undo[i]))
      end
      if refused and not string.find(sum.err, 'overflow') and not string.find(sum.err, 'integer') then
        return sum
      end
      return {'overflow', name}
    end
    -- Not `sum`: Lua's numbers have 53 bits.
    answer[#answer + 1] = redis.call('HGET', key, name)
  end
end

for at, step in steps() do
  if step == 'set' then
    redis.call('HSET', key, ARGV[at + 1], ARGV[at + 2])
  elseif step == 'unset' then
    redis.call('HDEL', key, ARGV[at + 1])
  elseif step == 'meta' then
    local offset, bytes = tonumber(ARGV[at + 1]), ARGV[at + 2]
    meta = string.sub(meta, 1, offset) .. bytes .. string.sub(meta, offset + #bytes + 1)
  end
end

-- Before the metadata: a server out of memory allows this first write, and then the next one too,
-- so that sessions in use do not end because it is full.
redis.call('PEXPIRE', key, math.max(redis.call('PTTL', key), tonumber(ARGV[3])))
redis.call('HSET', key, '@', meta)
return answer
