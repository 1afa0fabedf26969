-- What is known of deployments and credentials, by all replicas. KEYS[1]: a hash of "<told at>|<ends at>|<text>" by
-- field, milliseconds of this server's clock. ARGV: field, milliseconds it is worth keeping, text; and so on.
-- Returns the time, and then every field with its value; what has ended is dropped.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #ARGV, 3 do
  local value = string.format('%.0f|%.0f|%s', now, now + tonumber(ARGV[i + 1]), ARGV[i + 2])
  redis.call('HSET', KEYS[1], ARGV[i], value)
end
local known = redis.call('HGETALL', KEYS[1])
local answer = { string.format('%.0f', now) }
for i = 1, #known, 2 do
  local ends = tonumber(string.match(known[i + 1], '^%d+|(%d+)|'))
  if ends == nil or ends < now then
    redis.call('HDEL', KEYS[1], known[i])
  else
    answer[#answer + 1] = known[i]
    answer[#answer + 1] = known[i + 1]
  end
end
return answer
