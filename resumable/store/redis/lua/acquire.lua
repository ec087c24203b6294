-- Take the lease of a session that nobody holds; create the session if asked to.
--
-- KEYS[1]  meta          hash, the checkpoint
-- KEYS[2]  log           stream, entry id "<token>-<seq>"; "<token>-0" is a marker
-- KEYS[3]  request       string
-- ARGV[1]  holder        who asks; unique per writer
-- ARGV[2]  duration_ms   of the lease
-- ARGV[3]  ttl_ms        the three keys are kept for this long after the last write
-- ARGV[4]  schema        highest major version the caller reads; a new session is written with it
-- ARGV[5]  create        "1" creates a session that is not there; then [6..] are given
-- ARGV[6]  request_hash  must agree with that of a session that is there
-- ARGV[7]  principal
-- ARGV[8]  request       bytes
-- ARGV[9..]              name, value, ...: first fields of the checkpoint
--
-- Returns {"CREATED", token, now_ms} | {"TAKEN" or "KEPT", token, now_ms, checkpoint before: {name, value, ...}}
--       | {"HELD", holder, left_ms} | {"ENDED", status, last_seq} | {"CONFLICT"} | {"MISSING"}
--       | {"LOST", "log" or "checkpoint"} | {"SCHEMA", found}
local meta, log = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local now_ms = string.format('%.0f', now)
local until_ms = string.format('%.0f', now + ARGV[2])
local gone_ms = string.format('%.0f', now + ARGV[3]) -- one instant for all keys

local function keep()
  for i = 1, #KEYS do redis.call('PEXPIREAT', KEYS[i], gone_ms) end
end

local m = redis.call('HMGET', meta, 'schema', 'status', 'token', 'holder', 'lease_until_ms', 'marker', 'base',
  'last_seq', 'cancel', 'request_hash')

if not m[3] then
  if redis.call('EXISTS', log) == 1 then return {'LOST', 'checkpoint'} end
  if ARGV[5] ~= '1' then return {'MISSING'} end
  redis.call('XADD', log, now_ms .. '-0', 'status', 'running', 'holder', ARGV[1], 'base', '0')
  redis.call('HSET', meta, 'schema', ARGV[4], 'status', 'running', 'holder', ARGV[1], 'token', now_ms,
    'marker', now_ms, 'lease_until_ms', until_ms, 'base', '0', 'last_seq', '0', 'takeovers', '0',
    'principal', ARGV[7], 'request_hash', ARGV[6], 'ttl_ms', ARGV[3], 'created_ms', now_ms, 'updated_ms', now_ms)
  for i = 9, #ARGV, 2 do redis.call('HSET', meta, ARGV[i], ARGV[i + 1]) end
  redis.call('SET', KEYS[3], ARGV[8])
  keep()
  return {'CREATED', now_ms, now_ms}
end

if tonumber(string.match(m[1] or '', '^%d+') or '0') > tonumber(ARGV[4]) then return {'SCHEMA', m[1]} end
if ARGV[5] == '1' and m[10] ~= ARGV[6] then return {'CONFLICT'} end
local status, token, marker, last = m[2], m[3], m[6], m[8]
if status ~= 'running' and status ~= 'orphaned' then return {'ENDED', status, tonumber(last)} end
local before = redis.call('HGETALL', meta)
local left = tonumber(m[5]) - now
if status == 'running' and m[5] ~= '0' and m[4] == ARGV[1] then -- the answer to an earlier call was lost
  redis.call('HSET', meta, 'lease_until_ms', until_ms, 'ttl_ms', ARGV[3])
  keep()
  return {'KEPT', token, now_ms, before}
end
if status == 'running' and left > 0 then return {'HELD', m[4], left} end

-- The last entry of the log must be the one the checkpoint knows: else one of them is not what it was.
local known = marker .. '-0'
if marker == token and tonumber(last) > tonumber(m[7]) then known = token .. '-' .. last end
local tail = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if not tail or tail[1] ~= known then return {'LOST', 'log'} end

-- From the clock, so that a token lost in a failover is not given out again; above every marker in any case.
-- Its marker makes the server itself refuse whatever an older token adds.
local fresh = string.format('%.0f', math.max(now, marker + 1))
if m[9] then -- a cancel was waiting for a holder that has gone
  redis.call('XADD', log, fresh .. '-0', 'status', 'cancelled', 'holder', '', 'base', last, 'after', known)
  redis.call('HSET', meta, 'status', 'cancelled', 'marker', fresh, 'lease_until_ms', '0', 'updated_ms', now_ms)
  keep()
  return {'ENDED', 'cancelled', tonumber(last)}
end
redis.call('XADD', log, fresh .. '-0', 'status', 'running', 'holder', ARGV[1], 'base', last, 'after', known)
redis.call('HSET', meta, 'status', 'running', 'holder', ARGV[1], 'token', fresh, 'marker', fresh,
  'lease_until_ms', until_ms, 'base', last, 'ttl_ms', ARGV[3], 'updated_ms', now_ms)
redis.call('HINCRBY', meta, 'takeovers', 1)
keep()
return {'TAKEN', fresh, now_ms, before}
