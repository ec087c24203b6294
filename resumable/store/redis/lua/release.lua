-- Give a lease up, so that the next holder need not wait; a marker without a holder tells the readers.
--
-- KEYS[1]  meta    hash, the checkpoint
-- KEYS[2]  log     stream, entry id "<token>-<seq>"; "<token>-0" is a marker
-- ARGV[1]  token   of the caller's lease
-- ARGV[2]  holder  of the caller's lease
--
-- Returns {"OK"} | {"FENCED", highest token, holder or ""} | {"ENDED", status, last_seq} | {"MISSING"}
--       | {"LOST", "log" or "checkpoint"}
local m = redis.call('HMGET', KEYS[1], 'token', 'holder', 'status', 'lease_until_ms', 'marker', 'base', 'last_seq')
if not m[1] then
  if redis.call('EXISTS', KEYS[2]) == 1 then return {'LOST', 'checkpoint'} end
  return {'MISSING'}
end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[5], m[2]} end
if m[3] ~= 'running' then return {'ENDED', m[3], tonumber(m[7])} end
if m[4] == '0' then return {'OK'} end -- the answer to an earlier call was lost
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fresh = string.format('%.0f', math.max(now, m[5] + 1))
local after = m[1] .. '-' .. (tonumber(m[7]) > tonumber(m[6]) and m[7] or '0')
if not redis.call('XADD', KEYS[2], 'NOMKSTREAM', fresh .. '-0', 'status', 'running', 'holder', '', 'base', m[7],
  'after', after) then
  return {'LOST', 'log'}
end
redis.call('HSET', KEYS[1], 'lease_until_ms', '0', 'marker', fresh, 'updated_ms', string.format('%.0f', now))
return {'OK'}
