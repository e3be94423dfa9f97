-- Says how the stream stands around an id; if that entry is still there, nothing after it is missing, and so the process has
-- passed what it says. Returns whether it is there ('1' or ''), the first and the newest id ('': none).
-- KEYS: stream, readers. ARGV: anchor, process ('': says nothing), passed, kept ms, readers max, prune ('1' or '')
local function id(entries) return entries[1] and entries[1][1] or '' end
local first = id(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1))
local newest = id(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1))
local anchored = id(redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])) ~= ''
local process = ARGV[2]
if process == '' or not anchored then return {anchored and '1' or '', first, newest} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function prune()
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    local at = tonumber(string.match(all[i + 1], '@(%d+)$') or 0)
    if all[i] ~= '' and now - at >= tonumber(ARGV[4]) then redis.call('HDEL', KEYS[2], all[i]) end
  end
end
-- since when there is this list: if it was lost, who is on it cannot be all until everybody has come again
redis.call('HSETNX', KEYS[2], '', '@' .. string.format('%.0f', now))
local function is_full()
  return redis.call('HLEN', KEYS[2]) > tonumber(ARGV[5]) and redis.call('HEXISTS', KEYS[2], process) == 0
end
if ARGV[6] == '1' or is_full() then prune() end
-- who is not listed is not waited for: it must not use its cache
if is_full() then return redis.error_reply('ERR too many processes read the purges') end
redis.call('HSET', KEYS[2], process, ARGV[3] .. '@' .. string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {'1', first, newest}
