-- Where the meters of limits stand; nothing is taken, and nothing written.
--
-- KEYS  a meter (hash: r, t) and the places (sorted set: ticket -> expiry) of each limit
-- Returns now; then of each limit its meters of requests and tokens, and the calls under way.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {now}
for i = 1, #KEYS, 2 do
  local stored = redis.call('HMGET', KEYS[i], 'r', 't')
  answer[#answer + 1] = tonumber(stored[1] or '0')
  answer[#answer + 1] = tonumber(stored[2] or '0')
  answer[#answer + 1] = redis.call('ZCOUNT', KEYS[i + 1], '(' .. string.format('%.0f', now), '+inf')
end
return answer
