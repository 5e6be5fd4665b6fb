-- GCRA over KEYS. Of each key ARGV has four: the microseconds in which a token comes
-- back, the quota, what is needed and what is wanted. Answers four of each: what was
-- granted, what is left, how long to wait until the need can be met, and how long
-- until the bucket is full, in microseconds. Where one need cannot be met nothing is
-- granted.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local out, tats, denied = {}, {}, false
for i = 1, #KEYS do
  local a = (i - 1) * 4
  local interval, quota, need = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local tat = math.max(tonumber(redis.call('GET', KEYS[i]) or now), now)
  local room = math.floor((now + quota * interval - tat) / interval + 0.001)
  tats[i] = tat
  out[a + 1], out[a + 2], out[a + 3], out[a + 4] = 0, math.max(room, 0), 0, math.ceil(tat - now)
  if room < need then
    denied = true
    out[a + 3] = math.max(math.ceil(tat + need * interval - now - quota * interval), 1)
  end
end
if denied then
  return out
end
for i = 1, #KEYS do
  local a = (i - 1) * 4
  local interval, granted = tonumber(ARGV[a + 1]), math.min(out[a + 2], tonumber(ARGV[a + 4]))
  local tat = tats[i] + granted * interval
  redis.call('SET', KEYS[i], string.format('%.3f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
  out[a + 1], out[a + 2], out[a + 4] = granted, out[a + 2] - granted, math.ceil(tat - now)
end
return out
