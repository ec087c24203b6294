-- Note sessions in an index; a hint, which never decides anything.
--
-- KEYS[1]  index     sorted set, session ID -> ms since 1970
-- ARGV[1]  ahead_ms  the score is this far in the future
-- ARGV[2]  keep_ms   scores older than this are dropped
-- ARGV[3]  only_new  "1" leaves the score of what is there
-- ARGV[4..]          session IDs
--
-- Returns now_ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local score = string.format('%.0f', now + ARGV[1])
for i = 4, #ARGV do
  if ARGV[3] == '1' then
    redis.call('ZADD', KEYS[1], 'NX', score, ARGV[i])
  else
    redis.call('ZADD', KEYS[1], score, ARGV[i])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - ARGV[2]))
local life = ARGV[1] + ARGV[2]
if redis.call('PTTL', KEYS[1]) < life * 0.9 then redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', now + life)) end
return string.format('%.0f', now)
