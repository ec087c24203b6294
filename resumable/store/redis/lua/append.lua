-- Append events to a session's log and move its checkpoint, if the caller is still its writer; end it if asked to.
--
-- All or nothing. What the log holds already is not written again, so that a call whose answer was lost can be
-- sent again as it is.
--
-- KEYS[1]  meta         hash, the checkpoint
-- KEYS[2]  log          stream, entry id "<token>-<seq>"; "<token>-0" is a marker
-- KEYS[3]  request      string; kept as long as the others
-- ARGV[1]  token        of the caller's lease
-- ARGV[2]  holder       of the caller's lease
-- ARGV[3]  first        seq of the first event
-- ARGV[4]  n            number of events
-- ARGV[5]  duration_ms  the lease is kept for this long
-- ARGV[6]  ttl_ms       the keys are kept for this long
-- ARGV[7]  end          "" or the status that ends the session behind these events
-- ARGV[8..7+n]          bytes, one event each
-- ARGV[8+n..]           name, value, ...: fields of the checkpoint
--
-- Returns {"OK", last_seq, written, cancel or ""} | {"FENCED", highest token, holder or ""}
--       | {"ENDED", status, last_seq} | {"GAP", last_seq} | {"MISSING"} | {"LOST", "log" or "checkpoint"}
local meta, log = KEYS[1], KEYS[2]
local m = redis.call('HMGET', meta, 'token', 'holder', 'status', 'lease_until_ms', 'marker', 'base', 'last_seq', 'cancel')
if not m[1] then
  if redis.call('EXISTS', log) == 1 then return {'LOST', 'checkpoint'} end
  return {'MISSING'}
end
local token, status, marker = m[1], m[3], m[5]
-- A failover can lose a token, and the clock give it out again: only both together name a lease.
if token ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', marker, m[2]} end

local base, last, cancel = tonumber(m[6]), tonumber(m[7]), m[8] or ''
local first, n, ending = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[7]
if first > last + 1 or first <= base then return {'GAP', last} end
local skip = last - first + 1 -- how many of these the log holds already
if status ~= 'running' then
  if skip >= n and (ending == '' or ending == status) then return {'OK', last, 0, cancel} end
  return {'ENDED', status, last}
end
if m[4] == '0' then -- released
  if skip >= n and ending == '' then return {'OK', last, 0, cancel} end
  return {'FENCED', marker, ''}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local h = {'lease_until_ms', string.format('%.0f', now + ARGV[5])}
local written = 0
if n == 0 or skip < n or ending ~= '' then
  for i = skip + 1, n do
    if not redis.call('XADD', log, 'NOMKSTREAM', token .. '-' .. (first + i - 1), 'd', ARGV[7 + i]) then
      return {'LOST', 'log'}
    end
    written = written + 1
  end
  last = last + written
  h[3], h[4], h[5], h[6] = 'last_seq', last, 'updated_ms', string.format('%.0f', now)
  for i = 8 + n, #ARGV do h[#h + 1] = ARGV[i] end
end
if ending ~= '' then
  local fresh = string.format('%.0f', math.max(now, marker + 1))
  local after = token .. '-' .. (last > base and last or 0)
  if not redis.call('XADD', log, 'NOMKSTREAM', fresh .. '-0', 'status', ending, 'holder', '', 'base', last,
    'after', after) then
    return {'LOST', 'log'}
  end
  h[2] = '0'
  h[#h + 1] = 'status' h[#h + 1] = ending h[#h + 1] = 'marker' h[#h + 1] = fresh
end
redis.call('HSET', meta, unpack(h)) -- fields only: unpack fails for thousands of values

-- Each PEXPIREAT is replicated and logged: only when a tenth of the time is gone.
local ttl = tonumber(ARGV[6])
if ending ~= '' or redis.call('PTTL', meta) < ttl * 0.9 then
  local gone_ms = string.format('%.0f', now + ttl)
  for i = 1, #KEYS do redis.call('PEXPIREAT', KEYS[i], gone_ms) end
end
return {'OK', last, written, cancel}
