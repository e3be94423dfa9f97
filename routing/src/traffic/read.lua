-- One hour: its fields and values one after the other, without what is too long for either; '?' if it is no hour of ours.
-- KEYS: the hour. ARGV: fields max, bytes of a field max, bytes of a value max
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'hash' or redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return {'?'} end
local fields, found = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #fields, 2 do
  if #fields[i] <= tonumber(ARGV[2]) and #fields[i + 1] <= tonumber(ARGV[3]) then
    table.insert(found, fields[i])
    table.insert(found, fields[i + 1])
  end
end
return found
