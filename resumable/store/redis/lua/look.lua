-- Read a checkpoint together with the time it is read at.
--
-- KEYS[1]  meta  hash, the checkpoint
-- KEYS[2]  log   stream
-- ARGV           names of fields to leave out
--
-- Returns {"OK", now_ms, {name, value, ...}} | {"MISSING"} | {"LOST", "log" or "checkpoint"}
local meta, there = redis.call('EXISTS', KEYS[1]), redis.call('EXISTS', KEYS[2])
if meta == 0 and there == 0 then return {'MISSING'} end
if meta == 0 then return {'LOST', 'checkpoint'} end
if there == 0 then return {'LOST', 'log'} end
local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local all = redis.call('HGETALL', KEYS[1])
local leave = {}
for i = 1, #ARGV do leave[ARGV[i]] = true end
local kept = {}
for i = 1, #all, 2 do
  if not leave[all[i]] then
    kept[#kept + 1] = all[i]
    kept[#kept + 1] = all[i + 1]
  end
end
return {'OK', now_ms, kept}
