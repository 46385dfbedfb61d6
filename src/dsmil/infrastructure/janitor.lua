#!lua name=dsmil_janitor
-- What keeps streams and groups small, decided and done in one step, so that nothing can come in between.
--
-- dsmil_trim: remove entries that every reader has settled and every store has saved.
--   KEYS  1 stream   2 hash of saved positions (`store|stream` -> entry id)
--   ARGV  1 oldest id to keep by age, or '+' for as much as may go   2 most entries to remove
--         3 '1' when the stream is copied by a store, else '0'   4.. groups of services
--   Returns {entries removed, id up to which entries may go, who keeps the rest: a group, a store, or ''}.
--
-- dsmil_save: note up to where a store has everything on disk; without memory HSET would be refused.
--   KEYS  1 hash of saved positions   ARGV  1 field   2 entry id
--
-- dsmil_tell: say how full memory is, for a while; SET would be refused just when it matters most.
--   KEYS  1 key   ARGV  1 value   2 seconds
--
-- dsmil_reap: remove consumers of a group that hold nothing and have not been heard of for long.
--   KEYS  1 stream   ARGV  1 group   2 idle milliseconds
--   Returns the names removed. A consumer that holds an entry is never removed: its entries would be lost.

local REVISION = '3'

-- Ids are compared as text, because a sequence number may be too large for a Lua number.
local function number_before(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function before(a, b)
  local a_ms, a_seq = a:match('^(%d+)-(%d+)$')
  local b_ms, b_seq = b:match('^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return number_before(a_ms, b_ms) end
  return number_before(a_seq, b_seq)
end

local function fields(flat)
  local row = {}
  for i = 1, #flat, 2 do row[flat[i]] = flat[i + 1] end
  return row
end

-- How far a group has come: its oldest entry in work, else the last one it was given.
local function progress(stream, row)
  if row['pending'] > 0 then return redis.call('XPENDING', stream, row['name'])[2] end
  return row['last-delivered-id']
end

local function safe_bound(stream, kept, args)
  local bound, holder = nil, ''
  local function keep(id, who)
    if not bound or before(id, bound) then bound, holder = id, who end
  end
  local registered = {}
  for i = 4, #args do registered[args[i]] = true end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local row = fields(flat)
    local name = row['name']
    -- A group that nobody has ever read with holds nothing back, unless a service is to read with it.
    if registered[name] or row['last-delivered-id'] ~= '0-0' then keep(progress(stream, row), 'group ' .. name) end
    registered[name] = nil
  end
  for name in pairs(registered) do keep('0-0', 'group ' .. name) end
  local saved = redis.call('HGETALL', kept)
  local stores, suffix = 0, '|' .. stream
  for i = 1, #saved, 2 do
    local store = saved[i]
    if store:sub(-#suffix) == suffix then
      stores = stores + 1
      keep(saved[i + 1], 'store ' .. store:sub(1, -#suffix - 1))
    end
  end
  if args[3] == '1' and stores == 0 then keep('0-0', 'store') end
  return bound or '0-0', holder
end

local function trim(keys, args)
  if #args == 0 then return REVISION end
  local stream = keys[1]
  if redis.call('EXISTS', stream) == 0 then return {0, '0-0', ''} end
  local bound, holder = safe_bound(stream, keys[2], args)
  if args[1] ~= '+' and before(args[1], bound) then bound, holder = args[1], '' end
  if bound == '0-0' then return {0, bound, holder} end
  local removed = redis.call('XTRIM', stream, 'MINID', '~', bound, 'LIMIT', args[2])
  return {removed, bound, holder}
end

local function save(keys, args)
  return redis.call('HSET', keys[1], args[1], args[2])
end

local function tell(keys, args)
  return redis.call('SET', keys[1], args[1], 'EX', args[2])
end

local function reap(keys, args)
  local gone = {}
  local consumers = redis.pcall('XINFO', 'CONSUMERS', keys[1], args[1])
  if consumers['err'] then
    -- Without the group there is nobody to remove; any other error is one.
    if consumers['err']:find('NOGROUP') or consumers['err']:find('no such key') then return gone end
    return consumers
  end
  for _, flat in ipairs(consumers) do
    local row = fields(flat)
    if row['pending'] == 0 and row['idle'] > tonumber(args[2]) then
      redis.call('XGROUP', 'DELCONSUMER', keys[1], args[1], row['name'])
      gone[#gone + 1] = row['name']
    end
  end
  return gone
end

-- Trimming must work when memory has run out: it is what frees some.
redis.register_function{function_name = 'dsmil_trim', callback = trim, flags = {'allow-oom'}}
redis.register_function{function_name = 'dsmil_save', callback = save, flags = {'allow-oom'}}
redis.register_function{function_name = 'dsmil_tell', callback = tell, flags = {'allow-oom'}}
redis.register_function{function_name = 'dsmil_reap', callback = reap, flags = {'allow-oom'}}
