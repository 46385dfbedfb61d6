#!lua name=dsmil
-- Server-side half of the runner. Owns no key of its own; every key it touches is named by the caller.
--
-- dsmil_settle: settle a batch of entries that one consumer holds, all or up to the first error.
--   KEYS  1 input stream   2 ledger hash   3 attempts hash   4 DEAD_LETTERS   5.. output streams
--   ARGV  1 group  2 consumer  3 first id  4 last id (range of the batch)  then for each entry
--         id, verdict and its arguments:
--           'P' n, then n times (index into KEYS, body)     publish, count `published` and `outputs`
--           'P<index>' body                                 the same with one output, the usual case
--           'D' field                                       drop, count `field`
--           'X' n, then n times (name, value)               dead-letter, count `dead`
--   Returns {error text or '', number settled, ids not settled ...}.
--
-- The fence: only ids that are still pending for this very consumer are touched. A call sent twice, a consumer
-- that woke up after its entries were claimed by another, a reply that was lost: all become no-ops.
-- Output comes before acknowledgement, and only what was put out is acknowledged, because an error at run time
-- must leave the entry pending. The ledger counts in the same call, so that no kill can unbalance it.

-- Called without entries it settles nothing: it answers whether the caller may run every command used here, on
-- these keys, and which revision this is. A right that is missing would otherwise show in the middle of a batch.

local PAGE = 500
local REVISION = '4'

local function held(stream, group, consumer, first, last)
  local ids, from = {}, first
  while true do
    local page = redis.call('XPENDING', stream, group, from, last, PAGE, consumer)
    for i = 1, #page do ids[page[i][1]] = true end
    if #page < PAGE then return ids end
    from = '(' .. page[#page][1]
  end
end

-- An output key of another type would fail after earlier outputs of the same entry were added.
local function check_outputs(keys)
  for i = 4, #keys do
    local kind = redis.call('TYPE', keys[i])['ok']
    if kind ~= 'stream' and kind ~= 'none' then
      return 'ERR ' .. keys[i] .. ' is a ' .. kind .. ', not a stream'
    end
  end
  return nil
end

local function error_of(reply)
  if type(reply) == 'table' and reply['err'] then return reply['err'] end
  return nil
end

local function refused(keys, args)
  local wanted = {
    {'XPENDING', keys[1], args[1], '-', '+', '1', args[2]},
    {'XACK', keys[1], args[1], '0-0'},
    {'HINCRBY', keys[2], 'field', '1'},
    {'EXISTS', keys[3]},
    {'HDEL', keys[3], 'field'},
  }
  for i = 4, #keys do
    wanted[#wanted + 1] = {'TYPE', keys[i]}
    wanted[#wanted + 1] = {'XADD', keys[i], '*', 'event', ''}
  end
  for _, command in ipairs(wanted) do
    if not redis.acl_check_cmd(unpack(command)) then return command[1] .. ' ' .. command[2] end
  end
  return ''
end

local function settle(keys, args)
  if #args == 4 then return {refused(keys, args), 0, REVISION} end
  local stream, ledger, attempts = keys[1], keys[2], keys[3]
  local group, consumer = args[1], args[2]
  local broken = check_outputs(keys)
  if broken then return {broken, 0} end

  local mine = held(stream, group, consumer, args[3], args[4])
  local done, missed, counts, failed = {}, {}, {}, ''
  local i, total = 5, 0
  local one = {}
  for k = 5, #keys do one['P' .. k] = keys[k] end

  while i <= #args do
    local id, verdict = args[i], args[i + 1]
    local active = mine[id] and failed == ''
    local counter, outputs = nil, 0
    i = i + 2

    if one[verdict] then
      if active then
        local err = error_of(redis.pcall('XADD', one[verdict], '*', 'event', args[i]))
        if err then failed = err else outputs = 1 end
      end
      counter = 'published'
      i = i + 1
    elseif verdict == 'P' then
      local n = tonumber(args[i])
      if active then
        for k = 0, n - 1 do
          local reply = redis.pcall('XADD', keys[tonumber(args[i + 1 + 2 * k])], '*', 'event', args[i + 2 + 2 * k])
          local err = error_of(reply)
          if err then failed = err; break end
          outputs = outputs + 1
        end
      end
      counter = 'published'
      i = i + 1 + 2 * n
    elseif verdict == 'D' then
      counter = args[i]
      i = i + 1
    elseif verdict == 'X' then
      local n = tonumber(args[i])
      if active then
        local fields = {}
        for k = 1, 2 * n do fields[k] = args[i + k] end
        local err = error_of(redis.pcall('XADD', keys[4], '*', unpack(fields)))
        if err then failed = err end
      end
      counter = 'dead'
      i = i + 1 + 2 * n
    end

    if active and failed == '' then
      done[#done + 1] = id
      mine[id] = nil
      counts[counter] = (counts[counter] or 0) + 1
      total = total + outputs
    else
      missed[#missed + 1] = id
    end
  end

  for from = 1, #done, PAGE do
    local till = math.min(from + PAGE - 1, #done)
    redis.call('XACK', stream, group, unpack(done, from, till))
    if redis.call('EXISTS', attempts) == 1 then
      redis.call('HDEL', attempts, unpack(done, from, till))
    end
  end
  if total > 0 then counts['outputs'] = total end
  for field, n in pairs(counts) do redis.call('HINCRBY', ledger, field, n) end
  return {failed, #done, unpack(missed)}
end

-- Settling must go on when memory has run out: what waits unread can be removed only once it is settled. It takes
-- no more than the outputs of what was let in, because nothing new is.
redis.register_function{function_name = 'dsmil_settle', callback = settle, flags = {'allow-oom'}}
