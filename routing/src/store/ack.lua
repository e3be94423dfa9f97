-- Writes a proxy's ack with the store's own time and raises acked; says 'FULL' if there is no room, else ''.
-- KEYS: acks, acked. ARGV: proxy, ack, term, epoch, acks max, kept ms, counter max
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bt, be = string.match(redis.call('GETRANGE', KEYS[2], 0, 64), '^(%d+)%.(%d+)$')
bt, be = tonumber(bt or 0), tonumber(be or 0)
-- what cannot be counted on is put right
if bt >= tonumber(ARGV[7]) or be >= tonumber(ARGV[7]) then bt, be = 0, 0 end
local term, epoch = tonumber(ARGV[3]), tonumber(ARGV[4])
if term > bt or (term == bt and epoch > be) then redis.call('SET', KEYS[2], ARGV[3] .. '.' .. ARGV[4]) end

local function full() return redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and full() then
  local acks = redis.call('HGETALL', KEYS[1])
  for i = 1, #acks, 2 do
    local at = tonumber(string.match(acks[i + 1], '"at":(%d+)}?$') or 0)
    if now - at >= tonumber(ARGV[6]) then redis.call('HDEL', KEYS[1], acks[i]) end
  end
  if full() then return 'FULL' end
end
redis.call('HSET', KEYS[1], ARGV[1], (string.gsub(ARGV[2], '"at":%d+', '"at":' .. string.format('%.0f', now))))
return ''
