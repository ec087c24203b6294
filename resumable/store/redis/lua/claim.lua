-- Take what an index says is due, and put it off for everybody else; a hint, which never decides anything.
--
-- KEYS[1]  index    sorted set, session ID -> ms since 1970
-- ARGV[1]  age_ms   due is what has a score at least this far in the past
-- ARGV[2]  hold_ms  it is due again after this long
-- ARGV[3]  limit    at most this many
--
-- Returns {session ID, ...}, what has been due longest first.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[1]), 'LIMIT', 0, ARGV[3])
local later = string.format('%.0f', now - ARGV[1] + ARGV[2])
for i = 1, #due do redis.call('ZADD', KEYS[1], later, due[i]) end
return due
