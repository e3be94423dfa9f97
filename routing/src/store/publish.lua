-- Publishes a table: all or nothing. The same rule as rule.rs. Values come by KEYS and ARGV only.
-- KEYS: head, table, tenants, log, acks, acked
-- ARGV: expected head ("" = none), head, table, tenants, mode, term, epoch, needs, log entry, live ms, kept ms,
--       log max, epochs kept, channel, key stem
local function version(text)
  local term, epoch = string.match(text or '', '^(%d+)%.(%d+)$')
  return tonumber(term or 0), tonumber(epoch or 0)
end
local function newer(at, ae, bt, be) return at > bt or (at == bt and ae > be) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('GET', KEYS[1])
if head and head == ARGV[2] then return {'OK', ''} end
local term, epoch, needs, mode = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[5]
local ht, he = 0, 0
if head then
  local sound, decoded = pcall(cjson.decode, head)
  if sound and type(decoded) == 'table' then
    ht, he = tonumber(decoded['term']) or 0, tonumber(decoded['epoch']) or 0
  end
end
local acked = redis.call('GET', KEYS[6]) or '0.0'
local kt, ke = version(acked)
local acks = redis.call('HGETALL', KEYS[5])
local confirmed, at, ae = #acks == 0, 0, 0
for i = 1, #acks, 2 do
  local sound, ack = pcall(cjson.decode, acks[i + 1])
  if sound and type(ack) == 'table' and type(ack['applied']) == 'table' and tonumber(ack['at']) then
    local age = now - ack['at']
    if age < tonumber(ARGV[10]) then
      local t, e = tonumber(ack['applied']['term']) or 0, tonumber(ack['applied']['epoch']) or 0
      if (tonumber(ack['format']) or 0) < needs then return {'NEEDSNEWER', acks[i], tostring(ack['format'])} end
      if t == ht and e == he then confirmed = true end
      if newer(t, e, at, ae) then at, ae = t, e end
    end
  end
end
local shown = string.format('%.0f.%.0f', ht, he)
if mode == 'recover' then
  if newer(kt, ke, ht, he) then ht, he = kt, ke end
  if newer(at, ae, ht, he) then ht, he = at, ae end
  if not newer(term, epoch, ht, he) then return {'VERSION', string.format('%.0f.%.0f', ht, he)} end
else
  if (head or '') ~= ARGV[1] then return {'LOST', ''} end
  if not head then
    if mode ~= 'init' then return {'NEEDSINIT', ''} end
    if kt > 0 or ke > 0 then return {'BEHIND', shown, acked} end
  else
    if mode == 'init' then return {'LOST', ''} end
    if newer(kt, ke, ht, he) then return {'BEHIND', shown, acked} end
    if term ~= ht or epoch <= he then return {'VERSION', shown} end
    if mode == 'ordinary' and not confirmed then return {'UNCONFIRMED', shown} end
  end
end
redis.call('SET', KEYS[2], ARGV[3])
redis.call('SET', KEYS[3], ARGV[4])
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2] .. ':head', ARGV[2])
for i = 1, #acks, 2 do
  local sound, ack = pcall(cjson.decode, acks[i + 1])
  if not (sound and type(ack) == 'table' and tonumber(ack['at']) and now - ack['at'] < tonumber(ARGV[11])) then
    redis.call('HDEL', KEYS[5], acks[i])
  end
end
redis.call('XADD', KEYS[4], 'MAXLEN', ARGV[12], '*', 'entry', ARGV[9], 'at', string.format('%.0f', now))
-- the epoch that falls out of the window takes its tenants along, unless a kept table still needs them
local kept, old = tonumber(ARGV[13]), epoch - tonumber(ARGV[13])
if old > 0 then
  local stem = ARGV[15]
  local gone = redis.call('GET', stem .. ':table:' .. string.format('%.0f', old) .. ':head')
  redis.call('DEL', stem .. ':table:' .. string.format('%.0f', old), stem .. ':table:' .. string.format('%.0f', old) .. ':head')
  local hash = gone and string.match(gone, '"tenants_hash":"(%x+)"')
  if hash then
    local needed = false
    for e = old + 1, epoch do
      local other = redis.call('GET', stem .. ':table:' .. string.format('%.0f', e) .. ':head')
      if other and string.find(other, hash, 1, true) then needed = true end
    end
    if not needed then redis.call('DEL', stem .. ':tenants:' .. hash) end
  end
end
redis.call('PUBLISH', ARGV[14], string.format('%.0f.%.0f', term, epoch))
return {'OK', ''}
