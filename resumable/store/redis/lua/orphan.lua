-- Mark a running session that nobody holds as orphaned: it waits for a credential of its principal.
--
-- KEYS[1]  meta  hash, the checkpoint
-- KEYS[2]  log   stream, entry id "<token>-<seq>"; "<token>-0" is a marker
--
-- Returns {"OK", principal} | {"HELD", holder, left_ms} | {"ENDED", status, last_seq} | {"MISSING"}
--       | {"LOST", "log" or "checkpoint"}
local m = redis.call('HMGET', KEYS[1], 'status', 'token', 'holder', 'lease_until_ms', 'marker', 'base', 'last_seq',
  'cancel', 'principal')
if not m[2] then
  if redis.call('EXISTS', KEYS[2]) == 1 then return {'LOST', 'checkpoint'} end
  return {'MISSING'}
end
local status, last = m[1], tonumber(m[7])
if status == 'orphaned' then return {'OK', m[9]} end
if status ~= 'running' then return {'ENDED', status, last} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = tonumber(m[4]) - now
if left > 0 then return {'HELD', m[3], left} end
local fresh = string.format('%.0f', math.max(now, m[5] + 1))
local after = m[5] .. '-0'
if m[5] == m[2] and last > tonumber(m[6]) then after = m[2] .. '-' .. m[7] end
local to = m[8] and 'cancelled' or 'orphaned' -- a cancel that was waiting ends it
if not redis.call('XADD', KEYS[2], 'NOMKSTREAM', fresh .. '-0', 'status', to, 'holder', '', 'base', m[7],
  'after', after) then
  return {'LOST', 'log'}
end
-- Token and holder go, so that the old holder is fenced when it wakes up.
redis.call('HSET', KEYS[1], 'status', to, 'token', fresh, 'marker', fresh, 'holder', '', 'base', m[7],
  'lease_until_ms', '0', 'updated_ms', string.format('%.0f', now))
if m[8] then return {'ENDED', to, last} end
return {'OK', m[9]}
