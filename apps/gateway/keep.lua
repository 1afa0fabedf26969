-- Keeps an answer, and as many others as then fit: what would expire first goes first.
-- KEYS: the answer, and of all answers: those by expiry, their sizes, the sum of these.
-- ARGV: the answer, milliseconds to keep it, its size, the most that all may have.
local name, by_expiry, sizes, sum = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl, size, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function drop(gone)
    redis.call('DEL', gone)
    redis.call('ZREM', by_expiry, gone)
    local had = redis.call('HGET', sizes, gone)
    if had then
        redis.call('HDEL', sizes, gone)
        redis.call('DECRBY', sum, had)
    end
end

redis.call('INCRBY', sum, 0) -- a server whose memory is full refuses its first write only, and a DEL never
drop(name)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', by_expiry, '-inf', now, 'LIMIT', 0, 100)) do
    drop(gone)
end
while tonumber(redis.call('GET', sum) or '0') + size > most do
    local first = redis.call('ZRANGE', by_expiry, 0, 0)[1]
    if not first then
        redis.call('DEL', sum)
        break
    end
    drop(first)
end
redis.call('SET', name, ARGV[1], 'PX', ttl)
redis.call('ZADD', by_expiry, now + ttl, name)
redis.call('HSET', sizes, name, size)
return redis.call('INCRBY', sum, size)
