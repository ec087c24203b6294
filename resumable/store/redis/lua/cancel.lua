-- Ask the holder of a session to stop; where nobody writes, end the session in place.
--
-- KEYS[1]  meta    hash, the checkpoint
-- KEYS[2]  log     stream, entry id "<token>-<seq>"; "<token>-0" is a marker
-- KEYS[3]  request string; kept as long as the others
-- ARGV[1]  reason  not empty
--
-- Returns {"ASKED", holder, last_seq} | {"DONE", last_seq} | {"ENDED", status, last_seq} | {"MISSING"}
--       | {"LOST", "log" or "checkpoint"}
local m = redis.call('HMGET', KEYS[1], 'status', 'token', 'holder', 'lease_until_ms', 'marker', 'base', 'last_seq',
  'cancel', 'ttl_ms')
if not m[2] then
  if redis.call('EXISTS', KEYS[2]) == 1 then return {'LOST', 'checkpoint'} end
  return {'MISSING'}
end
local status, last = m[1], tonumber(m[7])
if status == 'cancelled' then return {'DONE', last} end -- the answer to an earlier call was lost, or it was cancelled
if status ~= 'running' and status ~= 'orphaned' then return {'ENDED', status, last} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_ms = string.format('%.0f', now)
local reason = m[8] or ARGV[1] -- the first one stays
if status == 'running' and tonumber(m[4]) > now then
  redis.call('HSETNX', KEYS[1], 'cancel_ms', now_ms)
  redis.call('HSET', KEYS[1], 'cancel', reason)
  return {'ASKED', m[3], last}
end
local fresh = string.format('%.0f', math.max(now, m[5] + 1))
local after = m[5] .. '-0'
if m[5] == m[2] and last > tonumber(m[6]) then after = m[2] .. '-' .. m[7] end
if not redis.call('XADD', KEYS[2], 'NOMKSTREAM', fresh .. '-0', 'status', 'cancelled', 'holder', '', 'base', m[7],
  'after', after) then
  return {'LOST', 'log'}
end
redis.call('HSETNX', KEYS[1], 'cancel_ms', now_ms)
redis.call('HSET', KEYS[1], 'cancel', reason, 'status', 'cancelled', 'marker', fresh, 'lease_until_ms', '0',
  'updated_ms', now_ms)
local gone_ms = string.format('%.0f', now + m[9])
for i = 1, #KEYS do redis.call('PEXPIREAT', KEYS[i], gone_ms) end
return {'DONE', last}
