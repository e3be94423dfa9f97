-- Adds requests of one stamp to an hour. KEYS: the hour.
-- ARGV: seconds to live, fields max, field of all requests, all requests, then tenant, requests, tenant, requests, ...
local key, most, all = KEYS[1], tonumber(ARGV[2]), ARGV[3]
local count = redis.call('HLEN', key)
-- nobody of ours has written this: it may cost too much to look at
if count > most then return redis.error_reply('ERR more fields than an hour has') end

local function add(field, by)
  local sum = redis.pcall('HINCRBY', key, field, by)
  -- no number stood there
  if type(sum) == 'table' and sum.err then redis.call('HSET', key, field, by) end
end

count = count + 1 - redis.call('HEXISTS', key, all)
add(all, ARGV[4])

-- the tenants that are there, those with the fewest requests last; only looked at when there is no room
local least
local function smallest()
  if not least then
    least = {}
    local fields = redis.call('HGETALL', key)
    for i = 1, #fields, 2 do
      if fields[i] ~= all then table.insert(least, {fields[i], tonumber(fields[i + 1]) or 0}) end
    end
    table.sort(least, function(a, b) return a[2] > b[2] end)
  end
  return least[#least]
end

for i = 5, #ARGV, 2 do
  local tenant, by = ARGV[i], ARGV[i + 1]
  if redis.call('HEXISTS', key, tenant) == 1 then
    add(tenant, by)
  elseif count < most then
    add(tenant, by)
    count = count + 1
  else
    local other = smallest()
    if other and other[2] < tonumber(by) then
      redis.call('HDEL', key, other[1])
      table.remove(least)
      add(tenant, by)
    end
  end
end
redis.call('EXPIRE', key, ARGV[1])
return 'OK'
