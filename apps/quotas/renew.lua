-- Keeps the places of calls that still run, or takes them again. KEYS: places. ARGV: life in microseconds, then the
-- ticket at each key.

local time = redis.call('TIME')
local expiry = string.format('%.0f', time[1] * 1000000 + time[2] + tonumber(ARGV[1]))
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], expiry, ARGV[i + 1])
  redis.call('PEXPIRE', KEYS[i], math.ceil(tonumber(ARGV[1]) / 1000) + 1000)
end
