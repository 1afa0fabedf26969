-- GCRA for requests and tokens a minute, and places for calls at one time; over all limits or none. Integers, in
-- microseconds of the server's own clock. The arithmetic is that of domain/limits/rate.py, where it is explained.
--
-- KEYS  a meter (hash: r, t) and the places (sorted set: ticket -> expiry) of each limit
-- ARGV  tokens, ticket, life of a place; then of each limit: requests and tokens a minute, concurrency; 0: no such limit
-- Returns allowed (1 or 0), now, and of what refused longest: its number, its kind (1 requests, 2 tokens, 3 concurrency),
-- the wait; then where the meters of each limit stand.

local MINUTE, BUSY_WAIT = 60000000, 1000000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tokens, ticket, life = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local count = #KEYS / 2
local stands, taken = {}, {}
local longest, refused, kind = 0, 0, 0

local function wait_for(wait, index, what)
  if wait > longest then longest, refused, kind = wait, index, what end
end

for i = 1, count do
  local at = 3 * i + 1
  local requests, per_minute, places = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local stored = redis.call('HMGET', KEYS[2 * i - 1], 'r', 't')
  local r, t = tonumber(stored[1] or '0'), tonumber(stored[2] or '0')
  local next_r, next_t = r, t
  if places > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2 * i], '-inf', now)
    if redis.call('ZCARD', KEYS[2 * i]) >= places then wait_for(BUSY_WAIT, i, 3) end
  end
  if requests > 0 then
    next_r = math.max(r, now) + math.floor(MINUTE / requests)
    wait_for(next_r - now - MINUTE, i, 1)
  end
  if per_minute > 0 then
    next_t = math.max(t, now) + math.floor(math.min(tokens, per_minute) * MINUTE / per_minute)
    wait_for(next_t - now - MINUTE, i, 2)
  end
  stands[i], taken[i] = {r, t}, {next_r, next_t}
end

local allowed = longest == 0
local answer = {allowed and 1 or 0, now, refused, kind, longest}
for i = 1, count do
  local stand = allowed and taken[i] or stands[i]
  answer[#answer + 1], answer[#answer + 2] = stand[1], stand[2]
  if allowed then
    if stand[1] > now or stand[2] > now then
      redis.call('HSET', KEYS[2 * i - 1], 'r', string.format('%.0f', stand[1]), 't', string.format('%.0f', stand[2]))
      redis.call('PEXPIRE', KEYS[2 * i - 1], math.ceil((math.max(stand[1], stand[2]) - now) / 1000) + 1000)
    end
    if tonumber(ARGV[3 * i + 3]) > 0 then
      redis.call('ZADD', KEYS[2 * i], string.format('%.0f', now + life), ticket)
      redis.call('PEXPIRE', KEYS[2 * i], math.ceil(life / 1000) + 1000)
    end
  end
end
return answer
