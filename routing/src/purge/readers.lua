-- The store's time in ms, the first and the newest id of the stream ('': none), then process, passed, process, passed, ...;
-- the process '' is none: it says since when there is the list
-- KEYS: stream, readers. ARGV: readers max, bytes of a name max
local function id(entries) return entries[1] and entries[1][1] or '' end
local time = redis.call('TIME')
local found = {
  string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)),
  id(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)),
  id(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)),
}
-- nobody of ours has written so many
if redis.call('HLEN', KEYS[2]) > tonumber(ARGV[1]) + 1 then return redis.error_reply('ERR more readers than there may be') end
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  table.insert(found, string.sub(all[i], 1, tonumber(ARGV[2])))
  table.insert(found, string.sub(all[i + 1], 1, 64))
end
return found
