-- Keep a lease.
--
-- KEYS[1]  meta         hash, the checkpoint
-- KEYS[2]  log          stream; kept as long as the others
-- KEYS[3]  request      string; kept as long as the others
-- ARGV[1]  token        of the caller's lease
-- ARGV[2]  holder       of the caller's lease
-- ARGV[3]  duration_ms  the lease is kept for this long
-- ARGV[4]  ttl_ms       the keys are kept for this long
--
-- Returns {"OK", last_seq, 0, cancel or ""} | {"FENCED", highest token, holder or ""} | {"ENDED", status, last_seq}
--       | {"MISSING"} | {"LOST", "log" or "checkpoint"}
local m = redis.call('HMGET', KEYS[1], 'token', 'holder', 'status', 'lease_until_ms', 'marker', 'last_seq', 'cancel')
local there = redis.call('EXISTS', KEYS[2])
if not m[1] then
  if there == 1 then return {'LOST', 'checkpoint'} end
  return {'MISSING'}
end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[5], m[2]} end
if m[3] ~= 'running' then return {'ENDED', m[3], tonumber(m[6])} end
if m[4] == '0' then return {'FENCED', m[5], ''} end
if there == 0 then return {'LOST', 'log'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'lease_until_ms', string.format('%.0f', now + ARGV[3]))
local ttl = tonumber(ARGV[4])
if redis.call('PTTL', KEYS[1]) < ttl * 0.9 then
  local gone_ms = string.format('%.0f', now + ttl)
  for i = 1, #KEYS do redis.call('PEXPIREAT', KEYS[i], gone_ms) end
end
return {'OK', tonumber(m[6]), 0, m[7] or ''}
