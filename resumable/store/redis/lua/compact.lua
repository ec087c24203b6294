-- Put packs in the place of the events of a session that is over; readers find the one log or the other.
--
-- The new log is built beside the old one and takes its place at the end: an error on the way costs nothing.
--
-- KEYS[1]  meta     hash, the checkpoint
-- KEYS[2]  log      stream, entry id "<token>-<seq>"; "<token>-0" is a marker
-- KEYS[3]  request  string; kept as long as the others
-- KEYS[4]  fresh    stream, the new log while it is built
-- ARGV[1]  entries  of the log as the caller has read it
-- ARGV[2..]         id, first, blob, ...: the new log. A pack has the id of its last event, the seq of its first and
--                   its bytes; where first is "", the entry with that id is copied
--
-- Returns {"OK"} | {"RUNNING"} | {"CHANGED"} (another log than was read) | {"MISSING"}
--       | {"LOST", "log" or "checkpoint"}
local meta, log, fresh = KEYS[1], KEYS[2], KEYS[4]
local m = redis.call('HMGET', meta, 'status', 'marker', 'compact_ms')
local there = redis.call('EXISTS', log)
if not m[1] then
  if there == 1 then return {'LOST', 'checkpoint'} end
  return {'MISSING'}
end
if there == 0 then return {'LOST', 'log'} end
if m[1] == 'running' or m[1] == 'orphaned' then return {'RUNNING'} end
if m[3] then return {'OK'} end
if redis.call('XLEN', log) ~= tonumber(ARGV[1]) or ARGV[#ARGV - 2] ~= m[2] .. '-0' then return {'CHANGED'} end

local left = redis.call('PTTL', meta)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('UNLINK', fresh) -- also the first write, which a server without memory left would refuse if it were an XADD
for i = 2, #ARGV, 3 do
  if ARGV[i + 1] ~= '' then
    redis.call('XADD', fresh, ARGV[i], 'first', ARGV[i + 1], 'z', ARGV[i + 2])
  else
    local entry = redis.call('XRANGE', log, ARGV[i], ARGV[i])[1]
    if not entry then
      redis.call('UNLINK', fresh)
      return {'CHANGED'}
    end
    redis.call('XADD', fresh, ARGV[i], unpack(entry[2]))
  end
  if i == 2 then redis.call('PEXPIRE', fresh, math.max(left, 1000)) end
end
redis.call('UNLINK', log)
redis.call('RENAME', fresh, log)
redis.call('HSET', meta, 'compact_ms', string.format('%.0f', now))
if left > 0 then
  local gone_ms = string.format('%.0f', now + left)
  for i = 1, 3 do redis.call('PEXPIREAT', KEYS[i], gone_ms) end
end
return {'OK'}
