-- Keeps a text by its hash and lets the oldest go beyond the most.
-- KEYS: texts (hash), order (sorted set). ARGV: hash, text, most, milliseconds.
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now[1] * 1000000 + now[2], ARGV[1])
local beyond = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if beyond > 0 then
  for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, beyond - 1)) do
    redis.call('HDEL', KEYS[1], old)
    redis.call('ZREM', KEYS[2], old)
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
