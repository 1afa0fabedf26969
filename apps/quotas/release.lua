-- Frees a call's places and moves meters of tokens from what was asked to what was used.
--
-- KEYS  a meter and the places of each limit
-- ARGV  ticket; then of each limit: microseconds of a minute to give back (negative: to charge), where its meter of
--       tokens stood after the call was admitted

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 1, #KEYS / 2 do
  redis.call('ZREM', KEYS[2 * i], ARGV[1])
  local unused, mark = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local t = tonumber(redis.call('HGET', KEYS[2 * i - 1], 't') or '0')
  if unused > 0 then
    t = t - math.min(unused, math.max(0, mark - now))
  elseif unused < 0 then
    t = math.max(t, now) - unused
  end
  if unused ~= 0 and t > 0 then
    redis.call('HSET', KEYS[2 * i - 1], 't', string.format('%.0f', t))
    local left = math.ceil((t - now) / 1000) + 1000
    if left > redis.call('PTTL', KEYS[2 * i - 1]) then redis.call('PEXPIRE', KEYS[2 * i - 1], math.max(left, 1000)) end
  end
end
