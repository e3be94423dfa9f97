-- Writes a proxy's ack with the store's own time and raises acked. KEYS: acks, acked. ARGV: proxy, ack, term, epoch, max.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('GET', KEYS[2]) or '0.0'
local bt, be = string.match(before, '^(%d+)%.(%d+)$')
bt, be = tonumber(bt or 0), tonumber(be or 0)
local term, epoch = tonumber(ARGV[3]), tonumber(ARGV[4])
if term > bt or (term == bt and epoch > be) then redis.call('SET', KEYS[2], ARGV[3] .. '.' .. ARGV[4]) end
if redis.call('HLEN', KEYS[1]) < tonumber(ARGV[5]) or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], (string.gsub(ARGV[2], '"at":%d+', '"at":' .. string.format('%.0f', now))))
end
return now
